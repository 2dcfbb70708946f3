"""Figures against plain twins and cases done by hand; which answer of a pair is named first changes none."""

import json
import math
import random
import statistics
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.preference_figures import ScoredPair, agreement, calibration, evaluate_preference, figures_of, right
from cai.preferences import Group, Preference
from cai.prompts import Rendered
from cai.stats import rate


class Known:
    """Scores that are the numbers which the answers begin with."""

    def score(self, pairs: Sequence[tuple[Rendered, str]]) -> list[float]:
        return [float(answer.split()[0]) for _, answer in pairs]


def one(r_a: float, r_b: float, p: float, source: str = "ai", words: tuple[int, int] = (1, 1), name: str = "") -> Group:
    answers = tuple(f"{reward} {'w ' * (count - 1)}" for reward, count in zip((r_a, r_b), words, strict=True))
    return Group(Rendered(text=name or f"{r_a} {r_b} {p}"), answers, (Preference(0, 1, p),), source)


def scored(*pairs: tuple[float, float]) -> list[ScoredPair]:
    return [ScoredPair("ai", n, 0, 1, p, lead, 0.0, 1, 1) for n, (lead, p) in enumerate(pairs)]


told = st.lists(st.tuples(st.floats(-6, 6), st.floats(0, 1)), min_size=1, max_size=30)


def calibration_twin(pairs: list[tuple[float, float]]) -> float:
    """The error, bin by bin."""
    error = 0.0
    for place in range(10):
        held = []
        for lead, p in pairs:
            predicted = float(1 / (1 + np.exp(-abs(lead))))
            if min(int((predicted - 0.5) / 0.05), 9) == place:
                held.append((predicted, 0.5 if lead == 0 else p if lead > 0 else 1 - p))
        if held:
            means = [float(np.mean([one[side] for one in held])) for side in (0, 1)]
            error += len(held) * abs(means[0] - means[1]) / len(pairs)
    return error


@given(told)
def test_calibration_equals_a_plain_twin_and_the_curve_holds_every_pair(pairs: list[tuple[float, float]]) -> None:
    error, curve = calibration(scored(*pairs))
    assert error == pytest.approx(calibration_twin(pairs), abs=1e-9)
    assert sum(one["n"] for one in curve) == len(pairs)
    for bin_ in curve:
        assert bin_["low"] - 1e-9 <= bin_["predicted"] <= bin_["high"] + 1e-9


def test_calibration_by_hand() -> None:
    pairs = [(math.log(3), 1.0), (-math.log(3), 0.0), (math.log(3), 0.0), (math.log(1.5), 0.6)]  # 0.75 thrice, 0.6
    error, curve = calibration(scored(*pairs))
    assert [(bin_["n"], round(bin_["labelled"], 3)) for bin_ in curve] == [(1, 0.6), (3, 0.667)]
    assert error == pytest.approx(3 / 4 * (0.75 - 2 / 3))


def test_a_calibrated_model_has_an_interval_down_to_nothing_and_an_overconfident_one_has_not() -> None:
    draw = random.Random(0)
    leads = [draw.gauss(0, 1) for _ in range(1000)]
    fair = [(lead, float(draw.random() < 1 / (1 + math.exp(-lead)))) for lead in leads]
    errors = []
    for stretch in (1, 4):
        groups = [one(stretch * lead, 0.0, p, name=str(n)) for n, (lead, p) in enumerate(fair)]
        errors.append(evaluate_preference(Known(), groups)["all"]["calibration"]["error"])
    assert errors[0]["low"] < 0.02 and errors[0]["value"] < 0.04
    assert errors[1]["low"] > 0.1


@given(told)
def test_naming_the_answers_the_other_way_round_changes_no_figure(pairs: list[tuple[float, float]]) -> None:
    groups = [one(lead, 0.0, p, words=(2, 1), name=str(n)) for n, (lead, p) in enumerate(pairs)]
    turned = [one(0.0, lead, 1 - p, words=(1, 2), name=str(n)) for n, (lead, p) in enumerate(pairs)]
    there, back = (evaluate_preference(Known(), made)["all"] for made in (groups, turned))
    assert there["length"]["longer_wins"] == back["length"]["longer_wins"]
    for name in ("accuracy", "agreement", "loss"):
        assert flat(there[name]) == pytest.approx(flat(back[name]), abs=1e-9), name
    if there["calibration"]:
        assert there["calibration"]["error"]["value"] == pytest.approx(back["calibration"]["error"]["value"], abs=0.03)


def flat(figure: object) -> list[float]:
    return list(figure.values()) if isinstance(figure, dict) else [figure] if isinstance(figure, float) else []


@pytest.mark.parametrize(
    ("leads", "p", "expected"),
    [
        ([1.0, -1.0], [1.0, 1.0], 0.5),
        ([1.0, -1.0], [0.9, 0.6], 0.8),
        ([1.0], [0.5], None),
        ([-2.0], [0.0], 1.0),
        ([0.0, 1.0], [1.0, 1.0], 0.75),
    ],
)
def test_agreement(leads: list[float], p: list[float], expected: float | None) -> None:
    assert agreement(leads, p) == (None if expected is None else pytest.approx(expected))


