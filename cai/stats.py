"""Means, rates and their 95 % intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""

MOST_RESAMPLED = 5000
"""Above so many values the normal interval is as good as a bootstrap, and a thousand times faster."""


@dataclass(frozen=True)
class Estimate:
    """A number measured on `n` items and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def percent(share: Estimate) -> Estimate:
    """The same share in percent."""
    return Estimate(100 * share.value, 100 * share.low, 100 * share.high, share.n)


def mean(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Estimate:
    """The mean, with a percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Above 5,000 values the interval is value ± 1.96 standard errors. One value says nothing of its spread: its interval
    is (-inf, inf). Raises ValueError where there are no values or one is not finite.
    """
    _check(values)
    n = len(values)
    middle = math.fsum(values) / n
    if n == 1:
        return Estimate(middle, -math.inf, math.inf, n)
    if n > MOST_RESAMPLED:
        half = Z95 * math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1) / n)
        return Estimate(middle, middle - half, middle + half, n)
    draw = random.Random(seed)
    means = sorted(math.fsum(draw.choices(values, k=n)) / n for _ in range(resamples))
    return Estimate(middle, _quantile(means, 0.025), _quantile(means, 0.975), n)


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0, resamples: int = 2000) -> Estimate:
    """The mean of a - b, item by item, resampled in pairs; as `mean`. Raises ValueError where lengths differ."""
    if len(a) != len(b):
        raise ValueError(f"pairs need as many values on both sides, found {len(a)} and {len(b)}")
    return mean([left - right for left, right in zip(a, b, strict=True)], seed, resamples)


def bootstrap(
    items: Sequence[Item],
    statistic: Callable[[Sequence[Item]], float | None],
    seed: int = 0,
    resamples: int = 1000,
    reflected: bool = False,
) -> Estimate | None:
    """A statistic of items that are drawn together, with a percentile bootstrap interval; None where it has no value.

    `reflected`: the interval is [2 v - high, 2 v - low] instead, widened to the value v (the basic bootstrap, Davison
    and Hinkley 1997, section 5.2.1): for a statistic that noise can only raise, which resampling raises again.
    Resamples without a value are left out. One item says nothing of its spread: its interval is (-inf, inf).
    """
    value = statistic(items) if items else None
    if value is None:
        return None
    if len(items) == 1:
        return Estimate(value, -math.inf, math.inf, 1)
    draw = random.Random(seed)
    drawn = (statistic(draw.choices(items, k=len(items))) for _ in range(resamples))
    values = sorted(found for found in drawn if found is not None)
    if not values:
        return Estimate(value, -math.inf, math.inf, len(items))
    low, high = _quantile(values, 0.025), _quantile(values, 0.975)
    if reflected:
        low, high = min(value, 2 * value - high), max(value, 2 * value - low)
    return Estimate(value, low, high, len(items))


def rate(hits: float, n: int) -> Estimate:
    """The share hits / n, with Wilson's score interval (Wilson 1927). Raises ValueError unless 0 <= hits <= n > 0.

    Hits may hold halves, such as ties: the interval is then a little wider than need be.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"a rate needs 0 <= hits <= n and n > 0, found {hits} of {n}")
    share, z2 = hits / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n hits the exact bound is the share itself, which rounding would miss.
    return Estimate(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)), n)


def to_text(estimate: Estimate, digits: int = 2) -> str:
    """As in `0.42 [0.31, 0.55]`."""
    value, low, high = (f"{number:z.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def bounds(estimate: Estimate | None) -> list[float | None] | None:
    """[low, high] for JSON, which knows no infinity: None stands for one."""
    if estimate is None:
        return None
    return [end if math.isfinite(end) else None for end in (estimate.low, estimate.high)]


def _check(values: Sequence[float]) -> None:
    if not values:
        raise ValueError("a mean needs at least one value, found none")
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"a mean needs finite values, found {value} at position {index}")


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, type 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
