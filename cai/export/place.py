"""The folder that an export is written to: what may be replaced there, and how."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cai.errors import CaiError, InputError, StoreError, first_line
from cai.export.tables import TABLES, path_of

MARK = "export.json"
"""Says which run an export is of, and what was written."""
CARD = "README.md"
FILES = (
    *(path_of(table, split) for table in TABLES for split in table.splits),
    "constitution.yaml",
    "recipe.yaml",
    CARD,
    MARK,
)
"""All that an export can hold, in the order in which it is put in place."""


@contextmanager
def replaced(to: Path, run: str) -> Iterator[Path]:
    """A folder to write an export of `run` to; at the end its files take the place of an earlier export's in `to`.

    Other files in `to` stay. Raises InputError where `to` holds something else, StoreError where it can't be written.
    """
    if to.exists() and not to.is_dir():
        raise InputError(f"{to} is a file; name a folder that is empty or not there yet")
    whole = to.resolve()
    with written(str(to)):
        check_place(str(to), {path.name for path in whole.iterdir()} if whole.exists() else (), whole, run)
        with _beside(whole) as folder:
            yield folder
            _move(folder, whole)


@contextmanager
def made_whole(to: Path) -> Iterator[Path]:
    """A folder that becomes `to` at the end; half of it is never left there.

    Raises InputError where `to` holds something, StoreError where the disk will not take it.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} holds something; name a folder that is empty or not there yet")
    whole = to.resolve()
    with written(str(to)), _beside(whole) as folder:
        yield folder
        folder.replace(whole)


@contextmanager
def _beside(whole: Path) -> Iterator[Path]:
    """A new folder beside another, which is gone in the end."""
    folder = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def written(where: str) -> Iterator[None]:
    """Turns a full disk and its kin into StoreError."""
    try:
        yield
    except CaiError:
        raise
    except OSError as error:
        said = error.strerror or first_line(error)
        raise StoreError(f"{where}: cannot be written ({said}); mend that and run the same command again") from error


def check_place(where: str, names: Collection[str], folder: Path, run: str) -> None:
    """Raises InputError unless there is nothing, or an export of `run` as it was written.

    `names`: what is there; `folder` holds its card and mark, if it has them.
    """
    if not names:
        return
    mark = _mark(folder / MARK) if MARK in names else None
    if mark is None:
        raise InputError(
            f"{where} holds something that is no export of a run; name a folder that is empty or not there yet"
        )
    if mark["run"] != run:
        raise InputError(f"{where} holds an export of run {mark['run']!r}, not of {run!r}; name another folder")
    if CARD in names and digest_of(folder / CARD) != mark["card"]:
        raise InputError(f"{where}: {CARD} was changed since it was written, and would be lost; move it away first")


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mark(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        mark = json.loads(path.read_text("utf-8"))
        if isinstance(mark, dict) and all(isinstance(mark.get(key), str) for key in ("run", "card")):
            return mark
    return None


def _move(filled: Path, to: Path) -> None:
    """What is new takes the place of what was written before; the mark comes last."""
    for name in FILES:
        source, target = filled / name, to / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)  # the two may be on different disks
        elif target.exists():
            target.unlink()
            with suppress(OSError):  # its folder holds files of someone else
                target.parent.rmdir()