def test_figures_by_source_by_hand() -> None:
    groups = [
        one(2, 1, 1.0, "hh", (3, 1)),  # right, and the longer one wins and is better
        one(1, 2, 1.0, "hh", (3, 1)),  # wrong
        one(1, 1, 1.0, "hh", (2, 2)),  # says nothing
        one(0, 1, 0.2, "ai", (1, 5)),  # right
        one(0, 1, 0.5, "ai", (1, 5)),  # no winner
    ]
    found = evaluate_preference(Known(), groups)
    hh, ai = found["sources"]["hh"], found["sources"]["ai"]
    assert hh["accuracy"] == vars(rate(1.5, 3)) | {"n": 3} and hh["agreement"] == 0.5
    assert ai["accuracy"]["value"] == 1.0 and ai["accuracy"]["n"] == 1 and ai["agreement"] == 1.0
    assert hh["length"]["longer_wins"]["value"] == 0.5 and hh["length"]["longer_wins"]["n"] == 2
    assert hh["length"]["longer_is_better"]["value"] == 1.0 and hh["length"]["equal"] == 1
    assert ai["length"]["longer_wins"]["value"] == 1.0 and ai["length"]["longer_is_better"]["n"] == 1
    losses = [math.log1p(math.exp(-1)), math.log1p(math.exp(1)), math.log(2)]
    assert hh["loss"] == pytest.approx(statistics.fmean(losses))
    soft = 0.2 * math.log1p(math.exp(1)) + 0.8 * math.log1p(math.exp(-1))
    assert ai["loss"] == pytest.approx((soft + (math.log1p(math.exp(1)) + math.log1p(math.exp(-1))) / 2) / 2)
    assert found["all"]["pairs"] == len(found["pairs"]) == 5
    assert found["pairs"][3] == {
        "source": "ai", "group": 3, "a": 0, "b": 1, "p": 0.2,
        "reward_a": 0.0, "reward_b": 1.0, "words_a": 1, "words_b": 5,
    }  # fmt: skip


def test_rewards_and_lengths_are_of_answers_and_not_of_pairs() -> None:
    rewards = [4.0, 1.0, 2.0, 3.0]
    answers = tuple(f"{reward} {'w ' * n}" for n, reward in enumerate(rewards))
    every = tuple(Preference(a, b, 1.0) for a, b in combinations(range(4), 2))
    found = evaluate_preference(Known(), [Group(Rendered(text="x"), answers, every, "ai")])["all"]
    assert found["pairs"] == 6 and found["rewards"]["n"] == 4 and found["prompts"] == 1
    assert found["rewards"]["mean"] == 2.5 and found["rewards"]["sd"] == pytest.approx(np.std(rewards, ddof=1))
    for percent, value in found["rewards"]["quantiles"].items():
        assert value == pytest.approx(np.percentile(rewards, int(percent)))
    assert found["length"]["correlation"] == pytest.approx(np.corrcoef(rewards, [1, 2, 3, 4])[0, 1])
    assert found["accuracy"]["value"] == 0.5 and found["accuracy"]["n"] == 1  # six pairs of one prompt count as one


def test_pairs_of_one_prompt_do_not_narrow_the_interval() -> None:
    pair = Preference(0, 1, 1.0)
    single = [Group(Rendered(text=str(n)), ("1", "0" if n % 4 else "2"), (pair,), "ai") for n in range(40)]
    copied = [Group(one.prompt, one.answers, one.pairs * 5, "ai") for one in single]
    there, back = (evaluate_preference(Known(), made)["all"]["accuracy"] for made in (single, copied))
    assert there == pytest.approx(back)


def test_nothing_to_report_is_said_and_all_of_it_is_json() -> None:
    assert evaluate_preference(Known(), []) == {"sources": {}, "all": None, "pairs": []}
    bare = evaluate_preference(Known(), [Group(Rendered(text="x"), ("1",), (), "ai")])["all"]
    assert bare["accuracy"] is bare["agreement"] is bare["loss"] is bare["calibration"] is bare["rewards"] is None
    assert bare["length"] == {"correlation": None, "longer_wins": None, "longer_is_better": None, "equal": 0}
    assert figures_of([])["pairs"] == 0
    for made in ([one(1, 2, 1.0)], [one(1, 2, 1.0), one(3, 2, 0.7)]):
        json.dumps(evaluate_preference(Known(), made), allow_nan=False)


@pytest.mark.parametrize(("lead", "p", "expected"), [(1, 0.9, 1), (1, 0.1, 0), (0, 0.9, 0.5), (1, 0.5, None)])
def test_right(lead: float, p: float, expected: float | None) -> None:
    assert right(scored((lead, p))[0]) == expected
