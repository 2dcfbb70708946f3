"""What the lists of the viewer ask of an index: entries by tags, words and figure, a page at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

from cai.view.entries import Tag
from cai.view.index import PART_BITS, StepIndex, searchable

Order = Literal["stored", "low", "high"]
ORDERS: dict[Order, str] = {"stored": "as stored", "low": "lowest first", "high": "highest first"}
MOST = 10_001
"""What matches is counted up to here: a reader learns no more from the rest, and waits for it."""
_MATCH = f"SELECT DISTINCT rowid >> {PART_BITS} AS n FROM words WHERE words MATCH ?"
_TAG = "f."
"""What begins the name of a tag in a query string, so that no tag can be taken for another field."""


@dataclass(frozen=True)
class Query:
    """What is looked for. `low` and `high` bound the figure; `order` is that of the list."""

    tags: tuple[Tag, ...] = ()
    text: str = ""
    low: float | None = None
    high: float | None = None
    order: Order = "stored"

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Query:
        """From the fields of a query string; what can't be read is left out."""
        tags = tuple((name[len(_TAG) :], value) for name, value in fields.items() if name.startswith(_TAG) and value)
        order: Order = "low" if fields.get("order") == "low" else "high" if fields.get("order") == "high" else "stored"
        return cls(tags, fields.get("q", "")[:500], _number(fields.get("low")), _number(fields.get("high")), order)

    def string(self, **more: object) -> str:
        """As a query string, with further fields; an empty one is left out."""
        fields: dict[str, object] = {f"{_TAG}{name}": value for name, value in self.tags}
        order = "" if self.order == "stored" else self.order
        fields |= {"q": self.text, "low": self.low, "high": self.high, "order": order, **more}
        return urlencode({name: value for name, value in fields.items() if value not in (None, "")})

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.tags or self.text or self.low is not None or self.high is not None)


@dataclass(frozen=True)
class Row:
    """An entry as a list shows it. `parts`: how many records it has."""

    key: str
    title: str
    tags: tuple[Tag, ...]
    figure: float | None
    parts: int

    def of(self, name: str) -> list[str]:
        """The values of one tag."""
        return [value for tag, value in self.tags if tag == name]


@dataclass(frozen=True)
class _Plan:
    """Parts of a query in SQL and the values of its marks, in order."""

    source: str
    where: str
    order: str
    values: tuple[Any, ...]


