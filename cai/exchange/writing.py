"""New files on disk: all of them or none, and never one that is there; what was imported is read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill

from cai.constitution import load_constitution
from cai.errors import InputError
from cai.exchange.bundle import Exported, Imported, Kind, NewFile
from cai.few_shot import comparison_examples, reasoning_examples, revision_examples
from cai.yamlfile import to_yaml

_READ: dict[Kind, Callable[[str], object]] = {
    "constitution": load_constitution,
    "revisions": revision_examples,
    "comparisons": comparison_examples,
    "reasonings": reasoning_examples,
}


def write_imported(imported: Imported, form: str, folder: Path) -> list[tuple[Path, str]]:
    """Writes the files as YAML and loads each; returns their paths and what they hold.

    Raises InputError where a file is there already, or cannot be written.
    """
    texts = {
        file.path: f"{_heading(file, form, imported.licence)}{to_yaml(dict(file.data))}" for file in imported.files
    }
    paths = write_new(folder, texts)
    for path, file in zip(paths, imported.files, strict=True):
        _READ[file.kind](str(path))
    return [(path, _held(file)) for path, file in zip(paths, imported.files, strict=True)]


def write_exported(exported: Exported, folder: Path) -> list[Path]:
    """Writes the files as JSON; returns their paths. Raises as `write_imported`."""
    texts = {name: json.dumps(data, indent=2, ensure_ascii=False) + "\n" for name, data in exported.files.items()}
    return write_new(folder, texts)


def write_new(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes texts to paths within a folder, which is made; nothing is written where one of them is there already."""
    paths = [folder / name for name in texts]
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise InputError(f"{', '.join(there)}: there already, and nothing is overwritten; name another folder")
    for path, text in zip(paths, texts.values(), strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return paths


def _heading(file: NewFile, form: str, licence: str) -> str:
    said = (f"Made by `cai import {form}` from {file.made_from}.", licence)
    return "".join(f"{fill(one, 110, initial_indent='# ', subsequent_indent='# ')}\n" for one in said)


def _held(file: NewFile) -> str:
    for key in ("principles", "examples"):
        if key in file.data:
            return f"{len(file.data[key])} {key}"
    return f"extends {' and '.join(file.data['extends'])}"
