"""Two runs side by side: the settings in which they differ, their figures, and their chains from the same prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cai.plan import STAGES, differences
from cai.stages.report_effects import HEADINGS
from cai.view.asked import Asked
from cai.view.chains import Chain, chain
from cai.view.evaluation import Tables
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


def routes(site: Site, tables: Tables) -> list[Route]:
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
        return site.page(
            request,
            "sides.html.jinja",
            tab="compare",
            runs=runs,
            differences=list(differing(*runs)),
            waiting=_waiting(*runs),
            tables=[tables.of(one) for one in runs],
            headings=HEADINGS,
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
