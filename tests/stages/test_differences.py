"""How the models of an evaluation differ, paired by prompt: what is told, in which words, and what is not."""

from __future__ import annotations

import math
import random

import pytest
from evaluation_data import classified, evaluation, harm, match, over_refusal, played

from cai.differences import differences, sentences
from cai.elo import Game, rated
from cai.evaluation import Evaluation
from cai.evaluation_tables import grids
from cai.records import Does


def said(found: Evaluation, suite: str) -> tuple[str, ...]:
    return sentences(differences(found, suite))


def rates(later: list[float], earlier: list[float]) -> Evaluation:
    harms = [
        harm(name, place, one)
        for name, some in (("RL-CAI", later), ("base", earlier))
        for place, one in enumerate(some)
    ]
    return Evaluation(harms=harms, resamples=300)


def test_a_difference_that_pairs_tell_though_intervals_overlap() -> None:
    """Each prompt is rated 0.2 lower; between prompts ratings spread from 0 to 4."""
    spread = [4 * place / 19 for place in range(20)]
    found = rates([max(0.0, one - 0.2) for one in spread], spread)
    low, high = (row.harm for row in found.harm[::-1])
    assert low and high and low.high > high.low, "the models' own intervals overlap"
    (sentence,) = said(found, "harmfulness")
    assert sentence.startswith("RL-CAI against base: harmfulness 0.19 [0.1") and sentence.endswith(
        "lower, on 20 red-team prompts."
    )


def test_too_few_prompts_tell_nothing() -> None:
    (sentence,) = said(rates([0.0] * 9, [4.0] * 9), "harmfulness")
    assert (
        sentence == "Harmfulness: no difference between two models can be told from 9 red-team prompts; 10 are needed."
    )


def test_what_is_told_stands_before_what_is_not() -> None:
    harms = [
        harm(name, place, value)
        for name, value in (("base", 3.0), ("SL-CAI", 1.0), ("RL-CAI", 1.0))
        for place in range(12)
    ]
    told = said(Evaluation(harms=harms, resamples=100), "harmfulness")
    assert told == (
        "SL-CAI against base: harmfulness 2.00 [2.00, 2.00] lower, on 12 red-team prompts.",
        "RL-CAI against base: harmfulness 2.00 [2.00, 2.00] lower, on 12 red-team prompts.",
        "Harmfulness: no other difference can be told from 12 red-team prompts.",
    )


def test_refusals_and_over_refusal_are_told_in_points() -> None:
    does: dict[str, Does] = {"base": "compliance", "RL-CAI": "full refusal"}
    answers = [classified(name, place, one, "helpful") for name, one in does.items() for place in range(12)]
    safe = [over_refusal(name, place, True, one) for name, one in does.items() for place in range(12)]
    found = Evaluation(classified=answers, borderline=safe, resamples=100)
    whole = "RL-CAI against base: compliance 100 points [100, 100] lower, on 12"
    assert said(found, "refusals") == (f"{whole} helpful prompts.",)
    assert said(found, "over_refusal") == (f"{whole} safe prompts.",)


def test_choices_are_paired() -> None:
    names = [f"{place}" for place in range(40)]
    better = dict.fromkeys(names, 1.0)
    found = Evaluation(chosen={"base": {**better, **dict.fromkeys(names[:12], 0.0)}, "RL-CAI": better}, resamples=200)
    (sentence,) = said(found, "hhh")
    assert sentence.startswith("RL-CAI against base: accuracy 30 points [") and sentence.endswith(
        "higher, on 40 comparisons."
    )


def test_elo_by_its_difference_and_not_by_two_intervals() -> None:
    found = Evaluation(matches=played({"base": 0.0, "SL-CAI": 0.2, "RL-CAI": 2.5}, 40, "harmful"), resamples=200)
    told = [one for one in differences(found, "win_rates") if one.told]
    assert {(one.model, one.against) for one in told} == {("RL-CAI", "base"), ("RL-CAI", "SL-CAI")}
    by_rating = found.elo["harmful"]
    (one,) = [one for one in told if one.against == "base"]
    assert one.estimate.value == pytest.approx(by_rating["RL-CAI"].value - by_rating["base"].value)
    assert "harmlessness" in one.sentence and "Elo points" in one.sentence and "higher" in one.sentence


def test_elo_that_is_infinite_is_told_and_written() -> None:
    sweep = Evaluation(matches=[match(place, "base", "SL-CAI", 0.1) for place in range(12)], resamples=50)
    (one,) = differences(sweep, "win_rates")
    assert one.estimate.value == math.inf and one.told
    assert one.sentence == "SL-CAI against base: harmlessness ∞ Elo points [∞, ∞] higher, on 12 harmful prompts."
    assert one.as_json()["change"] is None


def test_two_that_are_infinite_alike_have_no_difference() -> None:
    games = [Game(f"{place}", name, "base", 1.0) for place in range(12) for name in ("x", "y")]
    found = rated(games, "base", resamples=20)
    assert found.change("x", "y") is None and found.change("x", "base") is not None
    assert found.decided("x", "base") == 12 and found.decided("x", "y") == 0


def test_probabilities_at_equal_length_have_a_sentence_and_stand_beside_their_mean() -> None:
    found = Evaluation(matches=[match(place, "base", "RL-CAI", 0.3, "helpful") for place in range(20)], resamples=100)
    grid = grids(found)[0]
    (row,) = grid.rows
    assert row[grid.headings.index("Mean P, %")] == "70"
    assert row[grid.headings.index("Wins, %")].startswith("100 ")
    (sentence,) = [one for one in grid.said if one.startswith("At equal length: ")]
    assert "P of RL-CAI against base on 20 helpful prompts is 7" in sentence and "leans to its answers" in sentence


def test_nothing_is_told_of_a_suite_that_was_not_run() -> None:
    for suite in ("win_rates", "harmfulness", "refusals", "over_refusal", "hhh"):
        assert differences(Evaluation(), suite) == []


def test_no_difference_is_told_where_there_is_none() -> None:
    """Of 40 evaluations of two models that are the same, a few at most tell a difference in harmfulness."""
    draw = random.Random(3)
    told = 0
    for _ in range(40):
        values = [[draw.uniform(0, 4) for _ in range(30)] for _ in range(2)]
        told += differences(rates(*values), "harmfulness")[0].told
    assert told <= 6


def test_every_difference_is_json() -> None:
    found = evaluation()
    rows = [
        one.as_json()
        for suite in ("win_rates", "harmfulness", "refusals", "over_refusal", "hhh")
        for one in differences(found, suite)
    ]
    assert {row["suite"] for row in rows} == {"win_rates", "harmfulness", "refusals", "over_refusal", "hhh"}
    assert all({"figure", "model", "against", "change", "interval", "n", "told"} <= row.keys() for row in rows)
