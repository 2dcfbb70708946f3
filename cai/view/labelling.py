"""The human check: pairs of answers, blind and shuffled, labelled by a named person; and how far people agree."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import get_args
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from cai.errors import InputError
from cai.labels import (
    Agreements,
    Choice,
    HumanLabel,
    add,
    agreements,
    checked_name,
    in_turn,
    labels_of,
    seated_first,
)
from cai.records import Comparison, Seating
from cai.view.gate import checked
from cai.view.library import Missing, Run, inside
from cai.view.site import Site, address

SAMPLE = 50
"""Pairs in a sample, where none is said."""
_MOST = 65_536
"""Bytes of a form."""
_NOTE = 2_000


@dataclass(frozen=True)
class Turn:
    """One pair as a labeller sees it, and how far they are. `said`: what they said of it before."""

    comparison: Comparison
    first: Seating
    place: int
    total: int
    done: int
    previous: str | None
    said: HumanLabel | None

    @property
    def answers(self) -> tuple[str, str]:
        """The texts in the order in which they are shown."""
        a, b = self.comparison.a.text, self.comparison.b.text
        return (a, b) if self.first == "a" else (b, a)


def routes(site: Site) -> list[Route]:
    """The addresses of these pages."""

    def label(request: Request) -> Response:
        run, given = site.run(request), request.query_params
        if not given.get("as"):
            known = {name: len(said) for name, said in _labels(run).items()}
            return site.page(request, "label_start.html.jinja", run=run, tab="label", known=known, size=SAMPLE)
        labeller, size = checked_name(given["as"]), _size(given.get("n", ""))
        turn = _turn(run, labeller, size, given.get("pair", ""))
        told = {"labeller": labeller, "size": size, "turn": turn, "now": round(time.time(), 1)}
        return site.page(request, "label.html.jinja", run=run, tab="label", **told)

    async def save(request: Request) -> Response:
        form = await _form(request)
        if form is None or not checked(site.rules, form.get("csrf", "")):
            return PlainTextResponse("Labels are taken from this viewer's own pages alone.\n", 403)
        run = site.run(request)
        made = await run_in_threadpool(_saved, run, form)
        return RedirectResponse(address(run, "label", **{"as": made.labeller, "n": _size(form.get("n", ""))}), 303)

    def agreement(request: Request) -> Response:
        run = site.run(request)
        return site.page(request, "agreement.html.jinja", run=run, tab="label", told=_agreements(run))

    return [
        Route("/run/{run}/label", label),
        Route("/run/{run}/label", save, methods=["POST"]),
        Route("/run/{run}/agreement", agreement),
    ]


def _turn(run: Run, labeller: str, size: int, wanted: str) -> Turn | None:
    """The pair that is wanted, else the next one without a label; None where all of the sample have one."""
    records = run.records("compare")
    records.refresh()
    order = in_turn(records.lookup.sample(size, without=("verdict", "skipped")), labeller)
    said = _labels(run).get(labeller, {})
    waiting = [key for key in order if key not in said]
    key = wanted if wanted in order else waiting[0] if waiting else None
    if key is None:
        return None
    place, done = order.index(key), len(order) - len(waiting)
    previous = order[place - 1] if place else None
    comparison = records.at(key)[0]
    return Turn(comparison, seated_first(key, labeller), place, len(order), done, previous, said.get(key))


def _saved(run: Run, form: dict[str, str]) -> HumanLabel:
    made = _made(run, form)
    _labels(run)  # raises where they lie elsewhere
    add(run.folder, [made])
    return made


def _made(run: Run, form: dict[str, str]) -> HumanLabel:
    """The label that a form makes. Raises InputError, or Missing where the comparison is not in the run."""
    key, labeller, picked = form.get("comparison", ""), checked_name(form.get("as", "")), form.get("choice", "")
    first = seated_first(key, labeller)
    second = "b" if first == "a" else "a"
    choice: Choice | None = next(
        (one for one in get_args(Choice) if one == {"first": first, "second": second}.get(picked, picked)), None
    )
    if choice is None or picked in ("a", "b"):
        raise InputError(f"no choice {picked[:20]!r}; expected first, second, tie or skip")
    if not run.records("compare").lookup.places(key):
        raise Missing(f"no comparison {key!r}")
    note = form.get("note", "").strip()[:_NOTE]
    return HumanLabel.of(key, labeller, choice, first=first, note=note, seconds=_seconds(form.get("since", "")))


def _labels(run: Run) -> dict[str, dict[str, HumanLabel]]:
    """Raises Missing where the labels lie outside of the runs folder."""
    folder = run.folder.path / "labels"
    if not all(inside(path, run.folder.root) for path in (folder, *folder.glob("*"))):
        raise Missing("the labels of this run lie outside of the runs folder")
    return labels_of(run.folder)


def _agreements(run: Run) -> Agreements:
    labels, records = _labels(run), run.records("compare")
    records.refresh()
    about = {key for said in labels.values() for key in said}
    found = {key: records.lookup.entry(key) for key in about}
    return agreements(labels, {key: row[0].figure for key, row in found.items() if row})


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form; None where it is longer than any of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST:
            return None
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _size(text: str) -> int:
    return min(10_000, max(1, int(text))) if text.isascii() and text.isdigit() and len(text) < 9 else SAMPLE


def _seconds(since: str) -> float | None:
    """How long a page was open; None where it can't be told."""
    try:
        passed = time.time() - float(since)
    except ValueError:
        return None
    return round(passed, 1) if 0 <= passed < 3600 else None
