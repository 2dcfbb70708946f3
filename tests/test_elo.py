"""Elo: hand-computed cases, a slow plain twin, known strengths recovered, and where no finite rating fits."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.elo import NAT, Game, rated, ratings, solved, wins
from cai.stats import Estimate
from cai.verdicts import logistic

ABC: list[str] = ["a", "b", "c"]


def elo(games: list[Game], anchor: str, seed: int = 0, resamples: int = 1000) -> dict[str, Estimate]:
    return rated(games, anchor, seed, resamples).estimates()


def games(counts: dict[tuple[str, str], int]) -> list[Game]:
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [Game(f"p{number}", *pair, 1.0) for number, pair in enumerate(pairs)]


def test_a_nat_is_174_points() -> None:
    assert pytest.approx(173.7178, abs=1e-4) == NAT


@pytest.mark.parametrize(("won", "lost"), [(1, 1), (3, 1), (7, 3), (1, 9)])
def test_of_two_models_it_is_the_log_odds_of_the_share_won(won: int, lost: int) -> None:
    """By hand: 3 of 4 won is log 3 = 1.0986 nats, so 190.85 points."""
    found = ratings({("b", "a"): won, ("a", "b"): lost}, "a")
    assert found == {"a": 0.0, "b": pytest.approx(math.log(won / lost) * 400 / math.log(10))}


def test_by_hand() -> None:
    assert ratings({("b", "a"): 3, ("a", "b"): 1}, "a")["b"] == pytest.approx(190.8485, abs=1e-4)


def test_ties_are_left_out_and_order_of_names_does_not_matter() -> None:
    played = [Game("1", "a", "b", 1.0), Game("2", "b", "a", 0.0), Game("3", "a", "b", 0.5), Game("4", "a", "b", 0.0)]
    assert wins(played) == {("a", "b"): 2, ("b", "a"): 1}


def twin(won: dict[tuple[str, str], float], anchor: str) -> dict[str, float]:
    """The peak of the likelihood, by Hunter's (2004) minorisation: slow, and nothing of Newton in it."""
    models = sorted({name for pair in won for name in pair})
    strength = dict.fromkeys(models, 1.0)
    for _ in range(3000):
        for name in models:
            own = sum(count for (winner, _), count in won.items() if winner == name)
            met = sum(count / (strength[x] + strength[y]) for (x, y), count in won.items() if name in (x, y))
            strength[name] = own / met
    return {name: NAT * math.log(strength[name] / strength[anchor]) for name in models}


@given(st.lists(st.integers(1, 9), min_size=6, max_size=6))
@settings(max_examples=8)
def test_it_agrees_with_a_plain_twin(counts: list[int]) -> None:
    won = {pair: float(count) for pair, count in zip(itertools.permutations(ABC, 2), counts, strict=True)}
    assert ratings(won, "b") == pytest.approx(twin(won, "b"), abs=0.01)


def test_known_strengths_are_recovered() -> None:
    true = {"a": 0.0, "b": 120.0, "c": -200.0, "d": 40.0}
    draw = random.Random(4)
    played = [
        Game(f"p{prompt}", x, y, float(draw.random() < logistic((true[x] - true[y]) / NAT)))
        for prompt in range(4000)
        for x, y in itertools.combinations(true, 2)
    ]
    found = elo(played, "a", resamples=20)
    assert {name: one.value for name, one in found.items()} == pytest.approx(true, abs=15)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """60 worlds of 40 prompts: 95 % intervals that held in less than 85 % or more than all would be wrong."""
    true, held = 100.0, 0
    for world in range(60):
        draw = random.Random(world)
        played = [Game(f"p{n}", "b", "a", float(draw.random() < logistic(true / NAT))) for n in range(40)]
        one = elo(played, "a", seed=world, resamples=100)["b"]
        held += one.low <= true <= one.high
    assert 51 <= held <= 60


def test_a_model_that_wins_or_loses_all_has_no_finite_rating() -> None:
    found = ratings({("b", "a"): 3, ("a", "c"): 2}, "a")
    assert found == {"a": 0.0, "b": math.inf, "c": -math.inf}


def test_a_cycle_of_wins_is_enough_and_what_never_met_is_left_out() -> None:
    found = ratings({("a", "b"): 1, ("b", "c"): 1, ("c", "a"): 1, ("d", "e"): 1}, "a")
    assert found == {"a": 0.0, "b": pytest.approx(0.0, abs=1e-6), "c": pytest.approx(0.0, abs=1e-6)}


def test_models_above_the_anchor_change_no_rating_below() -> None:
    level = {("a", "b"): 2.0, ("b", "a"): 1.0}
    assert ratings({**level, ("z", "a"): 5.0}, "a") == {**ratings(level, "a"), "z": math.inf}


def test_one_prompt_says_nothing_of_its_spread_and_seeds_repeat() -> None:
    single = elo([Game("p", "a", "b", 1.0), Game("p", "b", "a", 1.0)], "a")
    assert (single["b"].low, single["b"].high) == (-math.inf, math.inf)
    played = games({("a", "b"): 12, ("b", "a"): 7, ("b", "c"): 5, ("c", "b"): 6})
    assert elo(played, "a", 3, 50) == elo(played[::-1], "a", 3, 50) != elo(played, "a", 4, 50)


def test_prompts_are_drawn_whole() -> None:
    """Ten copies of each prompt's games under its own name tell no more than one copy does."""
    once = games({("a", "b"): 12, ("b", "a"): 8})
    one, ten = elo(once, "a", 0, 400)["b"], elo(once * 10, "a", 0, 400)["b"]
    assert (one.value, one.low, one.high) == pytest.approx((ten.value, ten.low, ten.high))


def test_equations_are_solved() -> None:
    assert solved([[0.0, 2.0], [3.0, 1.0]], [4.0, 5.0]) == pytest.approx([1.0, 2.0])
    assert solved([[0.0]], [1.0]) == [0.0]
