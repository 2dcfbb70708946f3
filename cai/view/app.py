"""The web application: every page at its address, behind the gate."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from cai.view import evaluation, labelling, lists, reports, runs, sides, training
from cai.view.gate import Gate, Rules
from cai.view.library import Library, Missing
from cai.view.site import ERRORS, HERE, Site
from cai.weights import cache_folder


def application(root: Path, rules: Rules, cache: Path | None = None) -> Starlette:
    """The viewer of the runs below `root`. `cache`: where indexes are kept; without, the user's cache folder."""
    site = Site(Library(root, cache or cache_folder() / "view"), rules)
    tables, suites = evaluation.Tables(), evaluation.Suites()

    def failed(request: Request, error: Exception) -> Response:
        return site.failed(request, error)

    def lost(request: Request, error: Exception) -> Response:
        return site.failed(request, Missing(f"there is no page {request.url.path}"))

    return Starlette(
        routes=[
            *runs.routes(site),
            *lists.routes(site),
            *training.routes(site),
            *evaluation.routes(site, tables, suites),
            *sides.routes(site, tables, suites),
            *reports.routes(site),
            *labelling.routes(site),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Gate, rules=rules)],
        exception_handlers={**dict.fromkeys(ERRORS, failed), 404: lost},
    )
