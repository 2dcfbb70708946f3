"""Kills actors of `cai run` on Ray at work; the run must go on by itself, and leave what an unbroken one does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from benchmarks.chaos_compare import lines

STAGES = ("respond", "revise")
SETTINGS = ("prompts.limit=24", "engine.latency=0.3", "engine.concurrency=4", "distill=null")
RAY = ("executor.type=ray", "executor.concurrency=2", "executor.cpus=0.5", "executor.object_store_gb=0.1")
KIND = "worker killed"
ABOUT = "kill -9 of one of two Ray actors while a stage is walked; the run went on by itself and ended with code 0"

LONGEST = 900.0
"""Seconds after which a run is taken to hang."""


@dataclass(frozen=True)
class Killed:
    """One actor that was killed, how its run ended, and what became of the records of the stage, in any order."""

    stage: str
    code: int | None
    lost: int
    twice: int
    different: int


def kill_workers(points: int, home: Path, recipe: Path, seed: int) -> Iterator[Killed]:
    """Runs until so many actors were killed, one in each stage of a run. Nothing where Ray is not installed."""
    if find_spec("ray") is None or not points:
        return
    draw, left = random.Random(seed), points
    unbroken = _run(home / "unbroken", recipe, ())
    unbroken.wait(LONGEST)
    expected = lines(home / "unbroken" / "chaos")
    for number in range(points):
        if left <= 0:
            return
        root = home / f"workers{number}"
        with _run(root, recipe, RAY) as process:
            struck = [stage for stage in STAGES if _kill_one(process, root / "chaos", stage, draw)]
            code = process.wait(LONGEST)
        found = lines(root / "chaos")
        for stage in struck:
            left -= 1
            yield Killed(stage, code, *_compared(found.get(stage, []), expected[stage]))


def _run(root: Path, recipe: Path, executor: tuple[str, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cai", "run", str(recipe), *SETTINGS, *executor, "--until", STAGES[-1]]
    return subprocess.Popen(
        [*command, "--runs", str(root)],
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill_one(process: subprocess.Popen[bytes], run: Path, stage: str, draw: random.Random) -> bool:
    """Waits until a stage has begun, and a moment longer, and kills one of its actors. Whether one was there."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end and process.poll() is None:
        begun, done = (list(run.glob(f"{stage}-*/{name}")) for name in ("spec.json", "DONE"))
        if done:
            return False
        if begun and len(actors := _actors(process.pid)) == 2:
            time.sleep(draw.uniform(0, 1.5))
            victim = draw.choice(actors)
            if victim.is_running() and not list(run.glob(f"{stage}-*/DONE")):
                victim.kill()
                return True
            return False
        time.sleep(0.02)
    return False


def _actors(parent: int) -> list[psutil.Process]:
    """Ray names its workers by what they do."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def _compared(ours: list[bytes], theirs: list[bytes]) -> tuple[int, int, int]:
    """Records lost, stored twice and different, byte for byte."""
    one, other = Counter(ours), Counter(theirs)
    twice = sum(count - 1 for count in one.values())
    different = sum((one - other).values()) - twice
    return max(0, len(other) - len(one)), twice, max(0, different)
