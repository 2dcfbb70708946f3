"""What files hold, by size and SHA-256: told when a step is done, checked before what it left is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Told = Mapping[str, Mapping[str, Any]]
"""By path below a folder: `bytes`, `sha256` (hex), and of a .jsonl file `lines`."""

SCRATCH = ("checkpoints", "rounds/*/checkpoints", "rounds/*/model", "rounds/*/adapter")
"""What only an unfinished step needs: without it, a step that is stopped just before its end would begin again."""

_BLOCK = 1 << 20


def told(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """What each of these files below `folder` holds."""
    return {str(path.relative_to(folder)): dict(contents(path)) for path in files}


def files_below(folder: Path) -> list[Path]:
    """The files below a folder, but hidden ones: those are of a write that was cut off, or of the system."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def scratch(folder: Path) -> list[Path]:
    """What of a step's folder is removed once the step is done."""
    return [place for name in SCRATCH for place in folder.glob(name)]


def lasting(folder: Path) -> list[Path]:
    """The files of a step that DONE tells of: all but DONE itself and what is removed after it."""
    going = [folder / "DONE", *scratch(folder)]
    return [path for path in files_below(folder) if not any(map(path.is_relative_to, going))]


def sealed(done: Mapping[str, Any]) -> dict[str, Any]:
    """What DONE holds, with its own SHA-256 as `checksum`."""
    return {**done, "checksum": seal(done)}


def seal(done: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of what DONE holds besides `checksum`, whatever the order and spacing of its JSON."""
    held = json.loads(json.dumps({name: value for name, value in done.items() if name != "checksum"}))
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def well_told(value: Any) -> bool:
    """Whether a value that was read is a Told."""
    return isinstance(value, dict) and all(
        isinstance(facts, dict) and isinstance(facts.get("bytes"), int) and isinstance(facts.get("sha256"), str)
        for facts in value.values()
    )


def contents(path: Path) -> Mapping[str, Any]:
    """Size, SHA-256 and, of a .jsonl file, lines. A file that did not change since is not read again (one process)."""
    facts = path.stat()
    return _contents(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def changes(folder: Path, expected: Told, part: str = "") -> Iterator[str]:
    """What is not as it was told of the files of a step's `folder`, or of those below its folder `part`.

    One sentence a file, those that are new included. Reads every byte, at more than 1 GB/s on most machines; a size
    that differs is told without reading.
    """
    wanted = {name: facts for name, facts in expected.items() if not part or name.startswith(f"{part}/")}
    for name, facts in wanted.items():
        yield from _change(folder / name, facts)
    for path in files_below(folder / part) if part else lasting(folder):
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
