"""What a prompt costs in memory: the `revise` stage over 10,000 and over 100,000 prompts, on an instant engine."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.overhead import Bare, questions, revise

SIZES = 10_000, 100_000


def resident() -> float:
    """Peak resident memory of this process, MB."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: no VmHWM; this benchmark needs Linux")


def _one(count: int) -> dict[str, float]:
    """What this process takes for `count` training prompts, once `revise` is through."""
    engine = Bare(0.0, 64)
    with tempfile.TemporaryDirectory() as folder:
        prompts = questions(Path(folder) / "many.txt", count * 4 // 3)
        seconds = revise(prompts, engine, "revise.rounds=1", "revise.few_shot=0")
    return {"resident": resident(), "seconds": seconds, "calls": engine.calls}


def measure() -> list[dict[str, Any]]:
    """Rows for results.json. Each size runs in a process of its own."""
    small, large = (_apart(count) for count in SIZES)
    growth = large["resident"] - small["resident"]
    each = 1e6 * large["seconds"] / SIZES[1]
    detail = (
        f"peak resident memory {small['resident']:.0f} MB at {SIZES[0]} prompts, {large['resident']:.0f} MB at "
        f"{SIZES[1]}; {large['calls']:.0f} calls, {each:.0f} us a prompt"
    )
    return [{"name": "memory_growth", "value": growth, "reach": 50, "reached": growth <= 50, "unit": "MB",
             "command": "python -m benchmarks", "detail": detail}]  # fmt: skip


def _apart(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", str(count)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    print(json.dumps(_one(int(sys.argv[1]))))
