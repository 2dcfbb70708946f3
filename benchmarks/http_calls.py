"""What the pipeline makes of a server that answers at once: calls a second on one core, beside a bare client's."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from rich.console import Console

from cai.config import load_recipe
from cai.engines.http import Client
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.store import RunFolder

PROMPTS, STEPS, IN_FLIGHT, REACH = 2000, 3, 256, 3000


@contextmanager
def _instant_server() -> Iterator[str]:
    """The server's address; it has the last core, and this process the first, while it runs."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.instant_server", str(cores[-1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        os.sched_setaffinity(0, {cores[0]})
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            os.sched_setaffinity(0, cores)
            server.terminate()


@contextmanager
def _noted_bodies() -> Iterator[list[bytes]]:
    """Everything that is sent meanwhile."""
    bodies: list[bytes] = []
    original = Client._send

    async def noting(self: Client, url: Any, data: bytes) -> Any:
        bodies.append(data)
        return await original(self, url, data)

    Client._send = noting
    try:
        yield bodies
    finally:
        Client._send = original


def pipeline_seconds(base_url: str) -> float:
    """Seconds of the revise stage: an answer, a critique and a revision for every prompt, stored and shown."""
    with tempfile.TemporaryDirectory() as root:
        prompts = Path(root) / "many.txt"
        prompts.write_text(
            "\n".join(f"Question number {i}, asked in good faith?" for i in range(PROMPTS * 3 // 2)), "utf-8"
        )
        overrides = [
            f"prompts.harmful={prompts}", f"prompts.limit={PROMPTS}", "revise.few_shot=0",
            "revise.rounds=1", f"engine={{type: openai, base_url: {base_url}, concurrency: {IN_FLIGHT}}}",
            "models={assistant: served, pretrained: {model: tiny-random, engine: {type: scripted}}}",
        ]  # fmt: skip
        folder = RunFolder(Path(root), "smoke")
        steps = run(Material(load_recipe("smoke", overrides)), folder, Reporter(Console(quiet=True)), until="revise")
        return steps["revise"].folder.summary["seconds"]


async def _bare(url: str, bodies: list[Any]) -> float:
    """Seconds in which aiohttp and orjson alone post the same bodies."""
    waiting = iter(bodies)

    async def work(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(url, data=orjson.dumps(body)) as reply:
                orjson.loads(await reply.read())["choices"]

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
        return time.perf_counter() - started


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    with _instant_server() as base_url:
        with _noted_bodies() as bodies:
            pipeline_seconds(base_url)
        calls = PROMPTS * STEPS
        sent = [orjson.loads(body) for body in bodies[-calls:]]  # after those of the stage before
        # In turns, and the best of each: whatever else the machine does only ever slows them down.
        pairs = [
            (pipeline_seconds(base_url), uvloop.run(_bare(f"{base_url}/chat/completions", sent))) for _ in range(3)
        ]
    seconds, bare = (min(column) for column in zip(*pairs, strict=True))
    rate = calls / seconds
    detail = (
        f"{calls} calls in {seconds:.2f} s on one core: stage, templates, HTTP, store and progress; "
        f"bare aiohttp and orjson with the same bodies: {calls / bare:.0f} calls/s"
    )
    return [
        {"name": "http_calls_per_second", "value": rate, "reach": REACH, "reached": rate >= REACH, "unit": "calls/s",
         "command": "python -m benchmarks", "detail": detail},
    ]  # fmt: skip


if __name__ == "__main__":
    print(measure())
