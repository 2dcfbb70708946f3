"""The loss and its gradient against a plain twin, TRL's own loss, and cases done by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cai.preferences import Preference
from cai.trainers.preference_loss import pairs_of, preference_loss

Groups = list[tuple[list[float], list[Preference]]]
"""Rewards of the answers of each prompt, and its pairs."""


def log_sigmoid(x: float) -> float:
    return float(-np.logaddexp(0, -x))


def sigmoid(x: float) -> float:
    return float(np.exp(log_sigmoid(x)))


def twin(groups: Groups, center: float) -> tuple[float, list[float]]:
    """The loss summed over prompts, and its gradient in each reward, pair by pair."""
    loss, gradient = 0.0, []
    for rewards, pairs in groups:
        slopes = np.zeros(len(rewards))
        for pair in pairs:
            r_a, r_b = rewards[pair.a], rewards[pair.b]
            d = r_a - r_b
            one = pair.weight * pair.p * -log_sigmoid(d - pair.margin)
            other = pair.weight * (1 - pair.p) * -log_sigmoid(-d - pair.margin)
            loss += (one + other + center * (r_a + r_b) ** 2) / len(pairs)
            slope = pair.weight * ((1 - pair.p) * sigmoid(d + pair.margin) - pair.p * sigmoid(pair.margin - d))
            slopes[pair.a] += (slope + 2 * center * (r_a + r_b)) / len(pairs)
            slopes[pair.b] += (-slope + 2 * center * (r_a + r_b)) / len(pairs)
        gradient += slopes.tolist()
    return loss, gradient


def ours(groups: Groups, center: float = 0.0) -> tuple[float, list[float]]:
    told = pairs_of([pairs for _, pairs in groups], [len(rewards) for rewards, _ in groups])
    rewards = torch.tensor([r for group, _ in groups for r in group], dtype=torch.float64, requires_grad=True)
    loss = preference_loss(rewards, told, center)
    loss.backward()
    assert rewards.grad is not None
    return loss.item(), rewards.grad.tolist()


@st.composite
def groups(draw: Any) -> Groups:
    """Up to three prompts of two to four answers, compared at random."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        rewards = draw(st.lists(st.floats(-20, 20), min_size=2, max_size=4))
        places = st.lists(st.integers(0, len(rewards) - 1), min_size=2, max_size=2, unique=True)
        sizes = st.tuples(places, st.floats(0, 1), st.floats(0, 3), st.floats(0, 4))
        told = draw(st.lists(sizes, min_size=1, max_size=5))
        made.append((rewards, [Preference(a, b, p, margin, weight) for (a, b), p, margin, weight in told]))
    return made


@given(groups(), st.sampled_from([0.0, 0.01, 0.5]))
def test_loss_and_gradient_equal_a_plain_twin(made: Groups, center: float) -> None:
    loss, gradient = ours(made, center)
    expected = twin(made, center)
    assert loss == pytest.approx(expected[0], rel=1e-5, abs=1e-5)  # labels are single floats
    assert gradient == pytest.approx(expected[1], rel=1e-5, abs=1e-5)


@given(groups())
def test_swapping_the_answers_changes_nothing(made: Groups) -> None:
    swapped = [(r, [Preference(q.b, q.a, 1 - q.p, q.margin, q.weight) for q in pairs]) for r, pairs in made]
    there, back = ours(made, 0.01), ours(swapped, 0.01)
    assert there[0] == pytest.approx(back[0], rel=1e-4, abs=1e-4)
    assert there[1] == pytest.approx(back[1], rel=1e-4, abs=1e-4)


def test_the_loss_is_least_where_the_lead_is_the_log_odds() -> None:
    best = math.log(0.8 / 0.2)
    losses = {d: ours([([best + d, 0.0], [Preference(0, 1, 0.8)])])[0] for d in (-0.5, 0.0, 0.5)}
    assert min(losses, key=lambda d: losses[d]) == 0.0
    assert losses[0.0] == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


def test_all_pairs_of_a_prompt_by_hand() -> None:
    """InstructGPT: -1 / C(3, 2) sum log s(r_w - r_l) of the ranking 0 > 1 > 2; a second prompt counts as much."""
    ranking = [Preference(0, 1, 1.0), Preference(0, 2, 1.0), Preference(1, 2, 1.0)]
    first = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-3)) + math.log1p(math.exp(-2))) / 3
    second = math.log1p(math.exp(0.5))
    assert ours([([2.0, 1.0, -1.0], ranking)])[0] == pytest.approx(first)
    both: Groups = [([2.0, 1.0, -1.0], ranking), ([0.0, 0.5], [Preference(0, 1, 1.0)])]
    assert ours(both)[0] == pytest.approx(first + second)


def test_a_margin_by_hand() -> None:
    """Llama 2: -log s(r_c - r_r - m), by which a lead of 2 is worth what a lead of 1 is worth without."""
    assert ours([([2.0, 0.0], [Preference(0, 1, 1.0, margin=1.0)])])[0] == pytest.approx(math.log1p(math.exp(-1)))
    soft = 0.7 * math.log1p(math.exp(-1)) + 0.3 * math.log1p(math.exp(3))
    assert ours([([2.0, 0.0], [Preference(0, 1, 0.7, margin=1.0)])])[0] == pytest.approx(soft)


def test_a_weight_counts_as_often_as_it_says() -> None:
    once, thrice = (ours([([2.0, 0.0], [Preference(0, 1, 0.7, weight=w)])]) for w in (1.0, 3.0))
    assert thrice[0] == pytest.approx(3 * once[0])
    assert thrice[1] == pytest.approx([3 * slope for slope in once[1]])


def test_centring_is_trls() -> None:
    """c (r_a + r_b)^2, whatever the pair weighs."""
    pull = [ours([([2.0, 0.5], [Preference(0, 1, 1.0, weight=w)])], c)[0] for c in (0.01, 0.0) for w in (1.0, 2.0)]
    assert pull[0] - pull[2] == pytest.approx(0.01 * 2.5**2) == pull[1] - pull[3]
