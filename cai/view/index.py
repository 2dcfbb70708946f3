"""An index over the records of one step: an SQLite file in the user's cache, made from the records and never read back.

It holds where each record lies and by what it is found, not the record. It grows as the records do: what is appended
is read from the byte at which the last reading ended. Deleting it costs the time to make it again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cai.errors import StoreError
from cai.identity import digest
from cai.labels import draw
from cai.view.entries import Entry, Listing, Tag

FORMAT = 4
"""Raised when another version of this file or of the entries would make another index."""

_LINES, _BYTES = 2000, 16_000_000
"""What is committed at once, at most: readers see the index grow by this."""
_CACHE = 65_536
"""Kilobytes of an index that are held while it is written: with SQLite's 2 MB it takes a third longer."""
_HEAD = 4096
"""The first bytes of the records tell whether they are still the same file."""

PART_BITS = 20
"""The words of a record stand under its entry's number, shifted by so many bits, plus its own within the entry."""

_TABLES = """
CREATE TABLE state (format INTEGER, head BLOB, offset INTEGER, lines INTEGER, bad INTEGER);
CREATE TABLE entries (n INTEGER PRIMARY KEY, key TEXT UNIQUE, title TEXT, tags TEXT, figure REAL, rank INTEGER,
                      parts INTEGER, draw INTEGER);
CREATE TABLE parts (line INTEGER PRIMARY KEY, entry INTEGER, offset INTEGER);
CREATE TABLE tags (name TEXT, value TEXT, entry INTEGER, PRIMARY KEY (name, value, entry)) WITHOUT ROWID;
CREATE TABLE facets (name TEXT, value TEXT, count INTEGER, PRIMARY KEY (name, value)) WITHOUT ROWID;
CREATE INDEX parts_of ON parts (entry);
CREATE INDEX by_figure ON entries (figure, n);
CREATE INDEX by_draw ON entries (draw, key);
"""

_WORDS = "CREATE VIRTUAL TABLE words USING fts5 (said, content='', detail=none, tokenize='unicode61')"
_UPDATE = """
UPDATE entries SET tags = :tags, parts = parts + 1, rank = max(rank, :rank),
                   figure = CASE WHEN :rank >= rank THEN :figure ELSE figure END WHERE n = :n
"""


