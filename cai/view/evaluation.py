"""The evaluation of a run: its models beside each other, and the way from a figure to the answers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

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

SUITE_DRAWS = 300
"""Resamples of a suite at the most: each is a fit where the figure is an Elo rating."""


@dataclass(frozen=True)
class Table:
    """Each model on each kind of prompt, with intervals from so many resamples."""

    rows: tuple[TableRow, ...]
    resamples: int


Made = TypeVar("Made")


class Kept(Generic[Made]):
    """What is made of the records of some stages of a run; it is made again where they have grown."""

    def __init__(self, make: Callable[[Run], Made], counts: Callable[[Run], Iterable[str]]) -> None:
        self._make, self._counts = make, counts
        self._known: dict[str, tuple[list[tuple[str, int]], Made]] = {}

    def of(self, run: Run) -> Made | None:
        """What is made of a run; None where none of these stages has left anything yet."""
        steps = run.steps
        paths = [steps[stage].path / "items.jsonl" for stage in self._counts(run)]
        now = [(str(path), path.stat().st_size) for path in paths if path.is_file()]
        if not now:
            return None
        known = self._known.get(run.name)
        if known is None or known[0] != now:
            known = self._known[run.name] = (now, self._make(run))
        return known[1]


class Tables(Kept[Table]):
    """The tables of runs."""

    def __init__(self) -> None:
        super().__init__(_table, lambda run: [stage for stage in _STAGES if stage in run.steps])


class Suites(Kept[list[Grid]]):
    """The tables of the suites that are done."""

    def __init__(self) -> None:
        super().__init__(_grids, lambda run: [one for one in SUITES if one in run.steps and run.steps[one].done])


def routes(site: Site, tables: Tables, suites: Suites) -> list[Route]:
    """The addresses of these pages."""

    def evaluation(request: Request) -> Response:
        run = site.run(request)
        given = {"table": tables.of(run), "headings": HEADINGS, "grids": suites.of(run) or (), "draws": SUITE_DRAWS}
        return site.page(request, "evaluation.html.jinja", run=run, tab="evaluation", **given)

    return [Route("/run/{run}/evaluation", evaluation)]


def _table(run: Run) -> Table:
    steps = run.steps
    found = [_bare(one) for stage in _STAGES if stage in steps for one in steps[stage].records(Measurement)]
    resamples = _resamples(len(found), len({one.model for one in found}))
    return Table(tuple(table(found, resamples)), resamples)


def _grids(run: Run) -> list[Grid]:
    counted = [run.steps[stage].summary.get("items", 0) for stage in (*_STAGES, *SUITES) if stage in run.steps]
    return grids(evaluation_of(run.steps, min(SUITE_DRAWS, _resamples(max(counted)))))


def _resamples(records: int, models: int = 1) -> int:
    return max(100, min(2000, _DRAWS // max(1, records // max(1, models))))


_NOTHING = Completion(text="", raw="", finish="stop", prompt_tokens=0, tokens=0, seed=0)


def _bare(one: Measurement) -> Measurement:
    """Without its texts, which no figure needs and memory might not hold."""
    return one.model_copy(update={"response": _NOTHING, "prompt": one.prompt.model_copy(update={"messages": ()})})
