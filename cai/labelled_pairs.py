"""Comparisons that people labelled: beside the judge's verdicts on them, and as pairs to learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cai.agreement import preferred
from cai.judged import Judged
from cai.labels import Labelled
from cai.records import Comparison


def votes(labels: Mapping[str, Labelled]) -> dict[str, list[float]]:
    """By comparison, P(a is better) as each labeller has it: 1, 0, or one half for a tie. Skips say nothing."""
    found: dict[str, list[float]] = defaultdict(list)
    for _, said in sorted(labels.items()):
        for name, label in said.items():
            if label.p_a is not None:
                found[name].append(label.p_a)
    return dict(found)


def judged(comparisons: Iterable[Comparison], said: Mapping[str, list[float]]) -> Iterator[Judged]:
    """The judge's stored verdicts on what people labelled; where as many are for a as for b, there is no better answer.

    Where a pair is of a first answer and its revision, or of two models, `always_a` is no baseline but what people say
    of them.
    """
    for one in comparisons:
        better = preferred(_mean(said[one.id])) if one.id in said else None
        if better:
            words = len(one.a.text.split()), len(one.b.text.split())
            yield Judged(one.id, one.verdict, better, words, prompt=one.prompt.id)


def pairs(comparisons: Iterable[Comparison], said: Mapping[str, list[float]], run: str) -> Iterator[dict[str, Any]]:
    """A row of chosen and rejected for each labelled comparison, as cai/human.py reads them.

    `p` is the share of people for the chosen answer, a tie counting one half to each; `people` says how many they were,
    `comparison` and `run` where the pair comes from. Nobody's name goes with it.
    """
    for one in comparisons:
        if one.id in said:
            yield _row(one, said[one.id], run)


def _row(one: Comparison, said: list[float], run: str) -> dict[str, Any]:
    p_a = _mean(said)
    chosen, rejected = (one.a, one.b) if p_a >= 0.5 else (one.b, one.a)
    return {
        "prompt": [message.model_dump() for message in one.prompt.messages],
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "p": max(p_a, 1 - p_a),
        "people": len(said),
        "comparison": one.id,
        "run": run,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
