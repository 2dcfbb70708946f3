"""What the trainings of benchmarks/rl_curves.py show: gains with intervals, and score against KL beside best-of-n."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

from cai.stats import Estimate, mean
from cai.trainers.best_of_n import kl_bound

SCORES = {"climbed": "the preference model that is climbed", "watching": "one of another seed, not learned from"}
COLOURS = {"ppo": "#0072b2", "rloo": "#d55e00", "grpo": "#009e73"}
COMMAND = "python -m benchmarks.rl_curves --helpful FILE --climbed MODEL --watching MODEL"


def best_of_n(told: dict[str, Any]) -> list[dict[str, float]]:
    """For n of 1, 2, 4, ...: the mean scores of the answer that the climbed model likes best among n, and its KL bound.

    Over all choices of n from the answers to a prompt: with N answers, the one of rank r from below is the best of
    C(r - 1, n - 1) of C(N, n) choices.
    """
    grouped: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for prompt, climbed, watching in zip(told["prompt"], told["climbed"], told["watching"], strict=True):
        grouped[prompt].append((climbed, watching))
    count = min(map(len, grouped.values()))
    sizes = [2**power for power in range(count.bit_length()) if 2**power <= count]
    return [{"n": n, "kl": kl_bound(n), **_best(list(grouped.values()), n)} for n in sizes]


def _best(grouped: Sequence[Sequence[tuple[float, float]]], n: int) -> dict[str, float]:
    total = dict.fromkeys(SCORES, 0.0)
    for answers in grouped:
        for rank, scores in enumerate(sorted(answers)):
            share = comb(rank, n - 1) / comb(len(answers), n) / len(grouped)
            for name, score in zip(SCORES, scores, strict=True):
                total[name] += share * score
    return total


def rows_of(runs: Path) -> list[dict[str, Any]]:
    """A row for each algorithm and score: its gain on held-out prompts, the mean over seeds."""
    before = _read(runs / "before.json")
    found = []
    for name in COLOURS:
        after = [_read(file) for file in sorted(runs.glob(f"{name}-*/after.json"))]
        if after:
            found += [_row(name, score, before, after) for score in SCORES]
    return found


def _row(algorithm: str, score: str, before: dict[str, Any], after: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seeds = [gains(before, one, score) for one in after]
    estimate = mean([sum(these) / len(these) for these in zip(*seeds, strict=True)])
    return {
        "name": f"rl_{algorithm}_{score}",
        "value": estimate.value,
        "reach": "lower end above 0",
        "reached": estimate.low > 0,
        "unit": "log-odds",
        "command": COMMAND,
        "detail": _detail(seeds, estimate, score, after),
    }


def _detail(seeds: Sequence[Sequence[float]], estimate: Estimate, score: str, after: Sequence[dict[str, Any]]) -> str:
    each = ", ".join(f"{sum(one) / len(one):.2f}" for one in seeds)
    kls = ", ".join(f"{_mean(one['log_ratio']):.1f}" for one in after)
    return (
        f"score by {SCORES[score]}, after less before, on {estimate.n} held-out prompts; 95 % interval over prompts "
        f"[{estimate.low:.2f}, {estimate.high:.2f}]; by seed {each}, at a KL of {kls} nats an answer"
    )


def gains(before: dict[str, Any], after: dict[str, Any], score: str) -> list[float]:
    """By how much the mean score of a prompt's answers rose, for each prompt."""
    first, then = (_by_prompt(one, score) for one in (before, after))
    return [then[prompt] - first[prompt] for prompt in first]


def _by_prompt(told: dict[str, Any], score: str) -> dict[int, float]:
    grouped: defaultdict[int, list[float]] = defaultdict(list)
    for prompt, value in zip(told["prompt"], told[score], strict=True):
        grouped[prompt].append(value)
    return {prompt: _mean(values) for prompt, values in grouped.items()}


def plotted(runs: Path, file: Path) -> None:
    """Both scores on held-out prompts against KL: a point a training, and the curve of best-of-n."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, layout="constrained")
    reference, before = _read(runs / "best-of-n.json"), _read(runs / "before.json")
    for axis, (score, title) in zip(axes, SCORES.items(), strict=True):
        axis.plot([one["kl"] for one in reference], [one[score] for one in reference], "o-", color="#777777", ms=3,
                  label="best of 1 to 16, at its bound")  # fmt: skip
        for name, colour in COLOURS.items():
            after = [_read(path) for path in sorted(runs.glob(f"{name}-*/after.json"))]
            points = [(_mean(one["log_ratio"]), _mean(one[score])) for one in after]
            axis.plot(*zip(*points, strict=True), "o", color=colour, label=name.upper())
        axis.axhline(_mean(before[score]), color="#bbbbbb", lw=0.8)
        axis.set(title=f"Score by {title}", xlabel="KL to the start, nats an answer", ylabel="log-odds")
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
