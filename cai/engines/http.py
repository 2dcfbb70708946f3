"""JSON over HTTP to one server: many requests in flight, and another try where it may help."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from yarl import URL

from cai import __version__
from cai.credentials import SHORTEST, spellings
from cai.engine_config import OpenAIEngine
from cai.errors import EngineError, ItemFailed

Result = TypeVar("Result")
Pause = Callable[[float], Awaitable[object]]

_AGAIN = frozenset({408, 409, 425, 429})
"""Answers below 500 after which the same request may do better."""
_FATAL = frozenset({401, 402, 403, 404, 405})
"""Answers that every other request would get as well."""
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = 0.5, 60.0, 300.0
"""Seconds: back-off before the second try, its bound, and the most that a server may ask for."""
_KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than uvicorn's 5, which closes it under the next request."""
_LARGEST = 32 * 2**20
"""Bytes of a reply. The log-probabilities of a prompt of 100,000 tokens come to half of it."""
_QUOTED = 300
"""Characters of a server's words that an error repeats."""
_ESCAPED = re.compile(rb"\\[u/]")
"""How JSON can spell a printable character otherwise; line breaks, which most replies have, are no part of a key."""


class BrokenReply(Exception):
    """A try that came to nothing, and why; `after`: seconds that the server asks to wait."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Client:
    """Posts to one server for one model. `pause` is awaited between two tries."""

    def __init__(self, config: OpenAIEngine, model: str, pause: Pause = asyncio.sleep) -> None:
        self._config, self._model, self._pause = config, model, pause
        self._key = os.environ.get(config.key_env, "").strip()
        self._spelled = spellings(self._key) if self._key else None
        self._written = orjson.dumps(self._key)[1:-1] if len(self._key) >= SHORTEST else b""
        self._slots = asyncio.Semaphore(config.concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Result]) -> Result:
        """What `read` makes of the reply's JSON. A reply that it cannot read counts as broken, and is asked for again.

        Raises ItemFailed where this request gets no reply in the end, EngineError where none would.
        """
        url, data = URL(f"{self._config.base_url}/{path}"), _encoded(body)
        tries = 0
        while True:
            try:
                return await self._once(url, data, read)
            except BrokenReply as broken:
                tries += 1
                if tries > self._config.retries:
                    raise ItemFailed(f"{url}: {broken} (tried {tries} times)") from None
                await self._pause(max(broken.after, backoff(tries)))

    def close(self) -> None:
        """Closes every connection; closing twice does no harm. Later and waiting calls raise EngineError."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and self._loop is not None:
            _close(session, self._loop)

    async def _once(self, url: URL, data: bytes, read: Callable[[Any], Result]) -> Result:
        status, headers, received = await self._send(url, data)
        body = self._without_key(received)
        if not 200 <= status < 300:
            raise self._refusal(url, status, headers, body)
        try:
            return read(self._parsed(body))
        except (LookupError, TypeError, AttributeError, ValueError):  # all that JSON of another shape leads to
            raise BrokenReply(f"expected a completion in JSON, found {self._quoted(body)!r}") from None

    async def _send(self, url: URL, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """The time to wait begins once there is a free slot. Raises BrokenReply where nothing whole came back."""
        try:
            async with self._slots, self._opened().post(url, data=data, allow_redirects=False) as reply:
                return reply.status, reply.headers, await _whole(reply)
        except TimeoutError:
            raise BrokenReply(f"no reply within {self._config.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenReply(f"the connection failed: {self._redacted(str(error) or type(error).__name__)}") from None

    def _opened(self) -> aiohttp.ClientSession:
        """The session, opened in the loop that runs."""
        if self._closed:
            raise EngineError("the engine is closed")
        if self._session is None:
            self._loop = asyncio.get_running_loop()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._config.concurrency, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers(),
                proxy=_proxy(self._config.base_url),
                skip_auto_headers=("Accept-Encoding",),  # unpacking costs more than a local server's short replies
                timeout=aiohttp.ClientTimeout(total=self._config.timeout),
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"cai/{__version__}"}
        return {**headers, "Authorization": f"Bearer {self._key}"} if self._key else headers

    def _refusal(self, url: URL, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
        words = f"{url} answered {status}: {self._quoted(body)}"
        if status in _AGAIN or status >= 500:
            return BrokenReply(f"answered {status}: {self._quoted(body)}", retry_after(headers.get("Retry-After")))
        if status < 400:
            return EngineError(
                f"{words}\n  it is elsewhere ({self._redacted(headers.get('Location', ''))}): mend base_url"
            )
        return EngineError(f"{words}\n  {self._advice(status)}") if status in _FATAL else ItemFailed(words)

    def _advice(self, status: int) -> str:
        if status in (404, 405):
            return f"check base_url, and that the server knows the model {self._model!r}"
        sent = "the key that was sent" if self._key else "which is not set"
        return f"check the environment variable {self._config.key_env} ({sent}), and that it may use {self._model!r}"

    def _quoted(self, body: bytes) -> str:
        """The beginning of a server's own words, on one line."""
        words = self._redacted(_message(body))
        return " ".join(words.split())[:_QUOTED] or "(nothing)"

    def _without_key(self, body: bytes) -> bytes:
        """A reply that repeats what it was sent, without the key: replies are kept."""
        for key in {self._key.encode(), self._written} if self._written else ():
            body = body.replace(key, b"[key]")
        return body

    def _parsed(self, body: bytes) -> Any:
        r"""The JSON of a reply. One that spells the key with escapes, as in `\/` or `\u002f`, holds it only now."""
        value = orjson.loads(body)
        if self._written and _ESCAPED.search(body):
            plain = orjson.dumps(value)
            if self._written in plain:
                return orjson.loads(plain.replace(self._written, b"[key]"))
        return value

    def _redacted(self, text: str) -> str:
        """Without the key, however it is spelled: some servers and proxies repeat what they were sent."""
        return self._spelled.sub("[key]", text) if self._spelled else text


async def _whole(reply: aiohttp.ClientResponse) -> bytes:
    """All of a reply, unpacked. Raises BrokenReply where it is longer than any answer."""
    body = bytearray()
    async for piece in reply.content.iter_any():
        body += piece
        if len(body) > _LARGEST:
            raise BrokenReply(f"a reply of more than {_LARGEST // 2**20} MB")
    return bytes(body)


def backoff(tries: int) -> float:
    """Seconds before the next try, drawn from the whole range so that calls that failed together part."""
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 16)))


def retry_after(header: str | None) -> float:
    """Seconds that a server asks to wait, by number or date; 0 where it asks for none."""
    try:
        seconds = float(header or 0)
    except ValueError:
        seconds = _until(header or "")
    return min(_LONGEST_ASKED, max(0.0, seconds))


def _until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _close(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    """Closes the sockets now. Where the loop does not stand ready to see them go, it is left to its own end."""
    closing = session.close()
    if not loop.is_running() and not loop.is_closed():
        loop.run_until_complete(closing)
        return
    with suppress(StopIteration):
        closing.send(None)  # the first step closes them all; the others only wait
    closing.close()


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise ItemFailed(f"the request cannot be written as JSON: {error}") from None


def _message(body: bytes) -> str:
    """`error.message` of the usual error bodies, else all of it."""
    try:
        error = orjson.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return body.decode("utf-8", "replace")


def _proxy(url: str) -> str | None:
    """The environment's proxy for an address. Looked up once: aiohttp would read the environment for each request."""
    parts = urlsplit(url)
    if parts.hostname in ("localhost", "127.0.0.1", "::1") or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)
