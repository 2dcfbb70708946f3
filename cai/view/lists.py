"""The records of a stage as a list that can be narrowed, the page of one entry, and its records as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from cai.records import Comparison, Revision
from cai.view.asked import Asked
from cai.view.chains import chain
from cai.view.library import Missing, Records, Run, pretty
from cai.view.lookup import MOST, Query
from cai.view.site import Site, address

PAGE = 50
"""Entries on a page."""
_PATIENCE = 3.0
"""Seconds for which an entry that is not indexed yet is waited for."""


@dataclass(frozen=True)
class Neighbours:
    """The entries before and after one in the list it was opened from; None at its ends. `place` counts from 0."""

    place: int
    before: str | None
    after: str | None


def routes(site: Site) -> list[Route]:
    """The addresses of these pages."""
    asked = Asked(site.library.root)

    def entries(request: Request) -> Response:
        run, stage = site.run(request), request.path_params["stage"]
        return site.page(request, "list.html.jinja", run=run, tab=stage, **_list(run.records(stage), request))

    def item(request: Request) -> Response:
        run, stage = site.run(request), request.path_params["stage"]
        records, key = run.records(stage), request.query_params.get("id", "")
        reached = records.refresh()
        if not (there := bool(records.lookup.places(key))) and not reached.whole:
            reached = records.refresh(_PATIENCE)
            there = bool(records.lookup.places(key))
        if not there and (to := _longer(run, records, key)):
            return RedirectResponse(to, 303)
        if not there and not reached.whole:
            raise Missing(f"nothing named {key!r} in the {reached.share:.0%} of the records that are indexed so far")
        found = records.at(key)
        near = _neighbours(records, request, key)
        given = {"run": run, "tab": stage, "records": records, "key": key, "near": near, "query": _query(request)}
        if isinstance(found[0], Revision):
            return site.page(
                request, "chain.html.jinja", **given, chain=chain(run, records, key, asked.principles(run))
            )
        judge = asked.of(run, stage, found[-1])
        if isinstance(found[0], Comparison):
            return site.page(request, "pair.html.jinja", **given, one=found[-1], judge=judge)
        plain = [pretty(line) for line in records.lines(key)]
        return site.page(request, "record.html.jinja", **given, one=found[-1], plain=plain, judge=judge)

    def raw(request: Request) -> Response:
        records = site.run(request).records(request.path_params["stage"])
        records.refresh(_PATIENCE)
        lines = list(records.lines(request.query_params.get("id", "")))
        if not lines:
            raise Missing("no such record")
        return PlainTextResponse("\n".join(map(pretty, lines)))

    at = "/run/{run}/records/{stage}"
    return [Route(at, entries), Route(f"{at}/item", item), Route(f"{at}/raw", raw)]


def _list(records: Records, request: Request) -> dict[str, object]:
    reached, query = records.refresh(), _query(request)
    lookup, page = records.lookup, max(1, _whole(request.query_params.get("page"), 1))
    total, rows = lookup.count(query), lookup.page(query, (page - 1) * PAGE, PAGE)
    capped = total == MOST and (query.narrows or query.order != "stored")
    return {
        "records": records,
        "reached": reached,
        "query": query,
        "facets": lookup.facets(),
        "rows": rows,
        "total": total - capped,
        "capped": capped,
        "page": page,
        "pages": page + (len(rows) == PAGE) if capped else max(1, -(-total // PAGE)),
        "start": (page - 1) * PAGE,
        "live": not reached.whole or not records.folder.done,
    }


def _neighbours(records: Records, request: Request, key: str) -> Neighbours | None:
    """Where the entry stands in the list it was opened from; without one, in all as stored."""
    query, place = _query(request), _whole(request.query_params.get("at"), -1)
    if place < 0:
        found = records.lookup.entry(key)
        if query.narrows or query.order != "stored" or found is None:
            return None
        place = found[1]
    rows = records.lookup.page(query, max(0, place - 1), 3)
    keys: Callable[[int], str | None] = lambda at: rows[at].key if 0 <= at < len(rows) else None  # noqa: E731
    here = min(place, 1)
    return Neighbours(place, keys(here - 1), keys(here + 1)) if keys(here) == key else None


def _longer(run: Run, records: Records, key: str) -> str | None:
    """The address of the one entry whose name begins so, as `cai show` takes it."""
    named = records.lookup.named(key) if key else []
    return address(run, "records", records.stage, "item", id=named[0]) if len(named) == 1 else None


def _query(request: Request) -> Query:
    return Query.of(request.query_params)


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else otherwise
