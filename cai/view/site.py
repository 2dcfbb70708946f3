"""What every page shares: the library, the rules of the gate, the templates and the errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cai.errors import CaiError, InputError
from cai.view import texts
from cai.view.entries import LISTINGS
from cai.view.gate import Rules
from cai.view.library import Library, Missing, Run
from cai.view.lookup import ORDERS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """The library that is shown, and under which rules."""

    library: Library
    rules: Rules = field(default_factory=Rules)

    def page(self, request: Request, template: str, code: int = 200, /, **context: Any) -> Response:
        """A rendered page."""
        given = {"request": request, "site": self, "run": None, "tab": "", **context}
        return HTMLResponse(self._templates.get_template(template).render(given), code)

    def run(self, request: Request) -> Run:
        """The run that the address names. Raises Missing."""
        return self.library.run(request.path_params["run"])

    def failed(self, request: Request, error: Exception) -> Response:
        """A page that says what is not there, or what is wrong with the run."""
        status = 404 if isinstance(error, Missing) else 400 if isinstance(error, InputError) else 500
        return self.page(request, "error.html.jinja", status, message=str(error))

    @cached_property
    def _templates(self) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            undefined=jinja2.StrictUndefined,
            autoescape=True,
            finalize=texts.shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {one.__name__: one for one in (texts.cut, texts.number, texts.count, texts.duration)}
        made.filters |= {"setting": texts.setting, "query": query_string}
        made.globals |= {"listings": LISTINGS, "orders": ORDERS, "difference": texts.difference, "address": address}
        return made


def address(run: Run, *places: str, **fields: object) -> str:
    """The address of a page of a run."""
    path = "/".join(urlencode({"": place})[1:].replace("+", "%20") for place in ("run", run.name, *places))
    return f"/{path}{query_string(fields)}"


def query_string(fields: dict[str, object]) -> str:
    """Fields as the end of an address; empty ones are left out."""
    given = urlencode({name: value for name, value in fields.items() if value not in (None, "")})
    return f"?{given}" if given else ""


ERRORS = (Missing, CaiError)
"""What a page may run into, and tells instead of failing."""
