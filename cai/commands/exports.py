"""The command `export` for runs: what was written, and what to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from cai.export.folder import Export, export_to
from cai.export.hub import PREFIX, push
from cai.export.models_folder import export_models
from cai.export.rl_folder import Project, export_rl
from cai.export.rl_settings import RlSource
from cai.export.source import Source, open_source
from cai.store import RunFolder
from cai.terminal import say


def export_run(console: Console, run: str, to: str, private: bool, runs: Path) -> None:
    """Writes a run's data to a folder, or to the hub where `to` begins with `hub:`, and prints what was written.

    `models` is for the models that it trained, each with a card; `openrlhf` and `verl` are for reinforcement learning
    by these. All three may be followed by `:FOLDER`.
    """
    source = open_source(RunFolder(runs, run))
    named, _, folder = to.partition(":")
    project: Project | None = next((one for one in get_args(Project) if one == named), None)
    if project is not None:
        return _export_rl(console, RlSource(source, runs), project, Path(folder or f"{run}-{project}"))
    if named == "models":
        return _export_models(console, source, Path(folder or f"{run}-models"))
    if to.startswith(PREFIX):
        export, where = push(source, to.removeprefix(PREFIX), private)
    else:
        export, where = export_to(source, Path(to).expanduser()), to
    _print(console, export)
    say(console, f"written to {where}; README.md there says how to load it")


def _export_models(console: Console, source: Source, to: Path) -> None:
    made = export_models(source, to.expanduser())
    for note in made.notes:
        say(console, f"note: {note}")
    _tell_private(console, made.private, "the recipe beside each card tells")
    say(console, f"written to {to}: {', '.join(made.models)}, each with its README.md")
    say(console, f"look through a card, settle its licence, then: hf upload owner/name {to}/{made.models[-1]}")


def _export_rl(console: Console, source: RlSource, project: Project, to: Path) -> None:
    made = export_rl(source, project, to.expanduser())
    for name, count in made.rows.items():
        say(console, f"{name}: {count:,} rows")
    say(console, f"models: {', '.join(made.models)}")
    for note in made.notes:
        say(console, f"note: {note}")
    say(console, f"written to {to}; train.sh there trains, README.md says what is where")


def _print(console: Console, export: Export) -> None:
    table = Table("data set", "split", "rows")
    for one in export.written:
        table.add_row(one.part.table.name, one.part.split, f"{one.rows:,}")
    console.print(table)
    for note in export.notes:
        say(console, f"note: {note}")
    _tell_private(console, export.private, "the recipe and the column `source` tell")


def _tell_private(console: Console, found: Sequence[str], what: str) -> None:
    if found:
        say(console, f"note: {what} of this machine; look before you share: {', '.join(found)}")
