"""Whether probabilities mean what they say: reliability curve, calibration error, and what mends it."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cai.agreement import preferred
from cai.identity import digest
from cai.stats import Estimate, bootstrap, bounds
from cai.verdicts import logistic

CLIP = 1e-6
"""Probabilities are kept so far from 0 and 1: one certain mistake would make a log loss infinite."""

BINS = 10
LOWEST, HIGHEST = 0.01, 100.0
"""The temperatures that are looked for: a judge that is never wrong would have 0, one that is no use infinity."""

MOST = 0.99
"""The strongest smoothing that is looked for: 1 would leave a tie of every pair."""

Setting = Literal["temperature", "smoothing"]
"""What `compare.judge.calibration` can be fitted in."""

_NOISE_RUNS = 200


@dataclass(frozen=True)
class Bin:
    """Pairs of about the same probability: its mean, and the share of them in which it was right."""

    mean_p: float
    right: float
    n: int


@dataclass(frozen=True)
class Reliability:
    """How far P(the side that is preferred), from 0.5 to 1, is the share in which that side is right.

    `error`: expected calibration error, the mean over pairs of |mean p - share right| of their bin (Naeini et al.
    2015). Noise alone makes it positive: `noise` is what probabilities that mean what they say would show on as many
    pairs, and the error's interval says something against a judge where it lies above that. `brier` and `log_loss`
    (nats) are of P(the better answer); 0.25 and 0.693 for one half throughout.
    """

    error: Estimate
    noise: float
    bins: tuple[Bin, ...]
    brier: float
    log_loss: float

    def as_json(self) -> dict[str, Any]:
        """Plain values; `calibration` is the curve."""
        return {
            "calibration_error": self.error.value,
            "calibration_error_interval": bounds(self.error),
            "calibration_error_by_noise": self.noise,
            "calibration": [asdict(one) for one in self.bins],
            "brier": self.brier,
            "log_loss": self.log_loss,
        }


NOT_MEASURED = {
    **dict.fromkeys(("calibration_error", "calibration_error_interval", "calibration_error_by_noise")),
    "calibration": [],
    **dict.fromkeys(("brier", "log_loss")),
}
"""The same where there are no pairs."""


@dataclass(frozen=True)
class Fitted:
    """The temperature, or the smoothing, that fits best, and the log loss (nats) `before` and `after` it.

    `after` is cross-fitted: each half of the pairs is softened by what the other half says. None where a half is empty.
    """

    value: float
    before: float
    after: float | None

    @property
    def gain(self) -> float:
        """By how much the log loss falls, nats, on pairs that were not fitted to; 0 where that is not known."""
        return 0.0 if self.after is None else self.before - self.after


def reliability(ps: Sequence[float], labels: Sequence[bool], seed: int = 0, resamples: int = 1000) -> Reliability:
    """Of P(a is better) and whether a is. The error's interval is a reflected bootstrap over pairs, its bins held.

    Bins hold about equally many pairs, and pairs of the same probability share one. Raises ValueError where there are
    none.
    """
    if not ps:
        raise ValueError("a reliability curve needs at least one pair, found none")
    held = [max(p, 1 - p) for p in ps]
    places = _places(held)
    gaps = [(place, p - _right(raw, a)) for place, p, raw, a in zip(places, held, ps, labels, strict=True)]
    error = bootstrap(gaps, _error, seed, resamples, reflected=True)
    assert error is not None  # A mean of at least one pair has a value.
    error = Estimate(error.value, max(0.0, error.low), min(1.0, error.high), error.n)
    scores = [p if a else 1 - p for p, a in zip(ps, labels, strict=True)]
    brier = math.fsum((1 - p) ** 2 for p in scores) / len(scores)
    return Reliability(error, _noise(places, held, seed), _curve(held, gaps), brier, log_loss(ps, labels))


def log_loss(ps: Sequence[float], labels: Sequence[bool], temperature: float = 1.0, smoothing: float = 0.0) -> float:
    """Mean -log P(the better answer), nats, of P(a is better): clipped by CLIP, then softened, then smoothed.

    Smoothing by s makes p + s (1/2 - p) of p, as `compare.judge.calibration` does.
    """
    margins = [(1 if a else -1) * _logit(p) / temperature for p, a in zip(ps, labels, strict=True)]
    if smoothing:
        losses = [-math.log(q + smoothing * (0.5 - q)) for q in map(logistic, margins)]
    else:
        losses = [max(-x, 0.0) + math.log1p(math.exp(-abs(x))) for x in margins]
    return math.fsum(losses) / len(ps)


def fit_temperature(ps: Sequence[float], labels: Sequence[bool]) -> float:
    """The temperature T from LOWEST to HIGHEST with the least log loss of s(logit(p) / T) (Guo et al. 2017).

    The loss is convex in 1 / T, so its slope there has one zero, which is bisected. Pairs that are all ties fit every
    T: 1. Raises ValueError where there are none.
    """
    if not ps:
        raise ValueError("a temperature needs at least one pair to be fitted to, found none")
    signed = [(1 if a else -1) * _logit(p) for p, a in zip(ps, labels, strict=True)]
    if not any(signed):
        return 1.0
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(50):
        middle = (low + high) / 2
        inverse = math.exp(-middle)
        slope = -math.fsum(margin * logistic(-inverse * margin) for margin in signed)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return math.exp((low + high) / 2)


def fit_smoothing(ps: Sequence[float], labels: Sequence[bool]) -> float:
    """The smoothing s from 0 to MOST with the least log loss of p + s (1/2 - p): the mixture (1 - 2 e) p + e, s = 2 e.

    So it would be were a share s of the labels the toss of a coin, whatever the judge's probability. The loss is convex
    in s, so its slope has one zero, which is bisected. Pairs that are all ties fit every s: 0. Raises ValueError where
    there are none.
    """
    if not ps:
        raise ValueError("a smoothing needs at least one pair to be fitted to, found none")
    better = [logistic((1 if a else -1) * _logit(p)) for p, a in zip(ps, labels, strict=True)]

    def slope(s: float) -> float:
        return math.fsum((q - 0.5) / (q + s * (0.5 - q)) for q in better)

    if slope(0.0) >= 0:
        return 0.0
    low, high = 0.0, MOST
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2


def cross_fitted(
    ps: Sequence[float],
    labels: Sequence[bool],
    groups: Sequence[str],
    seed: int = 0,
    setting: Setting = "temperature",
) -> Fitted:
    """The setting for all pairs, and what such settings are worth on pairs that they have not seen.

    `groups`: pairs of one group, such as those of one prompt, are in the same half, by a hash of seed and name.
    """
    halves: dict[int, list[int]] = {0: [], 1: []}
    for index, name in enumerate(groups):
        halves[int(digest(["half", seed, name])[:8], 16) % 2].append(index)
    after = None
    if halves[0] and halves[1]:
        losses = (len(halves[own]) * _loss_of(ps, labels, halves[own], halves[1 - own], setting) for own in (0, 1))
        after = sum(losses) / len(ps)
    return Fitted(_FITS[setting](ps, labels), log_loss(ps, labels), after)


_FITS = {"temperature": fit_temperature, "smoothing": fit_smoothing}


def _loss_of(ps: Sequence[float], labels: Sequence[bool], own: list[int], other: list[int], setting: Setting) -> float:
    fitted = _FITS[setting]([ps[i] for i in other], [labels[i] for i in other])
    return log_loss([ps[i] for i in own], [labels[i] for i in own], **{setting: fitted})


def _places(held: Sequence[float]) -> list[int]:
    """The bin of each value, by how many values are smaller."""
    ordered = sorted(held)
    return [bisect_left(ordered, p) * BINS // len(held) for p in held]


def _right(p: float, label: bool) -> float:
    """1 where P(a is better) prefers the better answer, 0 where it prefers the other, one half for a tie."""
    side = preferred(p)
    return 0.5 if side is None else float((side == "a") == label)


def _error(gaps: Sequence[tuple[int, float]]) -> float:
    """The sum over bins of |mean p - share right| n / N, which is |sum of (p - right)| / N."""
    return math.fsum(_sums(gaps)) / len(gaps)


def _sums(gaps: Iterable[tuple[int, float]]) -> Iterable[float]:
    """The absolute sum of each bin."""
    sums: dict[int, float] = defaultdict(float)
    for place, gap in gaps:
        sums[place] += gap
    return map(abs, sums.values())


def _noise(places: Sequence[int], held: Sequence[float], seed: int) -> float:
    """The mean error where each pair is right as often as its probability says (Bröcker and Smith 2007)."""
    draw = random.Random(seed)
    pairs = [(place, p) for place, p in zip(places, held, strict=True) if preferred(p)]
    runs = (sum(_sums((place, p - (draw.random() < p)) for place, p in pairs)) for _ in range(_NOISE_RUNS))
    return math.fsum(runs) / _NOISE_RUNS / len(held)


def _curve(held: Sequence[float], gaps: Sequence[tuple[int, float]]) -> tuple[Bin, ...]:
    bins: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for p, (place, gap) in zip(held, gaps, strict=True):
        bins[place].append((p, p - gap))
    return tuple(
        Bin(math.fsum(p for p, _ in pairs) / len(pairs), math.fsum(r for _, r in pairs) / len(pairs), len(pairs))
        for _, pairs in sorted(bins.items())
    )


def _logit(p: float) -> float:
    if p <= CLIP or p >= 1 - CLIP:
        return math.copysign(math.log1p(-CLIP) - math.log(CLIP), p - 0.5)
    return math.log(p) - math.log1p(-p)
