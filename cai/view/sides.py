"""Two runs side by side: settings that differ, figures, tables of suites, and chains from the same prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cai.evaluation_tables import Grid
from cai.plan import STAGES, differences
from cai.stages.report_effects import HEADINGS
from cai.view.asked import Asked
from cai.view.chains import Chain, chain
from cai.view.evaluation import Suites, Tables
from cai.view.library import Missing, Run
from cai.view.lists import PAGE
from cai.view.lookup import Row
from cai.view.site import Site


@dataclass(frozen=True)
class Difference:
    """A setting, text or model in which a stage of one run differs from that of the other."""

    stage: str
    field: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Beside:
    """The table of a suite of two runs: `groups` holds the rows of both, each with the place of its run, by subject.

    `headings`: those of either; a run that lacks one has "-" there. `said`: what each run's own table shows, in words.
    """

    title: str
    stage: str
    words: int
    headings: tuple[str, ...]
    groups: tuple[tuple[tuple[int, tuple[str, ...]], ...], ...]
    said: tuple[tuple[str, ...], ...]
    note: str


def routes(site: Site, tables: Tables, suites: Suites) -> list[Route]:
    """The addresses of these pages."""
    asked = Asked(site.library.root)

    def sides(request: Request) -> Response:
        names = site.library.names
        a, b = (request.query_params.get(side, "") for side in "ab")
        if not (a and b):
            return site.page(request, "choose.html.jinja", tab="compare", names=names, a=a, b=b)
        runs = site.library.run(a), site.library.run(b)
        page = int(text) if (text := request.query_params.get("page", "1")).isdecimal() else 1
        rows, total = _shared(*runs, page)
        found = [suites.of(one) or [] for one in runs]
        return site.page(
            request,
            "sides.html.jinja",
            tab="compare",
            runs=runs,
            differences=list(differing(*runs)),
            waiting=_waiting(*runs),
            tables=[tables.of(one) for one in runs],
            headings=HEADINGS,
            suites=beside(*found),
            alone=_alone(runs, found),
            rows=rows,
            total=total,
            page=page,
            pages=max(1, -(-total // PAGE)),
        )

    def chains(request: Request) -> Response:
        runs = [site.library.run(request.query_params.get(side, "")) for side in "ab"]
        key = request.query_params.get("id", "")
        found = [_chain(run, key, asked) for run in runs]
        return site.page(request, "side_chains.html.jinja", tab="compare", runs=runs, key=key, chains=found)

    return [Route("/compare", sides), Route("/compare/chain", chains)]


def differing(left: Run, right: Run) -> Iterator[Difference]:
    """Every setting in which stages that both have begun differ."""
    ours, theirs = left.steps, right.steps
    for stage in STAGES:
        specs = [steps[stage].spec if stage in steps else {} for steps in (ours, theirs)]
        if all(specs):
            for field, a, b in differences(*(spec.get("identity", {}) for spec in specs)):
                yield Difference(stage, field, a, b)


def beside(left: Sequence[Grid], right: Sequence[Grid]) -> list[Beside]:
    """The tables that both have, in the order of the first run's."""
    theirs = {grid.title: grid for grid in right}
    return [_beside(one, theirs[one.title]) for one in left if one.title in theirs]


def _beside(left: Grid, right: Grid) -> Beside:
    headings = tuple(dict.fromkeys((*left.headings, *right.headings)))
    groups: dict[tuple[str, ...], list[tuple[int, tuple[str, ...]]]] = {}
    for place, grid in enumerate((left, right)):
        for row in grid.rows:
            known = dict(zip(grid.headings, row, strict=True))
            cells = tuple(known.get(heading, "-") for heading in headings)
            groups.setdefault(row[: grid.words], []).append((place, cells))
    rows = tuple(map(tuple, groups.values()))
    return Beside(left.title, left.stage, left.words, headings, rows, (left.said, right.said), left.note)


def _alone(runs: Sequence[Run], found: Sequence[Sequence[Grid]]) -> list[tuple[str, list[str]]]:
    """Each run with the titles of the tables that it alone has."""
    titles = [[grid.title for grid in grids] for grids in found]
    lone = [[title for title in own if title not in other] for own, other in zip(titles, titles[::-1], strict=True)]
    return [(run.name, own) for run, own in zip(runs, lone, strict=True) if own]


def _waiting(left: Run, right: Run) -> list[str]:
    """The stages that one of them has not begun."""
    steps = [run.steps for run in (left, right)]
    begun = [{stage for stage, step in some.items() if step.spec} for some in steps]
    return [stage for stage in STAGES if (stage in steps[0] or stage in steps[1]) and stage not in begun[0] & begun[1]]


def _shared(left: Run, right: Run, page: int) -> tuple[list[Row], int]:
    try:
        ours, theirs = (run.records("revise") for run in (left, right))
    except Missing:
        return [], 0
    ours.refresh()
    theirs.refresh()
    return ours.lookup.shared(theirs.index, (page - 1) * PAGE, PAGE)


def _chain(run: Run, key: str, asked: Asked) -> Chain | None:
    try:
        records = run.records("revise")
        records.refresh()
        return chain(run, records, key, asked.principles(run))
    except Missing:
        return None
