"""The curves of the stages that train, as they were logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cai.store import StepFolder
from cai.view.library import Run
from cai.view.site import Site

_POINTS = 4000
"""Points of a curve that are drawn, at even distances; a screen has fewer columns."""
_FIRST = ("loss", "accuracy", "margin", "reward", "score", "kl", "entropy", "rewards/accuracies", "eval_loss")
"""The figures that stand first; all others follow by name."""
_X = ("step", "epoch")


def routes(site: Site) -> list[Route]:
    """The addresses of these pages."""

    def training(request: Request) -> Response:
        run = site.run(request)
        stages = {stage: _names(run.step(stage).metrics()) for stage in trained(run)}
        live = [stage for stage in stages if not run.step(stage).done]
        return site.page(request, "training.html.jinja", run=run, tab="training", stages=stages, live=live)

    def curves(request: Request) -> Response:
        run = site.run(request)
        return JSONResponse(drawn(run.step(request.path_params["stage"]).metrics()))

    return [Route("/run/{run}/training", training), Route("/run/{run}/training/{stage}.json", curves)]


def trained(run: Run) -> list[str]:
    """The stages that logged figures step by step."""
    return [stage for stage, step in run.steps.items() if _logs(step)]


def drawn(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{"steps": [...], "series": {name: [...]}}, a missing or infinite value as None, thinned to what can be seen."""
    logged = [row for row in rows if isinstance(row.get("step"), int | float)]
    kept = logged[:: max(1, math.ceil(len(logged) / _POINTS))]
    if kept and kept[-1] is not logged[-1]:
        kept = [*kept, logged[-1]]
    series = {name: [_finite(row.get(name)) for row in kept] for name in _names(logged)}
    return {"steps": [row["step"] for row in kept], "series": series}


def _logs(step: StepFolder) -> bool:
    return any("step" in row for row in step.metrics())


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that have a value in at least two rows, the telling ones first; what is logged once is no curve."""
    found: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if name not in _X and _finite(value) is not None:
                found[name] = found.get(name, 0) + 1
    several = [name for name, count in found.items() if count > 1 or len(rows) < 3] or list(found)
    first = [name for name in _FIRST if name in several]
    return first + sorted(set(several) - set(first))


def _finite(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None
