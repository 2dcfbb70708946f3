"""A step of PPO beside one of TRL's RLOO: time and peak memory, with the same model, rewards, prompts and lengths.

    python -m benchmarks.rl_step

Each training runs in a process of its own, a few steps of 16 answers, 4 to a prompt, of up to 32 tokens; they take
turns, in turned order. A step's time is that between the ends of two steps, so the first doesn't count. Every answer is
scored by the same preference model, SmolLM2-135M with a head that has learned nothing, which costs as much as a trained
one. Rows go to benchmarks/rl.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.__main__ import merge_rows

RESULTS = Path(__file__).with_name("rl.json")
STEPS, PROMPTS, SAMPLES, TOKENS, TURNS = 4, 4, 4, 32, 1
SETTINGS: dict[str, dict[str, Any]] = {
    "rloo": {"algorithm": "rloo"},
    "ppo": {"algorithm": "ppo", "critic": "separate"},
    "ppo-head": {"algorithm": "ppo", "critic": "head"},
    "rloo-lora": {"algorithm": "rloo", "adapter": {}},
    "ppo-lora": {"algorithm": "ppo", "critic": "head", "adapter": {}},
}
TOLD = {
    "ppo": "PPO with a critic of its own",
    "ppo-head": "PPO with a value head on the policy",
    "ppo-lora": "PPO with LoRA and a value head",
    "rloo-lora": "RLOO with LoRA",
}
PARTS = ("generating", "reading", "scoring")
TIMED = ("rloo", "ppo", "ppo-head")


def main() -> None:
    """Measures all and writes the rows."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for turn in range(TURNS):
        for name in TIMED if turn % 2 == 0 else reversed(TIMED):
            found[name].append(_apart(name))
    for name in set(SETTINGS) - set(TIMED):
        found[name].append(_apart(name))
    rows = [*(_speed(name, found) for name in TIMED[1:]), *(_memory(name, found) for name in TOLD)]
    merge_rows(RESULTS, rows)
    for row in rows:
        print(f"{row['name']}: {row['value']:.3g} {row['unit']} ({row['reach']}); {row['detail']}")


def _apart(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.rl_step", name]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(name, told, end="", flush=True)
    return json.loads(told)


def _speed(name: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    seconds = {one: statistics.median(s for run in found[one] for s in run["seconds"]) for one in ("rloo", name)}
    ratio = seconds["rloo"] / seconds[name]
    share = {part: statistics.median(run["shares"][part] for run in found[name]) for part in PARTS}
    tokens = PROMPTS * SAMPLES * TOKENS
    return {
        "name": f"rl_step_{name.replace('-', '_')}",
        "value": ratio,
        "reach": "0.8",
        "reached": ratio >= 0.8,
        "unit": "of TRL's RLOO, tokens a second",
        "command": "python -m benchmarks.rl_step",
        "detail": (
            f"{TOLD[name]}: {seconds[name]:.1f} s a step of {tokens} written tokens, RLOO {seconds['rloo']:.1f} s "
            f"(medians of {TURNS} x {STEPS - 1} steps, in turns); of it writing answers takes "
            f"{share['generating']:.0%}, reading them by policy, reference and critic {share['reading']:.0%}, "
            f"scoring them {share['scoring']:.0%}"
        ),
    }


def _memory(name: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    peak = max(run["resident"] for run in found[name])
    plain = max(run["resident"] for run in found["rloo"])
    return {
        "name": f"rl_memory_{name.replace('-', '_')}",
        "value": peak / 1024,
        "reach": "stated",
        "reached": True,
        "unit": "GB",
        "command": "python -m benchmarks.rl_step",
        "detail": f"peak resident memory of {TOLD[name]}, float32 on a CPU; RLOO, full: {plain / 1024:.2f} GB",
    }


def _one(name: str) -> dict[str, Any]:
    """A training in this process: seconds of each step but the first, what they went on, and peak memory, MB."""
    from benchmarks.memory import resident
    from benchmarks.rl_work import configured, train

    common = {"steps": STEPS, "max_tokens": TOKENS, "learning_rate": 1e-9, "save_every": 1000, "samples": SAMPLES}
    sizes = {"prompts_per_step": PROMPTS, "micro_batch": 8}
    more = {"minibatch": PROMPTS * SAMPLES} if name.startswith("ppo") else {}
    watch = _Kept()
    with tempfile.TemporaryDirectory() as folder:
        train(configured({**common, **sizes, **more, **SETTINGS[name]}), Path(folder) / "run", watch)
    return {"seconds": watch.seconds, "shares": watch.shares, "resident": resident()}


class _Kept:
    """Keeps when each step ended, and what was logged."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._rows: list[dict[str, Any]] = []

    def step(self, done: int, total: int) -> None:
        """A step ended."""
        self._ends.append(time.perf_counter())

    def metric(self, row: dict[str, Any]) -> None:
        """Adds a row."""
        self._rows.append(row)

    @property
    def seconds(self) -> list[float]:
        """Of each step but the first."""
        return [after - before for before, after in pairwise(self._ends)]

    @property
    def shares(self) -> dict[str, float]:
        """Of the time of these steps; none where they aren't told, as TRL's aren't."""
        told = [row for row in self._rows if "seconds_generating" in row][1:]
        return {part: sum(row[f"seconds_{part}"] for row in told) / sum(self.seconds) for part in PARTS if told}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_one(sys.argv[1])))
    else:
        main()
