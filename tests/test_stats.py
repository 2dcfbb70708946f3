"""Intervals against slow twins and hand-computed cases."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.stats import MOST_RESAMPLED, Z95, Estimate, bootstrap, bounds, mean, paired_difference, rate, to_text

NORMAL = [random.Random(index).gauss(0, 1) for index in range(60)]
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


def slow_bootstrap(values: list[float], seed: int, resamples: int) -> tuple[float, float]:
    """Draws one value at a time; reads the quantiles off the empirical distribution by NumPy."""
    numpy = pytest.importorskip("numpy")
    draw = random.Random(seed)
    means = []
    for _ in range(resamples):
        total = 0.0
        for _ in values:
            total += values[math.floor(draw.random() * len(values))]
        means.append(total / len(values))
    return float(numpy.quantile(means, 0.025)), float(numpy.quantile(means, 0.975))


def wilson_by_bisection(hits: int, n: int, side: int) -> float:
    """The share p at which `hits` lies 1.96 standard errors from n * p: what Wilson's formula solves."""
    share = hits / n
    near, far = share, 0.0 if side < 0 else 1.0
    for _ in range(200):
        middle = (near + far) / 2
        inside = abs(share - middle) <= Z95 * math.sqrt(middle * (1 - middle) / n)
        near, far = (middle, far) if inside else (near, middle)
    return near


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [0.0] * 9 + [1.0], NORMAL])
def test_the_bootstrap_equals_its_slow_twin(values: list[float]) -> None:
    estimate = mean(values, seed=7, resamples=400)
    low, high = slow_bootstrap(values, 7, 400)
    assert estimate.value == pytest.approx(sum(values) / len(values))
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    assert estimate.n == len(values)


def test_a_sample_of_two_by_hand() -> None:
    # Half of the resamples of (0, 1) are mixed; a quarter are all 0 and a quarter all 1.
    assert mean([0.0, 1.0], resamples=500) == Estimate(0.5, 0.0, 1.0, 2)


def test_the_interval_covers_the_true_mean_about_nineteen_times_in_twenty() -> None:
    draw = random.Random(1)
    samples = [[draw.gauss(5, 2) for _ in range(40)] for _ in range(150)]
    covered = sum(e.low <= 5 <= e.high for e in (mean(sample, resamples=200) for sample in samples))
    assert 0.87 <= covered / 150 <= 0.99


@settings(max_examples=40)
@given(VALUES, st.integers(0, 5))
def test_an_interval_lies_within_the_values_and_repeats_by_seed(values: list[float], seed: int) -> None:
    estimate = mean(values, seed, 50)
    slack = 1e-9 * max(abs(value) for value in values)
    assert min(values) - slack <= estimate.low <= estimate.high <= max(values) + slack
    assert estimate == mean(values, seed, 50)


def test_values_without_spread_have_an_interval_without_width() -> None:
    value = 0.9560342718892494  # 30 of these summed one by one, over 30, are another number.
    assert mean([value] * 30, resamples=20) == Estimate(value, value, value, 30)


def test_another_seed_gives_another_interval() -> None:
    draw = random.Random(2)
    values = [draw.random() for _ in range(30)]
    assert mean(values, 0, 100) != mean(values, 1, 100)


def test_one_value_has_no_interval() -> None:
    assert mean([3.0]) == Estimate(3.0, -math.inf, math.inf, 1)


