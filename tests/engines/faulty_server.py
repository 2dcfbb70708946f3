"""A server on 127.0.0.1 that speaks as OpenAI's does, and fails as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web


class FaultyServer:
    """Answers each request with the next of `faults`, and with an echo of its question once they are used up.

    `reply` replaces the echo. `requests` holds (path, body, headers) of all that came, `most` how many were in flight
    at once.
    """

    def __init__(self, *faults: str | None, reply: Any = None, latency: float = 0.0) -> None:
        self.faults, self.reply, self.latency = list(faults), reply, latency
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.inside = self.most = 0
        self.base_url = ""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body, _ in self.requests]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyServer]:
        app = web.Application()
        app.router.add_post("/v1/{tail:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            body = orjson.loads(await request.read())
            self.requests.append((request.path.removeprefix("/v1/"), body, dict(request.headers)))
            fault = self.faults.pop(0) if self.faults else None
            await asyncio.sleep(self.latency)
            return await self._answer(request, body, fault)
        finally:
            self.inside -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any], fault: str | None) -> web.StreamResponse:
        if fault is None:
            return _json(self.reply if self.reply is not None else echo(body))
        if fault in BODIES:
            return web.Response(body=BODIES[fault], content_type="application/json")
        if fault == "hang":
            await asyncio.sleep(30)
        if fault in ("cut", "hang"):
            return await _cut(request)
        status, _, after = fault.partition(" ")
        headers = {"Retry-After": after} if after else {"Location": "/v2/"} if status.startswith("3") else {}
        told = f"refused, and you sent {request.headers.get('Authorization')}"
        return web.Response(status=int(status), headers=headers, body=orjson.dumps({"error": {"message": told}}))


BODIES = {
    "not json": b"<html>Bad Gateway</html>",
    "no choices": b'{"choices": [], "usage": {}}',
    "shape": b'{"detail": "nothing here"}',
    "list": b"[1, 2]",
    "error in 200": b'{"error": {"message": "overloaded"}}',
    "no content": b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
    "number": b'{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}',
    "null text": b'{"choices": [{"message": null, "text": null, "finish_reason": "stop"}]}',
    "aborted": b'{"choices": [{"message": {"content": "half of"}, "finish_reason": "abort"}]}',
    "filter": b'{"choices": [{"message": {"content": "no"}, "finish_reason": "content_filter"}]}',
}
"""Replies with status 200 that are no answer."""


def echo(body: dict[str, Any]) -> dict[str, Any]:
    """An answer that names its question."""
    question = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    return {"choices": [choice(body, f" You asked: {question} ")], "usage": usage}


def choice(body: dict[str, Any], text: str, finish: str | None = "stop") -> dict[str, Any]:
    words = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
    return {"index": 0, "finish_reason": finish, **words}


async def _cut(request: web.Request) -> web.StreamResponse:
    """Begins an answer and drops the connection in the middle of it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"message": {"content": "half of')
    assert request.transport
    request.transport.close()
    return response


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