class Lookup:
    """Reads an index; the figures come from `scores`, another index with the same keys, where it is given."""

    def __init__(self, index: StepIndex, scores: StepIndex | None = None) -> None:
        self._index, self._scores = index, scores

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """The tags that occur, with the number of entries of each."""
        found: dict[str, list[tuple[str, int]]] = {}
        for name, value, count in self._rows("SELECT name, value, count FROM facets ORDER BY name, value", ()):
            found.setdefault(name, []).append((value, count))
        return found

    def count(self, query: Query) -> int:
        """How many entries there are, counted up to MOST."""
        if not query.narrows and query.order == "stored":
            return self._rows("SELECT coalesce(max(n), 0) FROM entries", ())[0][0]
        plan = self._plan(query)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {plan.source} WHERE {plan.where} LIMIT ?)"
        return self._rows(sql, (*plan.values, MOST))[0][0]

    def page(self, query: Query, start: int, count: int) -> list[Row]:
        """`count` entries from the `start`-th on; in the order of their figure only those that have one."""
        plan = self._plan(query)
        sql = f"SELECT e.key, e.title, e.tags, e.figure, e.parts FROM {plan.source} WHERE {plan.where} {plan.order}"
        rows = self._rows(f"{sql} LIMIT ? OFFSET ?", (*plan.values, count, start))
        return self._scored([_row(found) for found in rows])

    def entry(self, key: str) -> tuple[Row, int] | None:
        """The entry of that key and its place as stored; None where there is none."""
        rows = self._rows("SELECT key, title, tags, figure, parts, n FROM entries WHERE key = ?", (key,))
        return (self._scored([_row(rows[0][:5])])[0], rows[0][5] - 1) if rows else None

    def named(self, start: str) -> list[str]:
        """Some keys that begin so."""
        end = start + "\U0010ffff"
        return [
            key for (key,) in self._rows("SELECT key FROM entries WHERE key >= ? AND key < ? LIMIT 20", (start, end))
        ]

    def places(self, key: str) -> list[int]:
        """Where the records of an entry begin, bytes, in the order in which they were stored."""
        sql = "SELECT p.offset FROM parts p JOIN entries e ON e.n = p.entry WHERE e.key = ? ORDER BY p.line"
        return [offset for (offset,) in self._rows(sql, (key,))]

    def sample(self, count: int, without: Tag) -> list[str]:
        """The keys of `count` entries that lack a tag, drawn by a hash of the key: the same ones for every reader."""
        sql = (
            "SELECT key FROM entries WHERE n NOT IN (SELECT entry FROM tags WHERE name = ? AND value = ?)"
            " ORDER BY draw, key LIMIT ?"
        )
        return [key for (key,) in self._rows(sql, (*without, count))]

    def shared(self, other: StepIndex, start: int, count: int) -> tuple[list[Row], int]:
        """Entries whose keys `other` has too, and how many there are."""
        both = "FROM entries e JOIN other.entries o ON o.key = e.key"
        rows = self._rows(
            f"SELECT e.key, e.title, e.tags, e.figure, e.parts {both} ORDER BY e.n LIMIT ? OFFSET ?",
            (count, start),
            other,
        )
        return [_row(found) for found in rows], self._rows(f"SELECT count(*) {both}", (), other)[0][0]

    def _scored(self, rows: list[Row]) -> list[Row]:
        """With the figures of the other index, where it has them."""
        if self._scores is None or not rows:
            return rows
        marks = ", ".join("?" * len(rows))
        sql = f"SELECT key, figure FROM scores.entries WHERE key IN ({marks})"
        figures: dict[str, float | None] = dict(self._rows(sql, [row.key for row in rows]))
        return [replace(row, figure=figures.get(row.key)) for row in rows]

    def _plan(self, query: Query) -> _Plan:
        """What is walked, so that a page is filled without walking all: by figure, by words found, or as stored."""
        words = self._matched(query.text)
        ranked = query.order != "stored" or query.low is not None or query.high is not None
        parts, values = ["1"], list[Any]()
        source, order = "entries e", "ORDER BY e.n"
        if ranked:
            figure = "s.figure" if self._scores else "e.figure"
            source = "scores.entries s CROSS JOIN entries e ON e.key = s.key" if self._scores else source
            parts.append(f"{figure} IS NOT NULL")
            order = {"stored": order, "low": f"ORDER BY {figure}", "high": f"ORDER BY {figure} DESC"}[query.order]
            bounds = ((query.low, ">="), (query.high, "<="))
            parts += [f"{figure} {sign} ?" for bound, sign in bounds if bound is not None]
            values += [bound for bound, _ in bounds if bound is not None]
        if words and not ranked:
            source, order = f"({_MATCH}) f CROSS JOIN entries e ON e.n = f.n", ""  # words are found in the order of n
            values.append(words)
        elif words:
            parts.append(f"e.n IN ({_MATCH})")
            values.append(words)
        elif query.text:
            parts.append("instr(lower(e.title), lower(?))")
            values.append(query.text)
        for tag in query.tags:
            parts.append("e.n IN (SELECT entry FROM tags WHERE name = ? AND value = ?)")
            values += tag
        return _Plan(source, " AND ".join(parts), order, tuple(values))

    def _matched(self, text: str) -> str:
        """What full-text search is asked: all of the words, one before a star as a beginning; "" where it can't be."""
        words = re.findall(r"([^\W_]+)(\*?)", text)
        with closing(self._index.connect()) as db:
            return " ".join(f'"{word}"{star}' for word, star in words) if words and searchable(db) else ""

    def _rows(self, sql: str, values: Sequence[Any], other: StepIndex | None = None) -> list[Any]:
        with closing(self._index.connect()) as db:
            if self._scores:
                db.execute("ATTACH ? AS scores", (str(self._scores.file),))
            if other:
                db.execute("ATTACH ? AS other", (str(other.file),))
            return db.execute(sql, values).fetchall()


def _row(found: Sequence[Any]) -> Row:
    key, title, tags, figure, parts = found
    return Row(key, title, tuple((name, value) for name, value in json.loads(tags)), figure, parts)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None