def test_many_values_use_the_normal_interval() -> None:
    n = MOST_RESAMPLED + 2
    estimate = mean([0.0, 1.0] * (n // 2))
    half = 1.96 * 0.5 / math.sqrt(n)
    assert estimate.value == 0.5
    assert estimate.high - 0.5 == pytest.approx(half, rel=1e-3)
    assert 0.5 - estimate.low == pytest.approx(half, rel=1e-3)


def test_the_normal_interval_and_the_bootstrap_agree_at_the_border() -> None:
    draw = random.Random(4)
    values = [draw.expovariate(1) for _ in range(MOST_RESAMPLED + 1)]
    many, few = mean(values), mean(values[:-1], resamples=300)
    assert many.low == pytest.approx(few.low, abs=0.006)
    assert many.high == pytest.approx(few.high, abs=0.006)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([]), "at least one value"),
        (lambda: mean([1.0, math.nan]), "found nan at position 1"),
        (lambda: mean([math.inf]), "found inf at position 0"),
        (lambda: paired_difference([], []), "at least one value"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "found 1 and 2"),
        (lambda: rate(0, 0), "found 0 of 0"),
        (lambda: rate(3, 2), "found 3 of 2"),
        (lambda: rate(-1, 2), "found -1 of 2"),
    ],
)
def test_what_has_no_answer_is_refused(call: Callable[[], Estimate], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_by_hand(hits: int, n: int, low: float, high: float) -> None:
    estimate = rate(hits, n)
    assert estimate.value == hits / n
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_own_equation(counts: tuple[int, int]) -> None:
    hits, n = counts
    estimate = rate(hits, n)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low == pytest.approx(wilson_by_bisection(hits, n, -1), abs=1e-9)
    assert estimate.high == pytest.approx(wilson_by_bisection(hits, n, 1), abs=1e-9)


def test_a_tie_is_half_a_hit() -> None:
    assert rate(2.5, 5).value == 0.5
    assert rate(1, 4).low < rate(1.5, 4).low < rate(2, 4).low
    assert rate(1, 4).high < rate(1.5, 4).high < rate(2, 4).high


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], NORMAL])
def test_the_bootstrap_of_a_mean_is_that_of_means(values: list[float]) -> None:
    assert bootstrap(values, lambda drawn: math.fsum(drawn) / len(drawn), 7, 300) == mean(values, 7, 300)


def test_a_reflected_interval_lies_on_the_other_side_of_the_value() -> None:
    def spread(values: Sequence[float]) -> float:
        return max(values) - min(values)

    plain, turned = (bootstrap(NORMAL, spread, 3, 200, reflected=side) for side in (False, True))
    assert plain and turned and plain.value == turned.value == spread(NORMAL)
    assert plain.low < plain.value  # A resample never spreads wider.
    assert (turned.low, turned.high) == (plain.value, pytest.approx(2 * plain.value - plain.low))


def test_resamples_without_a_value_are_left_out() -> None:
    def ratio(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if len(set(values)) == 2 else None

    assert bootstrap([0.0, 1.0], ratio, resamples=100) == Estimate(0.5, 0.5, 0.5, 2)
    assert bootstrap([1.0, 1.0], ratio) is None
    assert bootstrap([], ratio) is None


def test_a_bootstrap_knows_no_spread_where_there_is_none_to_see() -> None:
    assert bootstrap([3.0], lambda drawn: drawn[0]) == Estimate(3.0, -math.inf, math.inf, 1)
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    found = bootstrap(values, lambda drawn: 1.0 if len(set(drawn)) == 8 else None, resamples=5)
    assert found == Estimate(1.0, -math.inf, math.inf, 8)


def test_bounds_for_json() -> None:
    assert bounds(Estimate(0.5, 0.25, 0.75, 9)) == [0.25, 0.75]
    assert bounds(Estimate(3.0, -math.inf, math.inf, 1)) == [None, None]
    assert bounds(None) is None


def test_pairs_are_resampled_together() -> None:
    draw = random.Random(5)
    base = [draw.gauss(0, 100) for _ in range(50)]
    better = [value + 1 for value in base]
    estimate = paired_difference(better, base)
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))


def test_a_paired_difference_is_the_mean_of_differences() -> None:
    a, b = [3.0, 5.0, 9.0], [1.0, 2.0, 4.0]
    assert paired_difference(a, b, 3, 100) == mean([2.0, 3.0, 5.0], 3, 100)


@pytest.mark.parametrize(
    ("estimate", "digits", "text"),
    [
        (Estimate(0.42, 0.31, 0.55, 9), 2, "0.42 [0.31, 0.55]"),
        (Estimate(0.4249, 0.3, 0.5, 9), 3, "0.425 [0.300, 0.500]"),
        (Estimate(-0.001, -1, 2, 9), 1, "0.0 [-1.0, 2.0]"),
        (Estimate(3.0, -math.inf, math.inf, 1), 1, "3.0 [-inf, inf]"),
    ],
)
def test_text(estimate: Estimate, digits: int, text: str) -> None:
    assert to_text(estimate, digits) == text
