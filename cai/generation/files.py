"""The files of generated prompts: those kept, and beside them every reply with what became of it.

    more.jsonl       one prompt a line, which a recipe or `load_prompts` can read
    more.raw.jsonl   its first line: the settings; then one line a request, in their order

A reply is written before its prompts, so `more.jsonl` can always be brought up to it. Both are appended to only; a torn
last line (a process killed in the middle of a write) is dropped when the files are opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from cai.disk import explained, write_all
from cai.errors import InputError, StoreError
from cai.generation.checks import Reason
from cai.records import Completion, Kind, Record
from cai.store import write_text

Settings = Mapping[str, Any]
Place = tuple[int, int]
"""The number of a request, and of an entry of its reply, both from 0."""


class Candidate(Record):
    """One entry of a reply; without a `reason` it is a new prompt. `like`: the text that it is too much like."""

    text: str
    reason: Reason | None = None
    like: str | None = None
    similarity: float | None = None


class Asked(Record):
    """One request: the seeds shown, by id and in their order, and the reply, or the error where none could be had."""

    request: int
    seeds: tuple[str, ...]
    reply: Completion | None = None
    error: str | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def kept(self) -> list[tuple[Place, str]]:
        """The new prompts, each with its place."""
        return [((self.request, n), one.text) for n, one in enumerate(self.candidates) if one.reason is None]


class GeneratedPrompt(Record):
    """One line of the file of prompts. `request` and `entry` say where it comes from."""

    prompt: str
    kind: Kind
    source: str = "generated"
    model: str
    request: int
    entry: int
    seeds: tuple[str, ...]


class PromptFiles:
    """The two files, open for appending. `count` prompts are in the first one; those deleted by hand stay deleted."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.raw = path, raw_path(path)
        self._kind, self._model = settings["kind"], settings["model"]["model"]
        self.count = 0
        self._last: Place = (-1, -1)
        for number, line in _lines(path):
            if line.strip():  # a person who edits the file may leave an empty line
                self.count += 1
                self._last = max(self._last, _place(line, f"{path}:{number}"))
        self._prompts, self._replies = _append_to(path), _append_to(self.raw)

    def asked(self) -> Iterator[Asked]:
        """What was asked so far, in order. Raises StoreError with file and line where a line is damaged."""
        for number, line in _lines(self.raw):
            if number > 1:
                try:
                    yield Asked.model_validate_json(line)
                except ValidationError as error:
                    message = error.errors(include_url=False)[0]["msg"]
                    where = f"{self.raw}:{number}"
                    raise StoreError(f"{where}: not a request's record ({message}); give another --to") from None

    def add(self, asked: Asked) -> None:
        """Stores a reply with what became of it."""
        _write(self._replies, self.raw, [asked])

    def put(self, asked: Asked, most: int) -> None:
        """Stores the new prompts of a reply that are not in the file yet, as far as it then has at most `most`."""
        new = [(place, text) for place, text in asked.kept if place > self._last][: max(0, most - self.count)]
        if new:
            _write(self._prompts, self.path, [self._line(asked, place, text) for place, text in new])
            self.count, self._last = self.count + len(new), new[-1][0]

    def _line(self, asked: Asked, place: Place, text: str) -> GeneratedPrompt:
        request, entry = place
        return GeneratedPrompt(
            prompt=text, kind=self._kind, model=self._model, request=request, entry=entry, seeds=asked.seeds
        )

    def close(self) -> None:
        """Flushes both files to the disk and closes them."""
        for descriptor in (self._replies, self._prompts):
            os.fsync(descriptor)
            os.close(descriptor)


def raw_path(path: Path) -> Path:
    """Where the replies lie."""
    return path.with_name(f"{path.stem}.raw.jsonl")


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[PromptFiles]:
    """The files of these settings, new or to be gone on with; one process at a time has them.

    Raises InputError where they were made with other settings or not by us, StoreError where they are in use or
    cannot be written.
    """
    if path.suffix != ".jsonl":
        raise InputError(f"{path}: expected a name that ends in .jsonl")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(f"{path} is in use by another process; wait for it, or stop it") from None
    try:
        _claim(path, settings)
        with explained(path):
            files = PromptFiles(path, settings)
        try:
            yield files
        finally:
            files.close()
    finally:
        lock.release()


def _claim(path: Path, settings: Settings) -> None:
    """Writes the settings down, or compares them with those that are there."""
    raw = raw_path(path)
    if not raw.is_file():
        if path.is_file():
            raise InputError(
                f"{path}: was not made by this command, or {raw.name} beside it is missing; give another --to"
            )
        write_text(raw, json.dumps({"settings": settings}, ensure_ascii=False) + "\n")
        return
    before = _settings(raw)
    other = [f"{key} was {_short(before.get(key))} and is {_short(settings.get(key))}"
             for key in {**before, **settings} if before.get(key) != settings.get(key)]  # fmt: skip
    if other:
        raise InputError(f"{path} was begun with other settings ({'; '.join(other)}); give those, or another --to")


def _settings(raw: Path) -> dict[str, Any]:
    line = next((line for _, line in _lines(raw)), b"")
    try:
        return dict(json.loads(line)["settings"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{raw}:1: expected the settings that it was made with; give another --to") from None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _place(line: bytes, where: str) -> Place:
    try:
        row = json.loads(line)
        return int(row["request"]), int(row["entry"])
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{where}: not a line of this command; put prompts of your own into a file of their own"
        ) from None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, numbered from 1; a torn last one is not among them."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n") or _is_json(line):
                yield number, line


def _append_to(path: Path) -> int:
    """A descriptor that appends behind the last whole line. Editors may leave that without its line break."""
    end, last = 0, b"\n"
    for _, last in _lines(path):
        end += len(last)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.ftruncate(descriptor, end)
    if not last.endswith(b"\n"):
        os.write(descriptor, b"\n")
    return descriptor


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _write(descriptor: int, path: Path, rows: list[Any]) -> None:
    """All rows in one go, so that a kill tears at most the last."""
    with explained(path):
        write_all(descriptor, "".join(f"{row.model_dump_json()}\n" for row in rows).encode("utf-8", "surrogatepass"))
