"""Writes the export of a run into a folder: tables, constitution, recipe, card and mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai import __version__
from cai.errors import InputError
from cai.export.card import Written, card
from cai.export.place import CARD, MARK, digest_of, replaced
from cai.export.provenance import private
from cai.export.rules import write_rules
from cai.export.source import Part, Source
from cai.export.tables import TABLES, path_of
from cai.export.writing import write_rows
from cai.store import write_json

_HERE = "path/to/this/folder"


@dataclass(frozen=True)
class Export:
    """What was written. `notes`: what a reader must know of it; `private`: what in it tells of this machine."""

    written: tuple[Written, ...]
    notes: tuple[str, ...]
    private: tuple[str, ...]


def export_to(source: Source, to: Path) -> Export:
    """Exports a run to a folder. Raises as `replaced` and `fill`."""
    with replaced(to, source.name) as folder:
        return fill(source, folder)


def fill(source: Source, folder: Path, address: str = _HERE) -> Export:
    """Writes everything into an empty folder. `address`: what the card says it is loaded from.

    Raises InputError where there is no row to write, MissingExtra where pyarrow is not installed, StoreError where a
    record can't be read.
    """
    written = tuple(_write(part, folder) for part in source.parts())
    if not any(one.rows for one in written):
        raise InputError(f"run {source.name!r} has nothing to export yet: {'; '.join(_unfinished(source))}")
    constitution, changes = write_rules(source, folder)
    notes = (*_unfinished(source), *changes)
    (folder / CARD).write_text(card(source, written, constitution, notes, address), "utf-8")
    write_json(folder / MARK, _mark(source, folder, written))
    return Export(written, notes, tuple(private(source.recipe)))


def _write(part: Part, folder: Path) -> Written:
    path = folder / path_of(part.table, part.split)
    return Written(part, write_rows(path, part.table.columns, part.rows()))


def _unfinished(source: Source) -> list[str]:
    """Which tables are missing or incomplete, and for want of which stages."""
    lacking = {table.name: source.missing(table) for table in TABLES}
    notes = [f"{name} is missing: {' and '.join(stages)} not done" for name, stages in lacking.items() if stages]
    if "evaluate" in source.waiting:
        notes.append("prompts has no held-out ones: evaluate not done")
    return notes


def _mark(source: Source, folder: Path, written: Sequence[Written]) -> dict[str, Any]:
    rows = {path_of(one.part.table, one.part.split): one.rows for one in written}
    steps = {stage: step.spec["digest"] for stage, step in source.done.items()}
    return {"run": source.name, "cai": __version__, "steps": steps, "rows": rows, "card": digest_of(folder / CARD)}
