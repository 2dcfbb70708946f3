"""The list of runs, and the page of one: its stages, live while it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cai.errors import StoreError
from cai.view.library import Run
from cai.view.progress import Progress, progress
from cai.view.site import Site


@dataclass(frozen=True)
class Told:
    """A run in the list. `trouble`: why nothing more can be said of it."""

    name: str
    description: str = ""
    done: int = 0
    stages: int = 0
    running: bool = False
    age: float = 0.0
    trouble: str = ""


def routes(site: Site) -> list[Route]:
    """The addresses of these pages."""

    def runs(request: Request) -> Response:
        told = sorted((_told(site.library.run(name)) for name in site.library.names), key=lambda one: one.age)
        return site.page(request, "runs.html.jinja", runs=told)

    def run(request: Request) -> Response:
        found = site.run(request)
        found.read_all()
        stages = progress(found)
        return site.page(request, "run.html.jinja", run=found, tab="run", stages=stages, **_facts(found, stages))

    return [Route("/", runs), Route("/run/{run}", run)]


def _told(run: Run) -> Told:
    try:
        steps = run.steps
        return Told(
            run.name,
            str(run.folder.recipe.get("description", "")),
            sum(step.done for step in steps.values()),
            len(steps),
            run.running is not None,
            time.time() - run.changed,
        )
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        return Told(run.name, trouble=str(error))


def _facts(run: Run, stages: list[Progress]) -> dict[str, object]:
    recipe = run.folder.recipe
    models = recipe.get("models", {})
    spoken = {part: one.get("model") for part, one in models.items() if isinstance(one, dict)}
    began = [spec.get("versions", {}) for step in run.steps.values() if (spec := step.spec)]
    return {
        "recipe": recipe,
        "models": spoken,
        "versions": began[0] if began else {},
        "failures": sum(stage.failures for stage in stages),
        "report": _has_report(run),
        "live": any(stage.state == "in progress" or not stage.whole for stage in stages),
    }


def _has_report(run: Run) -> bool:
    report = run.steps.get("report")
    return bool(report and report.done and (report.path / "report.html").is_file())
