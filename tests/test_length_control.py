"""Win rates at equal length: what length explains is taken out, and what it does not explain stays."""

from __future__ import annotations

import math
import random

import pytest

from cai.length_control import RIDGE, fitted, length_controlled, loss
from cai.verdicts import logistic


def grid(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The least loss on a grid that closes in: slow, and nothing of Newton in it."""
    middle, width = (0.0, 0.0), 8.0
    for _ in range(40):
        steps = [-width, -width / 2, 0.0, width / 2, width]
        middle = min(((middle[0] + i, middle[1] + j) for i in steps for j in steps), key=lambda at: loss(points, *at))
        width *= 0.7
    return middle


def test_it_agrees_with_a_plain_twin() -> None:
    draw = random.Random(1)
    judged = [(draw.random(), draw.randint(-300, 300)) for _ in range(30)]
    mean = sum(length for _, length in judged) / 30
    spread = math.sqrt(sum((length - mean) ** 2 for _, length in judged) / 29)
    points = [(p, math.tanh(length / spread)) for p, length in judged]
    assert fitted(judged) == pytest.approx(grid(points), abs=1e-3)


def test_by_hand_where_no_length_differs() -> None:
    """Four verdicts at 0.8: s(t) = 0.8 but for the ridge, 4 (0.8 - s(t)) = RIDGE t."""
    t, f = fitted([(0.8, 0)] * 4)
    assert f == 0.0
    assert 4 * (0.8 - logistic(t)) == pytest.approx(RIDGE * t, abs=1e-9)
    found = length_controlled([(0.8, 0)] * 4)
    assert found and found.value == pytest.approx(0.8, abs=0.005)


def test_a_model_that_wins_by_length_alone_wins_half_at_equal_length() -> None:
    draw = random.Random(2)
    lengths = [draw.gauss(200, 250) for _ in range(600)]
    spread = 250.0
    judged = [(logistic(1.5 * math.tanh(length / spread)), round(length)) for length in lengths]
    raw = sum(p for p, _ in judged) / len(judged)
    found = length_controlled(judged, resamples=50)
    assert raw > 0.62 and found
    assert found.value == pytest.approx(0.5, abs=0.02)


def test_what_length_does_not_explain_stays() -> None:
    draw = random.Random(3)
    judged = [(logistic(0.9), round(draw.gauss(0, 100))) for _ in range(200)]
    found = length_controlled(judged, resamples=50)
    assert found and found.value == pytest.approx(logistic(0.9), abs=0.005)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_clean_sweep_stays_finite(p: float) -> None:
    t, _ = fitted([(p, 10), (p, -20), (p, 0)])
    assert math.isfinite(t) and (t > 0) == (p == 1.0)


def test_the_other_way_round_is_one_less() -> None:
    judged = [(0.9, 100), (0.2, -50), (0.7, 20), (0.6, -10)]
    turned = [(1 - p, -length) for p, length in judged]
    one, other = length_controlled(judged), length_controlled(turned)
    assert one and other and one.value == pytest.approx(1 - other.value)


def test_nothing_is_said_of_nothing() -> None:
    assert length_controlled([]) is None
