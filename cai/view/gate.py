"""Who may ask what: the name and the token a request must bear, what may be written, and what a page may load."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

COOKIE = "cai_view"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Nothing inline runs, nothing is loaded from elsewhere, no other site may show a page in a frame."""


@dataclass(frozen=True)
class Rules:
    """`token`: what a visitor must bring, "" for none. `csrf`: what a form of ours carries and no other site knows.

    `loopback`: bound to this machine alone, so that a request for any other name is a trick (DNS rebinding).
    """

    loopback: bool = True
    token: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @classmethod
    def of(cls, host: str, token: bool) -> Rules:
        """Bound to `host`; a token is asked for where that is not this machine alone, or where it is wanted."""
        near = is_loopback(host)
        return cls(near, secrets.token_urlsafe(24) if token or not near else "")


def is_loopback(host: str) -> bool:
    """Whether a name stands for this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Gate(BaseHTTPMiddleware):
    """In front of every page and file."""

    def __init__(self, app: Callable[..., object], rules: Rules) -> None:
        super().__init__(app)  # type: ignore[arg-type]
        self._rules = rules

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answers by itself where a request may not pass."""
        response = self._refused(request) or self._welcomed(request) or await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.url.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    def _refused(self, request: Request) -> Response | None:
        if self._rules.loopback and not is_loopback(_name(request.headers.get("host", ""))):
            return PlainTextResponse("This viewer answers to 127.0.0.1 and localhost alone.\n", 421)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Only GET and POST are known here.\n", 405)
        if request.method == "POST" and not _same_origin(request):
            return PlainTextResponse("Labels are taken from this viewer's own pages alone.\n", 403)
        brought = request.query_params.get("token") or request.cookies.get(COOKIE, "")
        if self._rules.token and not _equal(brought, self._rules.token):
            return PlainTextResponse("Open the address that `cai view` printed, with its token.\n", 403)
        return None

    def _welcomed(self, request: Request) -> Response | None:
        """The token goes from the address, where others may see it, into a cookie."""
        if not self._rules.token or "token" not in request.query_params:
            return None
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        there = request.url.path.lstrip("/")
        answer = RedirectResponse(f"/{there}{'?' if rest else ''}{rest}", 303)
        answer.set_cookie(COOKIE, self._rules.token, httponly=True, samesite="strict", path="/")
        return answer


def checked(rules: Rules, sent: str) -> bool:
    """Whether a form is one of ours."""
    return _equal(sent, rules.csrf)


def _same_origin(request: Request) -> bool:
    """By what the browser says of where the form stands; one that says nothing is not let in."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin") or request.headers.get("referer", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host", "")


def _name(host: str) -> str:
    """The host without its port; "" where it is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _equal(sent: str, known: str) -> bool:
    return secrets.compare_digest(sent.encode("utf-8", "replace"), known.encode())
