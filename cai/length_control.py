"""Win rates at equal length: what a judge would prefer if both answers were as long as each other.

Length-controlled AlpacaEval (Dubois et al. 2024, arXiv 2404.04475, section 3): the judge's probability is fitted by
s(t + f tanh(d / sd(d))), where d is the difference in length in characters, and read at d = 0.

Deviations: no term for the difficulty of an instruction, which they fit on the answers of many other models; a small
ridge instead of their L1 penalty chosen by cross-validation and their rows of gamed answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cai.elo import solved
from cai.stats import Estimate, bootstrap
from cai.verdicts import logistic

RIDGE = 0.01
"""Weight of t^2 / 2 + f^2 / 2 beside the loss: keeps the fit finite where length or model explains every verdict."""

RESAMPLES = 400
"""At the most: each takes a fit."""

Judgement = tuple[float, int]
"""P(the first answer is better), and its length less that of the other, characters."""

Point = tuple[float, float]
"""The same with tanh of the scaled length."""


def length_controlled(judged: Sequence[Judgement], seed: int = 0, resamples: int = RESAMPLES) -> Estimate | None:
    """The win rate at equal length, with a bootstrap interval over the judgements; None where there are none.

    The scale of lengths is held, and every resample is fitted from the whole fit on.
    """
    points = _scaled(judged)
    start = _fitted(points, (0.0, 0.0)) if points else (0.0, 0.0)
    return bootstrap(points, lambda drawn: logistic(_fitted(drawn, start)[0]), seed, min(resamples, RESAMPLES))


def fitted(judged: Sequence[Judgement]) -> tuple[float, float]:
    """(t, f) of least loss; f is 0 where all answers are as long as each other."""
    return _fitted(_scaled(judged), (0.0, 0.0))


def _scaled(judged: Sequence[Judgement]) -> list[Point]:
    spread = _deviation([length for _, length in judged])
    return [(p, math.tanh(length / spread) if spread else 0.0) for p, length in judged]


def _fitted(points: Sequence[Point], at: tuple[float, float]) -> tuple[float, float]:
    """Newton's method; a step that raises the loss is halved until it does not."""
    value = loss(points, *at)
    for _ in range(100):
        step = _newton(points, *at)
        size = 1.0
        while (now := loss(points, at[0] + size * step[0], at[1] + size * step[1])) > value and size > 1e-9:
            size /= 2
        if now > value:
            return at
        at, value = (at[0] + size * step[0], at[1] + size * step[1]), now
        if max(map(abs, step)) < 1e-7:
            return at
    return at


def loss(points: Sequence[Point], t: float, f: float) -> float:
    """Soft cross-entropy of (p, tanh of the length difference), nats in all, and the ridge."""
    nats = 0.0
    for p, x in points:
        logit = t + f * x
        nats += max(logit, 0.0) - p * logit + math.log1p(math.exp(-abs(logit)))  # -[p log s(z) + (1 - p) log s(-z)]
    return nats + RIDGE * (t * t + f * f) / 2


def _newton(points: Sequence[Point], t: float, f: float) -> tuple[float, float]:
    slopes, bends = [-RIDGE * t, -RIDGE * f], [RIDGE, 0.0, RIDGE]
    for p, x in points:
        q = logistic(t + f * x)
        bend = q * (1 - q)
        slopes[0] += p - q
        slopes[1] += (p - q) * x
        bends[0] += bend
        bends[1] += bend * x
        bends[2] += bend * x * x
    first, second = solved([bends[:2], bends[1:]], slopes)
    return first, second


def _deviation(values: Sequence[int]) -> float:
    """The standard deviation of a sample; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
