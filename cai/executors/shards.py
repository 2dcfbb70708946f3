"""What replicas finish rests in shards until the driver has stored it: lines as in items.jsonl, on any fsspec path.

    <attempt>.todo                              the items of an attempt, each beside what is stored of it
    <attempt>-<chunk>-<try>-<writer>-<n>.jsonl  records that one try at a chunk of items has made

On a file system a record is appended as soon as it is there, so a replica that is killed loses only the replies it
waits for. Object stores cannot append: there the records of an item are written as one object when the item ends, and
a killed replica loses the chains that it had under way.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pydantic import ValidationError

from cai.disk import append_whole, explained
from cai.errors import InputError, StoreError, first_line, needing
from cai.records import Record

Lines = Sequence[str]


@dataclass(frozen=True)
class Chunk:
    """Items that are given to a replica together: the `size` ones from `first` on, between two bytes of the list."""

    attempt: str
    number: int
    first: int
    size: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """What its shards begin with."""
        return f"{self.attempt}-{self.number:07d}-"

    as_row = asdict


@dataclass(frozen=True)
class Shards:
    """A folder of shards.

    Raises InputError for a path that fsspec does not know or a package that it lacks, StoreError where the folder
    cannot be read or written (a full disk).
    """

    path: str

    @property
    def _fs(self) -> tuple[Any, str]:
        with needing("ray"):
            import fsspec.core
        try:
            return fsspec.core.url_to_fs(self.path)
        except (ImportError, ValueError) as error:
            raise InputError(f"executor.shards: {self.path} cannot be used: {first_line(error)}") from None

    @property
    def appends(self) -> bool:
        """Whether files here can grow; objects can't."""
        return "file" in _protocols(self._fs[0])

    def lay_out(self, items: Iterable[Lines], size: int) -> list[Chunk]:
        """Writes down what there is to do, `size` items a chunk. An item: its own JSON, then that of its records."""
        fs, root = self._fs
        attempt, chunks, first, start = uuid.uuid4().hex[:12], [], 0, 0
        waiting = iter(items)
        with self._explained("written"):
            fs.makedirs(root, exist_ok=True)
        with self._explained("written"), fs.open(f"{root}/{attempt}.todo", "wb") as file:
            while lines := [_bytes(json.dumps(item)) for item in islice(waiting, size)]:
                end = start + file.write(b"".join(lines))
                chunks.append(Chunk(attempt, len(chunks), first, len(lines), start, end))
                first, start = first + len(lines), end
        return chunks

    def items(self, chunk: Chunk) -> list[list[str]]:
        """The items of a chunk. Raises InputError where this machine does not see the folder."""
        fs, root = self._fs
        with self._explained("read"):
            try:
                data = fs.cat_file(f"{root}/{chunk.attempt}.todo", start=chunk.start, end=chunk.end)
            except FileNotFoundError:
                raise InputError(
                    f"{self.path} is not there on machine {os.uname().nodename}; give executor.shards a folder that "
                    "every machine of the cluster sees, or an object store"
                ) from None
        return [json.loads(line) for line in data.splitlines()]

    def of_chunk(self, chunk: Chunk) -> list[str]:
        """The names of the shards that there are of a chunk, in the order of its tries."""
        return self._names(f"{chunk.name}*.jsonl")

    def left(self) -> list[str]:
        """The names of all shards."""
        return self._names("*.jsonl")

    def lines(self, name: str, fewest: int = 0) -> list[bytes]:
        """The whole lines of a shard; what a killed replica was about to write is no line.

        Raises StoreError where there are not even as many as its replica says that it wrote.
        """
        fs, root = self._fs
        with self._explained("read"):
            try:
                data: bytes = fs.cat_file(f"{root}/{name}")
            except FileNotFoundError:
                raise StoreError(
                    f"{self.path}/{name}, which a replica wrote, is not there; give executor.shards a folder that "
                    "every machine of the cluster sees, or an object store"
                ) from None
        lines = [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        if len(lines) < fewest:
            raise StoreError(
                f"{self.path}/{name} holds {len(lines)} records, and its replica wrote {fewest}; see that the disk has "
                "room and that all machines see the same folder, then run the same command again to have the others "
                "made anew"
            )
        return lines

    def records(self, name: str, kind: type[Record], fewest: int = 0) -> list[Any]:
        """The records of a shard. Raises StoreError as `lines`, and with file and line for what is none."""
        found: list[Any] = []
        for number, line in enumerate(self.lines(name, fewest), 1):
            try:
                found.append(kind.model_validate_json(line))
            except ValidationError as error:
                detail = error.errors(include_url=False)[0]["msg"]
                raise StoreError(
                    f"{self.path}/{name}:{number}: not a {kind.__name__} record ({detail}); delete that file, and run "
                    "the same command again to have its records made anew"
                ) from None
        return found

    def writer(self, chunk: Chunk, tries: int) -> Shard:
        """A new shard of a chunk at which there were so many tries before."""
        fs, root = self._fs
        with self._explained("written"):
            return Shard(fs, root, f"{chunk.name}{tries:03d}-{uuid.uuid4().hex[:8]}", self.appends)

    def drop(self, names: Iterable[str]) -> None:
        """Deletes shards whose records are stored."""
        fs, root = self._fs
        with self._explained("cleared"):
            for name in names:
                fs.rm_file(f"{root}/{name}")

    def clear(self) -> None:
        """Deletes the folder: everything in it is stored."""
        fs, root = self._fs
        with self._explained("cleared"):
            if not fs.exists(root):
                return
            try:
                fs.rm(root, recursive=True)
            except OSError as error:  # Ctrl-C within Python's own rmtree comes out as one
                if isinstance(error.__context__, KeyboardInterrupt):
                    raise KeyboardInterrupt from None
                raise

    def _names(self, pattern: str) -> list[str]:
        fs, root = self._fs
        fs.invalidate_cache()
        with self._explained("read"):
            return sorted(str(path).rsplit("/", 1)[-1] for path in fs.glob(f"{root}/{pattern}"))

    def _explained(self, done: str) -> AbstractContextManager[None]:
        return explained(self.path, done)


def tries(names: Iterable[str]) -> int:
    """How many tries at one chunk have begun, told from the names of its shards."""
    return len({name.split("-")[2] for name in names})


class Shard:
    """The records of one try at a chunk, written by one process. Raises StoreError where they can't be (a full disk).

    `held`: how many records are in each of the files or objects that it has made. The first of them is there from the
    start, so that a try that ends with its process is known of.
    """

    def __init__(self, fs: Any, root: str, name: str, appends: bool) -> None:
        self._fs, self._root, self._name = fs, root, name
        self._waiting: dict[str, list[bytes]] = {}
        self.held: dict[str, int] = {}
        self._first = self._path(self._next())
        self._file = os.open(self._first, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666) if appends else None
        if not appends:
            fs.pipe_file(self._first, b"")

    @property
    def names(self) -> list[str]:
        """The files or objects that it has made, in their order."""
        return list(self.held)

    def add(self, item: str, line: str) -> None:
        """A new record of an item: appended, whole or not at all, or kept until the item ends."""
        if self._file is None:
            self._waiting.setdefault(item, []).append(_bytes(line))
            return
        with explained(self._first):
            append_whole(self._file, _bytes(line))
        self.held[self.names[0]] += 1

    async def end(self, item: str) -> None:
        """The item has ended: what was kept of it becomes an object."""
        if lines := self._waiting.pop(item, None):
            name = self._next()
            with explained(self._path(name)):
                await asyncio.to_thread(self._fs.pipe_file, self._path(name), b"".join(lines))
            self.held[name] = len(lines)

    def close(self) -> None:
        """Closes the file, which lets other machines see all of it."""
        if self._file is not None:
            with explained(self._first):
                os.close(self._file)

    def _next(self) -> str:
        name = f"{self._name}-{len(self.held):04d}.jsonl"
        self.held[name] = 0
        return name

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _bytes(line: str) -> bytes:
    return (line + "\n").encode("utf-8", "surrogatepass")


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
