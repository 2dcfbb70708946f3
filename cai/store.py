"""The run store: the only file that writes below runs/. Append, resume, mark done.

    runs/<run>/run.json                    which step folder each stage of this run uses
    runs/<run>/<stage>-<digest8>/spec.json what the step is: settings, parents, digests, versions
                                 items.jsonl, metrics.jsonl, log.txt, model/, checkpoints/
                                 failures.jsonl  items that the last attempt could not complete
                                 panel.jsonl     answers by which a training was watched
                                 DONE      written last: its existence means the step is complete. Holds what the
                                           stage reports, and size and SHA-256 of every file of the step

A torn last line (a process killed in the middle of a write) is dropped on resume. Whole files are written beside
and renamed. Appends reach the operating system at once and the disk before DONE: a killed process loses nothing,
a power cut at most what the system had not yet flushed. What only an unfinished step needs is removed after DONE.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError

from cai.checksums import Told, changes, lasting, scratch, sealed, told, well_told
from cai.disk import append_whole, explained, explanation, write_all
from cai.errors import StoreError
from cai.index import Index
from cai.records import Record
from cai.resources import leads_down

Item = TypeVar("Item", bound=Record)


class StepFolder:
    """One step of a run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._appending: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether the step is complete."""
        return (self.path / "DONE").is_file()

    @property
    def summary(self) -> dict[str, Any]:
        """What DONE says: seconds, items, tokens and whatever the stage reported. Empty before the end."""
        return {name: value for name, value in self._done.items() if name not in ("files", "checksum")}

    @property
    def files(self) -> Told | None:
        """What DONE says of each file; None before the end, and where an earlier version of this program wrote it."""
        if (files := self._done.get("files")) is None or well_told(files):
            return files
        raise StoreError(f"{self.path / 'DONE'}: 'files' is not what cai writes; delete {self.path} to redo that step")

    @property
    def _done(self) -> dict[str, Any]:
        return read_json(self.path / "DONE") if self.done else {}

    @property
    def spec(self) -> dict[str, Any]:
        """What the step is, as `begin` wrote it; empty where it never began."""
        path = self.path / "spec.json"
        return read_json(path) if path.is_file() else {}

    def begin(self, spec: dict[str, Any]) -> None:
        """Makes the folder and says what it holds; an earlier attempt's spec is kept, its failures are not."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for cut_off in self.path.glob(".*.tmp"):
                cut_off.unlink()
        if not (self.path / "spec.json").is_file():
            write_json(self.path / "spec.json", spec)
        if (self.path / "failures.jsonl").is_file():
            write_text(self.path / "failures.jsonl", "")

    def records(self, kind: type[Item], file: str = "items.jsonl") -> Iterator[Item]:
        """The stored records in the order they were written. Raises StoreError with file and line on a bad one."""
        for number, line in self._lines(file):
            yield self._record(kind, number, line, file)

    def index(self, kind: type[Item], key: Callable[[Item], str]) -> Index[Item]:
        """The stored records by `key`, to be read when they are asked for. Raises StoreError as `records`."""
        places: dict[str, array[int]] = {}
        start = 0
        for number, line in self._lines("items.jsonl"):
            places.setdefault(key(self._record(kind, number, line)), array("Q")).append(start)
            start += len(line)
        return Index(self.path / "items.jsonl", kind, places)

    def count(self) -> int:
        """How many records are stored."""
        return sum(1 for _ in self._lines("items.jsonl"))

    def append(self, record: Record, file: str = "items.jsonl") -> None:
        """Adds one record."""
        self._append(file, record.model_dump_json())

    def keep(self, records: Iterable[Record], file: str) -> None:
        """Leaves these records in a file and no others."""
        if (descriptor := self._appending.pop(file, None)) is not None:
            os.close(descriptor)
        write_text(self.path / file, "".join(f"{record.model_dump_json()}\n" for record in records))

    def failure(self, row: dict[str, Any]) -> None:
        """Adds one item that could not be completed in this attempt."""
        self._append("failures.jsonl", json.dumps(row))

    def metric(self, row: dict[str, Any]) -> None:
        """Adds one row of metrics."""
        self._append("metrics.jsonl", json.dumps(row))

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics, those of one `step` as one row.

        Of a figure that a step has twice, written before and after a resume, the last counts.
        """
        rows: dict[Any, dict[str, Any]] = {}
        for number, line in self._lines("metrics.jsonl"):
            row = self._row(number, line)
            rows.setdefault(row.get("step", f"line {number}"), {}).update(row)
        return list(rows.values())

    def log(self, text: str) -> None:
        """Adds a line to log.txt."""
        self._append("log.txt", text)

    def finish(self, summary: dict[str, Any]) -> None:
        """Flushes everything below the folder to the disk and writes DONE, with size and SHA-256 of every file."""
        self.close()
        with explained(self.path):
            kept = lasting(self.path)
            for path in kept:
                _flush(path)
            files = told(self.path, kept)
        write_json(self.path / "DONE", sealed({**summary, "files": files}))
        self.tidy()

    def tidy(self) -> None:
        """Removes what a step needed before it was done."""
        for place in scratch(self.path):
            shutil.rmtree(place, ignore_errors=True)

    def check(self, part: str) -> None:
        """Raises StoreError where the files below the folder `part` are not those that were there when it was done.

        Says nothing of a step that is not done, or that was done before DONE had checksums.
        """
        for change in changes(self.path, files, part) if (files := self.files) is not None else ():
            raise StoreError(
                f"{change} as DONE has it; put back the file as it was, or delete {self.path} and run again to have "
                "this stage and those after it made anew"
            )

    def close(self) -> None:
        """Closes the files that were appended to."""
        for descriptor in self._appending.values():
            os.close(descriptor)
        self._appending.clear()

    def _record(self, kind: type[Item], number: int, line: bytes, file: str = "items.jsonl") -> Item:
        try:
            return kind.model_validate_json(line)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]["msg"]
            where = f"{self.path / file}:{number}"
            raise StoreError(
                f"{where}: not a {kind.__name__} record ({detail}); delete {self.path} to redo it"
            ) from None

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
            hash(row.get("step"))  # rows are joined by it
            return row
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            where = f"{self.path / 'metrics.jsonl'}:{number}"
            raise StoreError(f"{where}: not a row of metrics ({error}); delete that line") from None

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Whole lines, as bytes: a torn last line may end within a character."""
        path = self.path / name
        if not path.is_file():
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield number, line

    def _append(self, name: str, line: str) -> None:
        """One write a line, so that a kill tears at most the last; undone where the disk is full."""
        data = (line + "\n").encode("utf-8", "surrogatepass")
        try:
            descriptor = self._appending.get(name) or self._open(name)
            append_whole(descriptor, data)
        except OSError as error:
            raise explanation(self.path / name, error) from error

    def _open(self, name: str) -> int:
        path = self.path / name
        _drop_torn_line(path)
        self._appending[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return self._appending[name]


class RunFolder:
    """One run: a name below runs/, and the step folder that each of its stages uses."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.path = root, name, root / name

    def step(self, stage: str, digest: str) -> StepFolder:
        """The step with this digest: a finished one of any run, else this run's own."""
        folder = f"{stage}-{digest[:8]}"
        own = StepFolder(self.path / folder)
        if own.done:
            return own
        for other in sorted(self.root.glob(f"*/{folder}/DONE")):
            step = StepFolder(other.parent)
            if step.spec.get("digest") == digest:
                return step
        return own

    @property
    def steps(self) -> dict[str, StepFolder]:
        """The steps this run used last, by stage. Raises StoreError where there is no such run."""
        return {stage: StepFolder(self.root / place) for stage, place in self._told("steps").items()}

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe this run used last. Raises StoreError where there is no such run."""
        return self._told("recipe")

    def _told(self, part: str) -> dict[str, Any]:
        """A part of run.json. Raises StoreError where it is something else, or a step lies outside of all runs."""
        path = self.path / "run.json"
        if not path.is_file():
            known = sorted(found.parent.name for found in self.root.glob("*/run.json"))
            raise StoreError(f"no run {self.name!r} in {self.root}/; found: {', '.join(known) or 'none'}")
        told = read_json(path).get(part)
        if not isinstance(told, dict) or (part == "steps" and not all(map(leads_down, told.values()))):
            raise StoreError(f"{path}: {part!r} is not what a run has; run its recipe again")
        return told

    def remember(self, recipe: dict[str, Any], steps: dict[str, StepFolder]) -> None:
        """Writes run.json, which also says which stages are done by now."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        places = {stage: str(step.path.relative_to(self.root)) for stage, step in steps.items()}
        done = [stage for stage, step in steps.items() if step.done]
        write_json(self.path / "run.json", {"recipe": recipe, "steps": places, "done": done})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out. Raises StoreError that names the holder."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        holder = self.path / "lock.json"
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            who = read_json(holder).get("pid", "unknown") if holder.is_file() else "unknown"
            raise StoreError(f"{self.path} is in use by process {who}; wait for it, or stop it") from None
        try:
            write_json(holder, {"pid": os.getpid()})
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises StoreError where it cannot be read."""
    try:
        if isinstance(value := json.loads(path.read_text("utf-8")), dict):
            return value
        raise ValueError("expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read as JSON ({error}); delete {path.parent} to redo that step") from None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes `path` whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes `path` whole or not at all: beside it, flushed, then renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                write_all(descriptor, text.encode("utf-8", "surrogatepass"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def replace_folder(path: Path, filled: Path) -> None:
    """Moves the folder `filled` to `path`, which must not hold anything worth keeping."""
    with explained(path):
        shutil.rmtree(path, ignore_errors=True)
        filled.replace(path)


def flush_below(folder: Path) -> None:
    """Has every file below a folder written to the disk."""
    with explained(folder):
        for path in folder.rglob("*"):
            if path.is_file():
                _flush(path)


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path` or its nearest existing parent."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_torn_line(path: Path) -> None:
    """Cuts what stands after the last line break."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            cut = file.read(end - start).rfind(b"\n")
            if cut >= 0:
                file.truncate(start + cut + 1)
                return
            end = start
        file.truncate(0)
