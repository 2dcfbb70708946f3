"""The evaluation of a run: its models beside each other, and the way from a figure to the answers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cai.evaluated import SUITES, evaluation_of
from cai.evaluation_tables import Grid, grids
from cai.records import Completion, Measurement
from cai.stages.report_effects import HEADINGS, TableRow, table
from cai.view.library import Run
from cai.view.site import Site

_STAGES = ("evaluate", "guests")
"""Whose measurements stand in the table: those of the run's own models, and of others beside them."""
_DRAWS = 200_000
"""Draws behind an interval, about: a page is to come within a second, and the report has the last word."""


@dataclass(frozen=True)
class Table:
    """Each model on each kind of prompt, with intervals from so many resamples; and a table for each suite that ran."""

    rows: tuple[TableRow, ...]
    resamples: int
    grids: tuple[Grid, ...]


class Tables:
    """The tables of runs; one is made again where its records have grown."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[tuple[str, int]], Table]] = {}

    def of(self, run: Run) -> Table | None:
        """The table of a run; None where nothing was evaluated yet."""
        steps = run.steps
        measured = [steps[stage].path / "items.jsonl" for stage in _STAGES if stage in steps]
        done = [steps[suite].path / "items.jsonl" for suite in SUITES if suite in steps and steps[suite].done]
        now = [(str(path), path.stat().st_size) for path in [*measured, *done] if path.is_file()]
        if not now:
            return None
        known = self._known.get(run.name)
        if known is None or known[0] != now:
            known = self._known[run.name] = (now, _table(run))
        return known[1]


def routes(site: Site, tables: Tables) -> list[Route]:
    """The addresses of these pages."""

    def evaluation(request: Request) -> Response:
        run = site.run(request)
        given = {"table": tables.of(run), "headings": HEADINGS}
        return site.page(request, "evaluation.html.jinja", run=run, tab="evaluation", **given)

    return [Route("/run/{run}/evaluation", evaluation)]


def _table(run: Run) -> Table:
    steps = run.steps
    found = [_bare(one) for stage in _STAGES if stage in steps for one in steps[stage].records(Measurement)]
    resamples = max(100, min(2000, _DRAWS // max(1, _largest(found))))
    suites = grids(evaluation_of(steps, resamples)) if any(suite in steps for suite in SUITES) else []
    return Table(tuple(table(found, resamples)), resamples, tuple(suites))


def _largest(found: Sequence[Measurement]) -> int:
    return len(found) // max(1, len({one.model for one in found}))


_NOTHING = Completion(text="", raw="", finish="stop", prompt_tokens=0, tokens=0, seed=0)


def _bare(one: Measurement) -> Measurement:
    """Without its texts, which no figure needs and memory might not hold."""
    return one.model_copy(update={"response": _NOTHING, "prompt": one.prompt.model_copy(update={"messages": ()})})
