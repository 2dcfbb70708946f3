"""Writes the tables of docs/reliability.md from benchmarks/chaos.json and faults.json: python -m benchmarks.pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import chaos_rows, faults

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"
Rows = Sequence[dict[str, Any]]


def chaos(rows: Rows) -> Iterator[str]:
    """How many points there were, and the kinds of strikes by stages."""
    told = {row["name"]: row for row in rows}
    points, aimed = told["chaos_points"], told["chaos_aimed"]
    yield f"{points['value']} points {points['detail']}; {aimed['value']} more {aimed['detail']}."
    yield ""
    yield from chaos_rows.table(rows)


def faulty(rows: Rows) -> Iterator[str]:
    """How many calls there were, and the stages and faults."""
    yield f"{rows[0]['detail']}."
    yield ""
    yield from faults.table(rows)


TABLES: dict[str, Callable[[Rows], Iterable[str]]] = {"chaos": chaos, "faults": faulty}


def written(page: str) -> str:
    """A page with each table between its marks as its rows say. Raises ValueError where a mark is not there once."""
    for name, table in TABLES.items():
        rows = json.loads((HERE / f"{name}.json").read_text("utf-8"))
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"expected {begin.strip()} and {end.strip()} once each")
        (before, rest), text = page.split(begin), "\n".join(table(rows))
        page = f"{before}{begin}\n{text}\n\n{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")
