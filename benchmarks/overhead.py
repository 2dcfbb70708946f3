"""What the pipeline adds to an engine: idle share at 50 ms a reply, and calls a second at none."""

import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

import cai.pipeline
from cai.config import load_recipe
from cai.engines.base import Request
from cai.engines.scripted import ScriptedBackend
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import Completion
from cai.store import RunFolder

LATENCY = 0.05


class Watched(ScriptedBackend):
    """Adds up the time in which at least one request was inside the engine."""

    inside = calls = 0
    since = busy = 0.0

    async def generate(self, request: Request) -> Completion:
        cls = type(self)
        if cls.inside == 0:
            cls.since = time.perf_counter()
        cls.inside += 1
        cls.calls += 1
        try:
            return await super().generate(request)
        finally:
            cls.inside -= 1
            if cls.inside == 0:
                cls.busy += time.perf_counter() - cls.since


def _revise(prompts: Path, latency: float, in_flight: int) -> tuple[float, float, int]:
    """Wall of the stage, share in which the engine had no request, and calls."""
    Watched.inside, Watched.calls, Watched.busy = 0, 0, 0.0
    overrides = [f"prompts.harmful={prompts}", "prompts.limit=null", "revise.few_shot=5", "revise.rounds=4",
                 f"engine.latency={latency}", f"engine.concurrency={in_flight}"]  # fmt: skip
    recipe = load_recipe("smoke", overrides)
    original: Any = cai.pipeline.open_engine
    cai.pipeline.open_engine = lambda config, model: Watched(config)  # type: ignore[assignment]
    try:
        with tempfile.TemporaryDirectory() as root:
            folder = RunFolder(Path(root), "smoke")
            steps = run(Material(recipe), folder, Reporter(Console(quiet=True)), until="revise")
            seconds = steps["revise"].folder.summary["seconds"]
    finally:
        cai.pipeline.open_engine = original
    return seconds, 1 - Watched.busy / seconds, Watched.calls


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "many.txt"
        prompts.write_text("\n".join(f"Question number {i}, asked in good faith?" for i in range(1400)), "utf-8")
        seconds, idle, calls = _revise(prompts, LATENCY, 256)
        fast, _, fast_calls = _revise(prompts, 0.0, 64)
    command = "python -m benchmarks"
    detail = f"{calls} calls of {LATENCY} s, 256 in flight, in {seconds:.2f} s; store and progress included"
    fast_detail = f"{fast_calls} calls in {fast:.2f} s on one core; stage, templates, store and progress included"
    return [
        {"name": "pipeline_overhead", "value": idle, "reach": 0.03, "reached": idle <= 0.03, "unit": "idle share",
         "command": command, "detail": detail},
        {"name": "calls_per_second", "value": fast_calls / fast, "reach": 5000, "reached": fast_calls / fast >= 5000,
         "unit": "calls/s", "command": command, "detail": fast_detail},
    ]  # fmt: skip