@dataclass(frozen=True)
class Reached:
    """How far an index is. `share` of the bytes of the records; `bad` lines are no records."""

    lines: int
    entries: int
    bad: int
    offset: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether all records are in it; a last line without its end is none yet."""
        return self.offset >= self.size

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.offset / self.size if self.size else 1.0


class StepIndex:
    """The index of the records in `step`, kept in the folder `cache`. Several threads and processes may use it."""

    def __init__(self, step: Path, listing: Listing, cache: Path) -> None:
        self.records, self.listing = step / "items.jsonl", listing
        self.file = cache / f"{digest([str(step.resolve()), listing.stage])[:24]}.sqlite"
        self._turn = threading.Lock()
        self._reader: threading.Thread | None = None
        self._failure: StoreError | None = None
        with _explained(self.file):
            cache.mkdir(parents=True, exist_ok=True)
            try:
                self._make()
            except sqlite3.DatabaseError:  # another version's, or torn by a power cut
                self.file.unlink(missing_ok=True)
                self._make()

    def _make(self) -> None:
        with closing(self._connected()) as db, _transaction(db):
            _prepare(db, b"")

    def connect(self) -> sqlite3.Connection:
        """A connection of its own, since SQLite's are a thread's. Raises StoreError where the file can't be opened."""
        with _explained(self.file):
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF")  # a cache: after a power cut it may be made again
        return db

    def refresh(self, wait: float = 0.25) -> Reached:
        """Reads on in the background, for at most `wait` seconds of the caller's time; says how far that came.

        Raises StoreError where the index can't be written; the next call tries again.
        """
        reached = self.reached()
        if not reached.whole or self._replaced():
            with self._turn:
                if self._reader is None or not self._reader.is_alive():
                    self._failure = None
                    self._reader = threading.Thread(target=self._read_apart, daemon=True, name=f"index {self.records}")
                    self._reader.start()
                reader = self._reader
            reader.join(wait)
            if self._failure:
                raise self._failure
            reached = self.reached()
        return reached

    def _read_apart(self) -> None:
        """`read_all` in a thread, which has nobody to tell of an error."""
        try:
            self.read_all()
        except StoreError as error:
            self._failure = error

    def read_all(self) -> None:
        """Reads until the end of the records; several at once take turns. Raises StoreError."""
        if self.reached().whole and not self._replaced():
            return
        with _explained(self.file), closing(self.connect()) as db:
            db.execute(f"PRAGMA cache_size=-{_CACHE}")
            while self._read_some(db):
                time.sleep(0)  # lets a request in

    def reached(self) -> Reached:
        """How far the index is."""
        with closing(self.connect()) as db:
            lines, bad, offset = db.execute("SELECT lines, bad, offset FROM state").fetchone()
            (entries,) = db.execute("SELECT coalesce(max(n), 0) FROM entries").fetchone()
        return Reached(lines, entries, bad, offset, self._size())

    def _size(self) -> int:
        """Bytes of the records up to the end of the last whole line."""
        if not self.records.is_file():
            return 0
        with self.records.open("rb") as file:
            end = file.seek(0, 2)
            while end:
                start = max(0, end - 65536)
                file.seek(start)
                cut = file.read(end - start).rfind(b"\n")
                if cut >= 0:
                    return start + cut + 1
                end = start
        return 0

    def _replaced(self) -> bool:
        with closing(self.connect()) as db:
            head, offset = db.execute("SELECT head, offset FROM state").fetchone()
        return offset > self._size() or self._head(len(head)) != head

    def _head(self, size: int = _HEAD) -> bytes:
        if not size or not self.records.is_file():
            return b""
        with self.records.open("rb") as file:
            return file.read(size)

    def _read_some(self, db: sqlite3.Connection) -> bool:
        """One batch in one transaction. Returns whether more is left."""
        with _transaction(db):
            if self._replaced():
                _clear(db)
                _prepare(db, self._head())
            line, bad, offset = db.execute("SELECT lines, bad, offset FROM state").fetchone()
            batch = _Batch(db)
            for start, text in self._lines(offset):
                line, offset = line + 1, start + len(text)
                try:
                    batch.add(line, start, self.listing.entry(self.listing.read(text)))
                except (ValueError, KeyError, TypeError):
                    bad += 1
            batch.count()
            head = self._head(min(_HEAD, offset))
            db.execute("UPDATE state SET head = ?, lines = ?, bad = ?, offset = ?", (head, line, bad, offset))
        return offset < self._size()

    def _lines(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Whole lines from `offset` on, as many as are read at once, each with where it begins."""
        if not self.records.is_file():
            return
        first, count = offset, 0
        with self.records.open("rb") as file:
            file.seek(offset)
            while count < _LINES and offset - first < _BYTES:
                text = file.readline()
                if not text.endswith(b"\n"):
                    return
                yield offset, text
                offset, count = offset + len(text), count + 1


class _Batch:
    """Entries that are added in one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._found = db, Counter[Tag]()
        self._searched = searchable(db)

    def add(self, line: int, offset: int, entry: Entry) -> None:
        """Adds the record of a line to its entry."""
        known = self._db.execute("SELECT n, tags, parts FROM entries WHERE key = ?", (entry.key,)).fetchone()
        n, tags = (known[0], known[1]) if known else (self._new(entry), "[]")
        before = {(name, value) for name, value in json.loads(tags)}
        new = [tag for tag in dict.fromkeys(entry.tags) if tag not in before]
        self._db.execute("INSERT INTO parts VALUES (?, ?, ?)", (line, n, offset))
        self._db.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(*tag, n) for tag in new])
        self._found.update(new)
        merged = json.dumps([*json.loads(tags), *new], ensure_ascii=False)
        self._db.execute(_UPDATE, {"n": n, "tags": merged, "figure": entry.figure, "rank": entry.rank})
        if self._searched:
            place = (n << PART_BITS) + (known[2] if known else 0)
            self._db.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (place, entry.words))

    def count(self) -> None:
        """Counts the entries of each tag."""
        self._db.executemany(
            "INSERT INTO facets VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(*tag, count) for tag, count in self._found.items()],
        )

    def _new(self, entry: Entry) -> int:
        row = (entry.key, entry.title, "[]", None, 0, 0, draw(entry.key))
        return self._db.execute("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """A full disk, or a folder that can't be written, as an error that says what to do."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreError(
            f"{file}: the index of the records can't be written ({error}); free some space, or let the folder be "
            "written, and load the page again. No record is touched"
        ) from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """One writer at a time; what failed leaves no trace."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite ends it by itself where the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def searchable(db: sqlite3.Connection) -> bool:
    """Whether words are searched; few builds of SQLite can't."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone() is not None


def _prepare(db: sqlite3.Connection, head: bytes) -> None:
    """Makes the tables, again where another version made them."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
        (found,) = db.execute("SELECT format FROM state").fetchone()
        if found == FORMAT:
            return
        _clear(db)
    for statement in filter(str.strip, _TABLES.split(";")):
        db.execute(statement)
    try:
        db.execute(_WORDS)
    except sqlite3.OperationalError as error:
        if "no such module" not in str(error):
            raise
        # a build of SQLite without full-text search: titles are searched instead
    db.execute("INSERT INTO state VALUES (?, ?, 0, 0, 0)", (FORMAT, head))


def _clear(db: sqlite3.Connection) -> None:
    for name in ("words", "state", "entries", "parts", "tags", "facets"):
        db.execute(f"DROP TABLE IF EXISTS {name}")
