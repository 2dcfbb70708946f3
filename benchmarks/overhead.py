"""What the pipeline adds to an engine: idle share at 50 ms a reply, and calls a second at none."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from cai.config import load_recipe
from cai.engines.base import Request
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import Completion
from cai.store import RunFolder

LATENCY = 0.05
TEXT = "The answer could be kinder and say why this may hurt someone, while it still offers help that is honest."


class Bare:
    """An engine that costs nothing of its own: one constant reply, after `latency` seconds.

    The scripted engine draws words and digests each prompt, which would be most of what is measured here. Adds up the
    time in which at least one request was inside.
    """

    reply = Completion(text=TEXT, raw=TEXT, finish="stop", prompt_tokens=100, tokens=22, seed=0)

    def __init__(self, latency: float, concurrency: int) -> None:
        self._latency, self.concurrency = latency, concurrency
        self.calls = self._inside = 0
        self.busy = self._since = 0.0

    async def generate(self, request: Request) -> Completion:
        self.calls += 1
        if self._latency:
            await self._wait()
        return self.reply

    async def score(self, prompt: Any, labels: Any) -> list[float]:
        raise AssertionError("revise scores nothing")

    def close(self) -> None: ...

    async def _wait(self) -> None:
        if self._inside == 0:
            self._since = time.perf_counter()
        self._inside += 1
        await asyncio.sleep(self._latency)
        self._inside -= 1
        if self._inside == 0:
            self.busy += time.perf_counter() - self._since


def revise(prompts: Path, engine: Bare, *overrides: str) -> float:
    """Wall of the `revise` stage, seconds."""
    recipe = load_recipe("smoke", [f"prompts.harmful={prompts}", "prompts.limit=null", *overrides])
    opened = iter((Bare(0.0, 64), engine))  # the answers to helpful prompts are another stage's
    with tempfile.TemporaryDirectory() as root, mock.patch("cai.engines.pool.open_engine", lambda *_: next(opened)):
        folder, reporter = RunFolder(Path(root), "smoke"), Reporter(Console(quiet=True))
        run(Material(recipe), folder, reporter, until="respond")
        steps = run(Material(recipe), folder, reporter, until="revise")
        return steps["revise"].folder.summary["seconds"]


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process on one core while the block runs."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def questions(path: Path, count: int) -> Path:
    """A file of `count` short prompts."""
    path.write_text("\n".join(f"Question number {i}, asked in good faith?" for i in range(count)), "utf-8")
    return path


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    full = ("revise.few_shot=5", "revise.rounds=4")
    slow, fast = Bare(LATENCY, 256), Bare(0.0, 64)
    with tempfile.TemporaryDirectory() as folder, one_core():
        seconds = revise(questions(Path(folder) / "many.txt", 1400), slow, *full)
        quick = revise(questions(Path(folder) / "more.txt", 5600), fast, *full)
    idle, rate = 1 - slow.busy / seconds, fast.calls / quick
    command = "python -m benchmarks"
    detail = f"{slow.calls} calls of {LATENCY} s, 256 in flight, in {seconds:.2f} s; store and progress included"
    fast_detail = f"{fast.calls} calls in {quick:.2f} s on one core; stage, templates, store and progress included"
    return [
        {"name": "pipeline_overhead", "value": idle, "reach": 0.03, "reached": idle <= 0.03, "unit": "idle share",
         "command": command, "detail": detail},
        {"name": "calls_per_second", "value": rate, "reach": 5000, "reached": rate >= 5000,
         "unit": "calls/s", "command": command, "detail": fast_detail},
    ]  # fmt: skip
