"""Calibration against hand-computed cases, slow twins and simulated judges of known miscalibration."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.identity import digest
from cai.reliability import (
    BINS,
    CLIP,
    HIGHEST,
    LOWEST,
    MOST,
    NOT_MEASURED,
    Bin,
    cross_fitted,
    fit_smoothing,
    fit_temperature,
    log_loss,
    reliability,
)

PAIRS = st.lists(st.tuples(st.integers(0, 64).map(lambda k: k / 64), st.booleans()), min_size=1, max_size=60)


def simulated(n: int, sharpness: float, seed: int) -> tuple[list[float], list[bool]]:
    """A judge that says s(sharpness z) where s(z) would be true: its temperature is `sharpness`."""
    draw = random.Random(seed)
    logits = [draw.gauss(0, 1.5) for _ in range(n)]
    labels = [draw.random() < 1 / (1 + math.exp(-z)) for z in logits]
    return [1 / (1 + math.exp(-sharpness * z)) for z in logits], labels


def slow_error(ps: list[float], labels: list[bool]) -> float:
    """Sorts pairs into bins by counting, for each, all pairs that are less sure."""
    total = 0.0
    sure = [max(p, 1 - p) for p in ps]
    places = [math.floor(sum(other < one for other in sure) / len(sure) * BINS + 1e-9) for one in sure]
    for place in set(places):
        members = [i for i, other in enumerate(places) if other == place]
        mean_p = sum(sure[i] for i in members) / len(members)
        right = sum(0.5 if ps[i] == 0.5 else (ps[i] > 0.5) == labels[i] for i in members) / len(members)
        total += len(members) / len(ps) * abs(mean_p - right)
    return total


def slow_loss(ps: list[float], labels: list[bool], temperature: float) -> float:
    total = 0.0
    for p, label in zip(ps, labels, strict=True):
        clipped = min(max(p, CLIP), 1 - CLIP)
        soft = 1 / (1 + (1 / clipped - 1) ** (1 / temperature))
        total -= math.log(soft if label else 1 - soft)
    return total / len(ps)


def test_one_bin_by_hand() -> None:
    """Ten verdicts of 0.9, of which six are right: an error of 0.3."""
    found = reliability([0.9] * 10, [True] * 6 + [False] * 4)
    (only,) = found.bins
    assert (only.mean_p, only.right, only.n) == (pytest.approx(0.9), pytest.approx(0.6), 10)
    assert found.error.value == pytest.approx(0.3)
    assert found.error.low <= 0.3 <= found.error.high
    assert found.brier == pytest.approx(0.6 * 0.01 + 0.4 * 0.81)
    assert found.log_loss == pytest.approx(-(0.6 * math.log(0.9) + 0.4 * math.log(0.1)))


def test_bins_hold_equally_many_and_keep_the_same_together() -> None:
    ps = [0.5 + k / 200 for k in range(1, 81)]
    assert [one.n for one in reliability(ps, [True] * 80, resamples=5).bins] == [8] * 10
    found = reliability([0.6] * 70 + [0.7, 0.8, 0.9] * 10, [True] * 100, resamples=5).bins
    assert [(one.mean_p, one.n) for one in found] == [
        (pytest.approx(0.6), 70),
        (pytest.approx(0.7), 10),
        (pytest.approx(0.8), 10),
        (pytest.approx(0.9), 10),
    ]


def test_a_tie_is_half_right_and_well_calibrated() -> None:
    found = reliability([0.5] * 5, [True] * 5)
    assert (found.error.value, found.noise, found.bins) == (0, 0, (Bin(0.5, 0.5, 5),))
    assert (found.brier, found.log_loss) == (0.25, pytest.approx(math.log(2)))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_the_error_equals_its_slow_twin_and_lies_in_its_interval(pairs: list[tuple[float, bool]]) -> None:
    ps, labels = [p for p, _ in pairs], [label for _, label in pairs]
    found = reliability(ps, labels, resamples=20)
    assert found.error.value == pytest.approx(slow_error(ps, labels), abs=1e-12)
    assert sum(one.n for one in found.bins) == len(pairs)
    if len(pairs) > 1:
        assert 0 <= found.error.low <= found.error.value <= found.error.high <= 1


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_the_name_of_the_answers_does_not_matter(pairs: list[tuple[float, bool]]) -> None:
    ps, labels = [p for p, _ in pairs], [label for _, label in pairs]
    other_ps, other_labels = [1 - p for p in ps], [not label for label in labels]
    found, turned = reliability(ps, labels, resamples=10), reliability(other_ps, other_labels, resamples=10)
    assert replace(turned, log_loss=found.log_loss) == found
    assert turned.log_loss == pytest.approx(found.log_loss)
    assert fit_temperature(ps, labels) == pytest.approx(fit_temperature(other_ps, other_labels))


def test_a_calibrated_judge_is_not_found_guilty_and_a_sharp_one_is() -> None:
    """Noise alone makes an error of 0.07 on 200 pairs: it must not count against the judge."""
    honest = [reliability(*simulated(200, 1, seed), resamples=100) for seed in range(30)]
    assert sum(one.error.low > one.noise for one in honest) <= 1
    assert sum(one.error.value for one in honest) / 30 == pytest.approx(sum(one.noise for one in honest) / 30, abs=0.01)
    assert 0.05 < sum(one.noise for one in honest) / 30 < 0.1
    sharp = reliability(*simulated(500, 4, 0))
    assert sharp.error.low > 2 * sharp.noise


@pytest.mark.slow
def test_the_interval_covers_the_true_error() -> None:
    """A judge that always says 0.9 and is right in 65 of 100: its true error is 0.25."""
    draw = random.Random(8)
    covered = 0
    for _ in range(150):
        found = reliability([0.9] * 80, [draw.random() < 0.65 for _ in range(80)], resamples=200)
        covered += found.error.low <= 0.25 <= found.error.high
    assert 0.89 <= covered / 150 <= 0.99


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_simulated_judge_is_recovered(sharpness: float) -> None:
    ps, labels = simulated(3000, sharpness, 5)
    assert fit_temperature(ps, labels) == pytest.approx(sharpness, rel=0.12)


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_no_temperature_on_a_grid_is_better(pairs: list[tuple[float, bool]]) -> None:
    ps, labels = [p for p, _ in pairs], [label for _, label in pairs]
    found = fit_temperature(ps, labels)
    assert LOWEST * (1 - 1e-9) <= found <= HIGHEST * (1 + 1e-9)
    best = log_loss(ps, labels, found)
    for step in range(41):
        assert best <= log_loss(ps, labels, LOWEST * (HIGHEST / LOWEST) ** (step / 40)) + 1e-9


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.floats(0.5, 20))
def test_the_log_loss_equals_its_slow_twin(pairs: list[tuple[float, bool]], temperature: float) -> None:
    ps, labels = [p for p, _ in pairs], [label for _, label in pairs]
    assert log_loss(ps, labels, temperature) == pytest.approx(slow_loss(ps, labels, temperature), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("ps", "labels", "temperature"),
    [
        ([0.9, 0.2], [True, False], LOWEST),
        ([0.9, 0.2], [False, True], HIGHEST),
        ([0.5, 0.5, 0.5], [True, False, True], 1.0),
        ([0.8] * 4, [True, True, True, False], math.log(4) / math.log(3)),
        ([1.0, 0.0, 1.0], [True, False, False], (math.log(1 - CLIP) - math.log(CLIP)) / math.log(2)),
    ],
)
def test_temperatures_by_hand(ps: list[float], labels: list[bool], temperature: float) -> None:
    assert fit_temperature(ps, labels) == pytest.approx(temperature, rel=1e-6)


def test_a_judge_that_is_certain_and_wrong_has_a_finite_loss() -> None:
    assert log_loss([0.0, 1.0], [True, False]) == pytest.approx(-math.log(CLIP))
    assert math.isfinite(log_loss([0.0], [True], LOWEST))


def test_the_loss_after_a_temperature_is_that_of_pairs_it_has_not_seen() -> None:
    ps, labels = simulated(300, 4, 2)
    groups = [f"prompt {index // 3}" for index in range(300)]
    found = cross_fitted(ps, labels, groups, seed=11)
    halves = [int(digest(["half", 11, name])[:8], 16) % 2 for name in groups]
    losses = []
    for own in (0, 1):
        seen = [i for i in range(300) if halves[i] != own]
        temperature = fit_temperature([ps[i] for i in seen], [labels[i] for i in seen])
        losses += [slow_loss([ps[i]], [labels[i]], temperature) for i in range(300) if halves[i] == own]
    assert found.after == pytest.approx(sum(losses) / 300, rel=1e-6)
    assert found.value == fit_temperature(ps, labels)
    assert found.after is not None
    assert log_loss(ps, labels, found.value) < found.after < found.before == log_loss(ps, labels)
    assert 0.3 < sum(halves) / 300 < 0.7


def test_a_temperature_is_worth_nothing_where_there_is_nothing_to_mend() -> None:
    """On 60 pairs of calibrated judges, a fitted temperature seems to help, and does not."""
    runs = [simulated(60, 1, seed) for seed in range(30)]
    found = [cross_fitted(ps, labels, [str(i) for i in range(60)]) for ps, labels in runs]
    seeming = sum(log_loss(ps, labels, one.value) - one.before for (ps, labels), one in zip(runs, found, strict=True))
    assert seeming < 0 < sum(one.after - one.before for one in found if one.after is not None)


def slow_mixture_loss(ps: list[float], labels: list[bool], e: float) -> float:
    """The loss of the mixture (1 - 2 e) p + e, written out."""
    clipped = [min(max(p, CLIP), 1 - CLIP) for p in ps]
    mixed = [(1 - 2 * e) * p + e for p in clipped]
    return -sum(math.log(p if a else 1 - p) for p, a in zip(mixed, labels, strict=True)) / len(ps)


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_no_smoothing_on_a_grid_is_better_and_the_loss_is_that_of_the_mixture(pairs: list[tuple[float, bool]]) -> None:
    ps, labels = [p for p, _ in pairs], [label for _, label in pairs]
    found = fit_smoothing(ps, labels)
    assert 0 <= found <= MOST
    best = log_loss(ps, labels, smoothing=found)
    for step in range(34):
        s = MOST * step / 33
        slow = slow_mixture_loss(ps, labels, s / 2)
        assert log_loss(ps, labels, smoothing=s) == pytest.approx(slow, rel=1e-6, abs=1e-9)
        assert best <= slow + 1e-9


@pytest.mark.parametrize(
    ("ps", "labels", "smoothing"),
    [
        ([0.9] * 4, [True, True, True, False], 0.375),  # to 3/4, the share that is right: 0.9 + s (0.5 - 0.9)
        ([0.9, 0.2], [True, False], 0.0),
        ([0.9, 0.2], [False, True], MOST),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.6] * 4, [True, True, True, False], 0.0),  # too little sure of itself already
    ],
)
def test_smoothings_by_hand(ps: list[float], labels: list[bool], smoothing: float) -> None:
    assert fit_smoothing(ps, labels) == pytest.approx(smoothing, abs=1e-6)


def test_a_share_of_labels_that_are_tossed_is_recovered() -> None:
    """Honest but for one label in five, which is the toss of a coin: s = 0.2, and a temperature fits worse."""
    draw = random.Random(6)
    ps = [1 / (1 + math.exp(-draw.gauss(0, 3))) for _ in range(6000)]
    labels = [draw.random() < (p if draw.random() < 0.8 else 0.5) for p in ps]
    groups = [str(index) for index in range(len(ps))]
    found, other = (cross_fitted(ps, labels, groups, setting=name) for name in ("smoothing", "temperature"))
    assert found.value == pytest.approx(0.2, abs=0.03)
    assert found.gain > other.gain > 0


def test_pairs_of_one_group_cannot_be_halved() -> None:
    found = cross_fitted([0.9, 0.8], [True, True], ["x", "x"])
    assert found.after is None and found.gain == 0


def test_nothing_has_no_calibration() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        reliability([], [])
    with pytest.raises(ValueError, match="at least one pair"):
        fit_temperature([], [])
    with pytest.raises(ValueError, match="at least one pair"):
        fit_smoothing([], [])


def test_as_json() -> None:
    found = reliability([0.9, 0.3], [True, True]).as_json()
    assert found.keys() == NOT_MEASURED.keys()
    assert found["calibration"][0].keys() == {"mean_p", "right", "n"}
