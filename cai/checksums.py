"""What files hold, by size and SHA-256: told when a step is done, checked before what it left is used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Told = Mapping[str, Mapping[str, Any]]
"""By path below a folder: `bytes`, `sha256` (hex), and of a .jsonl file `lines`."""

_BLOCK = 1 << 20


def told(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """What each of these files below `folder` holds."""
    return {str(path.relative_to(folder)): dict(contents(path)) for path in files}


def files_below(folder: Path) -> list[Path]:
    """The files below a folder, but hidden ones: those are of a write that was cut off, or of the system."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def contents(path: Path) -> Mapping[str, Any]:
    """Size, SHA-256 and, of a .jsonl file, lines. A file that did not change since is not read again (one process)."""
    facts = path.stat()
    return _contents(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def changes(folder: Path, expected: Told, part: str = "") -> Iterator[str]:
    """What is not as it was told of the files of `folder`, or of those below its folder `part`: one sentence a file.

    Reads every byte, at more than 1 GB/s on most machines; a size that differs is told without reading.
    """
    wanted = {name: facts for name, facts in expected.items() if not part or name.startswith(f"{part}/")}
    for name, facts in wanted.items():
        yield from _change(folder / name, facts)
    for path in files_below(folder / part) if part else ():
        if str(path.relative_to(folder)) not in wanted:
            yield f"{path}: was not there when the step was done"


def _change(path: Path, expected: Mapping[str, Any]) -> Iterator[str]:
    if not path.is_file():
        yield f"{path}: is missing; expected {expected['bytes']} bytes"
    elif (size := path.stat().st_size) != expected["bytes"]:
        yield f"{path}: found {size} bytes, expected {expected['bytes']}"
    elif (found := contents(path)["sha256"]) != expected["sha256"]:
        yield f"{path}: found bytes with SHA-256 {found[:16]}, expected {expected['sha256'][:16]}"


@lru_cache(maxsize=4096)
def _contents(path: Path, size: int, changed: int, inode: int) -> Mapping[str, Any]:
    found, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
            lines += block.count(b"\n")
    counted = {"lines": lines} if path.suffix == ".jsonl" else {}
    return {"bytes": size, "sha256": found.hexdigest(), **counted}
