"""A server that speaks OpenAI's HTTP on 127.0.0.1 and does a fault at a share of its calls, every kind in turn.

Which item a call is about is read from its words: a prompt holds `item-7`. A call of the same body again is a retry.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

ITEM = re.compile(r"item-\d+")
TIMEOUT = 1.0
"""Seconds: `hang` takes three times as long, so a client should wait no longer than this."""

_STATUSES: dict[str, tuple[int, dict[str, str]]] = {
    "429": (429, {}),
    "429 with Retry-After": (429, {"Retry-After": "0.2"}),
    "500": (500, {}),
    "502": (502, {}),
    "503": (503, {"Retry-After": "soon"}),
    "408": (408, {}),
}
_BODIES: dict[str, bytes] = {
    "cut JSON": b'{"choices": [{"message": {"content": "half of',
    "wrong shape": b'{"choices": {"text": ["no", 1]}, "usage": []}',
    "a list": b"[1, 2, 3]",
    "no choices": b'{"choices": [], "usage": {}}',
    "no content": b'{"choices": [{"message": null, "text": null, "finish_reason": "stop"}]}',
    "invalid UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}, "text": "\xff\xfe"}]}',
    "half a surrogate pair": b'{"choices": [{"message": {"content": "\\ud800"}, "text": "\\ud800"}]}',
    "HTML": b"<html><body>Bad gateway</body></html>",
    "broken off": b'{"choices": [{"message": {"content": "half"}, "text": "half", "finish_reason": "abort"}]}',
}
_SCORED = "no log-probabilities"
HARMLESS = ("empty text", "NUL in the text", "wrong content type")
"""What is an answer all the same: kept as it is, flagged where it is empty."""
FAULTS = (
    *_STATUSES, *_BODIES, "hang", "reset in the body", "reset before a reply", "broken gzip", "huge reply",
    _SCORED, *HARMLESS,
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call: its item, what it asked (a digest), and the fault that was done, if any."""

    item: str
    asked: bytes
    fault: str | None


class FaultyServer:
    """`rate` of the calls, drawn by `seed`, get a fault; `only` is done at every one of these, else all kinds in turn.

    `calls` holds all that came. With `tells`, every answer and every error repeats the `Authorization` that was sent.
    """

    def __init__(self, rate: float, seed: int = 0, only: str | None = None, tells: bool = False) -> None:
        self.rate, self.calls, self.base_url, self._tells = rate, list[Call](), "", tells
        self._draw, self._only, self._waiting = random.Random(seed), only, list[str]()
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator[FaultyServer]:
        """Serves in a thread of its own."""
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        ready = threading.Event()
        thread = threading.Thread(target=self._serve, args=(runner, ready), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def of(self, fault: str) -> list[Call]:
        """The calls at which it was done."""
        return [call for call in self.calls if call.fault == fault]

    def retried(self, fault: str) -> int:
        """How many of them came again."""
        places: dict[bytes, int] = {call.asked: place for place, call in enumerate(self.calls)}
        return sum(call.fault == fault and places[call.asked] > place for place, call in enumerate(self.calls))

    def last_faults(self) -> dict[str, str | None]:
        """By item, the fault that the last try of a call of its ended with; None where none did."""
        found: dict[str, str | None] = {}
        for call in {call.asked: call for call in self.calls}.values():
            broken = call.fault if call.fault not in HARMLESS else None
            found[call.item] = broken or found.get(call.item)
        return found

    def by_item(self, start: int = 0) -> dict[str, int]:
        """Calls from the `start`-th on, by item."""
        counts: dict[str, int] = defaultdict(int)
        for call in self.calls[start:]:
            counts[call.item] += 1
        return counts

    def _serve(self, runner: web.AppRunner, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        self._loop.run_forever()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/{tail:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = await request.read()
        body = orjson.loads(asked)
        fault = self._next(bool(body.get("logprobs")))
        items = ITEM.findall(asked.decode("utf-8", "replace"))
        self.calls.append(Call(items[-1] if items else "", asked, fault))
        told = f" You sent {request.headers.get('Authorization')}." if self._tells else ""
        return await _answer(request, body, fault, told)

    def _next(self, scored: bool) -> str | None:
        """The fault of a call. Log-probabilities can be lacking only where they were asked for."""
        if self._draw.random() >= self.rate:
            return None
        if self._only:
            return self._only
        if not any(fault != _SCORED or scored for fault in self._waiting):
            self._waiting += self._draw.sample(FAULTS, len(FAULTS))
        fault = next(fault for fault in self._waiting if fault != _SCORED or scored)
        self._waiting.remove(fault)
        return fault


async def _answer(request: web.Request, body: dict[str, Any], fault: str | None, told: str) -> web.StreamResponse:
    if fault in _STATUSES:
        status, headers = _STATUSES[fault]
        return web.Response(
            status=status, headers=headers, body=orjson.dumps({"error": {"message": f"not now.{told}"}})
        )
    if fault in _BODIES:
        return web.Response(body=_BODIES[fault], content_type="application/json")
    if fault in _BROKEN:
        return await _BROKEN[fault](request)
    text = {"empty text": "", "NUL in the text": "An \0 answer."}.get(
        fault or "", f"Here is a kind and careful answer.{told}"
    )
    kind = "text/html" if fault == "wrong content type" else "application/json"
    return web.Response(body=orjson.dumps(reply(body, text, fault != _SCORED)), content_type=kind)


def reply(body: dict[str, Any], text: str, scored: bool = True) -> dict[str, Any]:
    """What a server that works answers."""
    chat = "messages" in body
    words = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", **words}
    if body.get("logprobs") and scored:
        top = {"A": -0.5, "B": -1.0, "C": -2.5, "A)": -2.0, "(A": -3.0, "(B": -3.5}
        top |= {"(C": -4.5, **{f" {rating}": -1.0 - rating for rating in range(5)}}
        entries = [{"token": token, "logprob": value} for token, value in top.items()]
        choice["logprobs"] = {"content": [{"top_logprobs": entries}]} if chat else {"top_logprobs": [top]}
    return {"choices": [choice], "usage": {"prompt_tokens": 30, "completion_tokens": 8}}


async def _hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3 * TIMEOUT)
    return web.Response(status=500)


async def _reset(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(_BODIES["cut JSON"])
    return await _dropped(request)


async def _dropped(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def _gzip(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x1f\x8b\x08 no gzip", headers={"Content-Encoding": "gzip"})


async def _huge(request: web.Request) -> web.StreamResponse:
    """40 MB of an answer that goes on and on."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        await response.write(b'{"choices": [{"message": {"content": "')
        for _ in range(40):
            await response.write(b"very " * (2**20 // 5))
    except ConnectionError:
        pass  # it had enough
    return response


_BROKEN: dict[str | None, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "hang": _hang,
    "reset in the body": _reset,
    "reset before a reply": _dropped,
    "broken gzip": _gzip,
    "huge reply": _huge,
}
