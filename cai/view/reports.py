"""The report of a run, in a sandbox of its own: it has styles and plots within, and needs nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cai.view.library import Missing, inside
from cai.view.site import Site

_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


def routes(site: Site) -> list[Route]:
    """The address of this page."""

    def report(request: Request) -> Response:
        path = site.run(request).step("report").path / "report.html"
        if not path.is_file() or not inside(path, site.library.root):
            raise Missing("this run has no report yet")
        return HTMLResponse(path.read_text("utf-8", "replace"), headers={"Content-Security-Policy": _POLICY})

    return [Route("/run/{run}/report", report)]
