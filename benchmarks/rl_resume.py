"""PPO, RLOO and GRPO killed at random moments and started again, beside the same training unbroken.

    python -m benchmarks.rl_resume

SmolLM2-135M, a few steps of 8 answers, a checkpoint every second step. SIGKILL falls twice on each training, somewhere
in a random step. Compared are the figures of every step and the weights that are left. Rows go to benchmarks/rl.json.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import load_file

from benchmarks.__main__ import merge_rows
from benchmarks.rl_work import configured, train
from benchmarks.watch import Watch

RESULTS = Path(__file__).with_name("rl.json")
STEPS, KILLS = 6, 2
COMMON = {"steps": STEPS, "max_tokens": 16, "learning_rate": 1e-5, "save_every": 2, "prompts_per_step": 4, "samples": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"algorithm": "ppo", "minibatch": 4, "micro_batch": 4, "warmup": 0},
    "rloo": {"algorithm": "rloo", "micro_batch": 4},
    "grpo": {"algorithm": "grpo", "micro_batch": 4},
}
CLOCK = ("seconds", "runtime", "per_second", "step_time")
"""What a figure's name holds where it tells time."""


def main() -> None:
    """Trains each twice and writes the rows."""
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        rows = [_row(name, Path(scratch), dice) for name in SETTINGS]
    merge_rows(RESULTS, rows)
    print(json.dumps(rows, indent=1))


def _row(name: str, scratch: Path, dice: random.Random) -> dict[str, Any]:
    unbroken, broken = scratch / f"{name}-unbroken", scratch / f"{name}-broken"
    _child(name, unbroken).wait()
    kills = [_killed(name, broken, step, dice) for step in sorted(dice.sample(range(1, STEPS), KILLS))]
    _child(name, broken).wait()
    figures, weights = _apart(_figures(unbroken), _figures(broken)), _weights_apart(unbroken, broken)
    return {
        "name": f"rl_resumed_{name}",
        "value": max(figures, weights),
        "reach": "0",
        "reached": max(figures, weights) == 0,
        "unit": "largest difference",
        "command": "python -m benchmarks.rl_resume",
        "detail": (
            f"killed after steps {' and '.join(map(str, kills))} of {STEPS} and resumed: its figures differ from the "
            f"unbroken training's by at most {figures:.3g}, its weights by {weights:.3g}"
        ),
    }


def _child(name: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.rl_resume", name, str(folder)])


def _killed(name: str, folder: Path, step: int, dice: random.Random) -> int:
    """Kills a training within the step after `step`. Returns how many steps it had logged."""
    child, began = _child(name, folder), time.monotonic()
    while len(_figures(folder)) < step and child.poll() is None:
        time.sleep(0.05)
    time.sleep(dice.uniform(0, 0.5 * (time.monotonic() - began) / STEPS))
    if child.poll() is not None:
        raise RuntimeError(f"{name} ended before it could be killed after step {step}")
    child.kill()
    child.wait()
    return len(_figures(folder))


def _figures(folder: Path) -> dict[int, dict[str, float]]:
    """By step, the last that was logged, without what tells time."""
    log, found = folder / "metrics.jsonl", {}
    for line in log.read_text("utf-8").splitlines() if log.is_file() else []:
        row = json.loads(line)
        told = {key: value for key, value in row.items() if isinstance(value, int | float) and not _tells_time(key)}
        found.setdefault(int(row.get("step", 0)), {}).update(told)
    return found


def _tells_time(key: str) -> bool:
    return any(word in key for word in CLOCK)


def _apart(one: dict[int, dict[str, float]], other: dict[int, dict[str, float]]) -> float:
    """The largest difference; infinite where one has a figure that the other lacks."""
    if {step: set(row) for step, row in one.items()} != {step: set(row) for step, row in other.items()}:
        return math.inf
    return max(abs(value - other[step][key]) for step, row in one.items() for key, value in row.items())


def _weights_apart(one: Path, other: Path) -> float:
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    return max((first[name].float() - second[name].float()).abs().max().item() for name in first)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        name, folder = sys.argv[1], Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        train(configured({**COMMON, **SETTINGS[name]}), folder, Watch(Console(quiet=True), folder / "metrics.jsonl"))
    else:
        main()
