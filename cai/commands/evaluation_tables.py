"""The figures of an evaluation on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai.errors import InputError
from cai.evaluation import Evaluation
from cai.evaluation_tables import Grid, grids
from cai.terminal import printable, say


def print_evaluation(console: Console, found: Evaluation) -> None:
    """A table for each suite that was run, and what it says. Raises InputError where none was."""
    tables = grids(found)
    if not tables:
        raise InputError(
            "this run has no suite of an evaluation; give its recipe some, such as win_rates={}, or run one now with "
            "--suite: win_rates, harmfulness, refusals, over_refusal or hhh"
        )
    for grid in tables:
        _print(console, grid)


def _print(console: Console, grid: Grid) -> None:
    table = Table(title=Text(f"{grid.title} [95 %]"), title_justify="left")
    for place, heading in enumerate(grid.headings):
        table.add_column(Text(printable(heading)), justify="left" if place < grid.words else "right")
    for row in grid.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
    for sentence in grid.said:
        say(console, printable(sentence))
