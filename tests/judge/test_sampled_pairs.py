"""Pairs of samples: all, some by seed, best against worst; each is asked and counted once, also after a stop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from judge_engine import SAMPLING, Engine, judge_with, made, numbers, prompts, speaker, text_of

from cai.errors import ItemFailed
from cai.feedback_config import CompareConfig, SampledAnswers
from cai.judge.judge import Judge
from cai.stages.pairs import Samples


def sampled(policy: Engine, judge: Judge, seed: int = 5, **config: Any) -> Samples:
    return Samples(speaker(policy), judge, SampledAnswers(**config), SAMPLING, seed)


# Samples of one model.


def test_two_samples_are_one_pair_as_in_the_paper() -> None:
    policy = Engine()
    (comparison,) = made(sampled(policy, judge_with(Engine())), judge_with(Engine()))
    assert (numbers([comparison]), comparison.source, comparison.asked) == (["0-1"], "samples", ("a", "b"))
    assert comparison.a.text != comparison.b.text, "each sample has a seed of its own"
    assert {(one.max_tokens, one.temperature, one.top_p) for one in policy.requests} == {(7, 0.5, 0.9)}
    assert {text_of(one.prompt) for one in policy.requests} == {"user: QUESTION"}


def test_all_pairs_of_four_samples_and_each_answer_counted_with_the_first_of_its_pairs() -> None:
    policy, judge = Engine(), judge_with(Engine())
    found = made(sampled(policy, judge, samples=4), judge)
    assert numbers(found) == ["0-1", "0-2", "0-3", "1-2", "1-3", "2-3"]
    assert [one.asked for one in found] == [("a", "b"), ("b",), ("b",), (), (), ()]
    assert len(policy.requests) == 4
    counted = [reply for one in found for reply in one.replies()]
    assert Counter(one.text for one in counted) == Counter(f"reply {one.seed}" for one in policy.requests)
    by_number = {
        n: answer for one in found for n, answer in zip(numbers([one])[0].split("-"), (one.a, one.b), strict=True)
    }
    assert all((one.a, one.b) == tuple(by_number[n] for n in numbers([one])[0].split("-")) for one in found)


@pytest.mark.parametrize("stored", range(1, 7))
@pytest.mark.parametrize("pairs", ["all", 3])
def test_an_item_that_was_stopped_asks_nothing_twice_and_ends_as_an_unbroken_one(stored: int, pairs: Any) -> None:
    whole_policy, whole_judge = Engine(), Engine()
    whole = made(sampled(whole_policy, judge_with(whole_judge), samples=4, pairs=pairs), judge_with(whole_judge))
    done = whole[:stored]
    policy, feedback = Engine(), Engine()
    judge = judge_with(feedback)
    rest = made(sampled(policy, judge, samples=4, pairs=pairs), judge, done)
    assert [*done, *rest] == whole
    known = {answer.seed for one in done for answer in (one.a, one.b)}
    asked = [one.seed for one in policy.requests]
    assert sorted([*known, *asked]) == sorted({one.seed for one in whole_policy.requests})
    assert len(feedback.questions) == 2 * len(rest)
    counted = [reply.seed for one in [*done, *rest] for reply in one.replies()]
    assert sorted(counted) == sorted([*known, *asked]), "each answer once, whenever it was sampled"


def test_what_the_judge_writes_is_counted_with_its_comparison() -> None:
    writing = judge_with(Engine(reply=lambda request: "(A)", tokens=11), mode="verdict")
    (comparison,) = made(sampled(Engine(tokens=3), writing), writing)
    assert sorted(one.tokens for one in comparison.replies()) == [3, 3, 11, 11]


def test_some_pairs_are_drawn_by_seed_each_as_often_and_only_their_answers_are_sampled() -> None:
    drawn: list[tuple[str, ...]] = []
    judge = judge_with(Engine())
    for prompt in prompts(120):
        policy = Engine()
        found = made(sampled(policy, judge, samples=4, pairs=2), judge, prompt=prompt)
        again = made(sampled(Engine(), judge, samples=4, pairs=2), judge, prompt=prompt)
        assert found == again
        drawn.append(tuple(numbers(found)))
        assert len(policy.requests) == len({n for pair in drawn[-1] for n in pair.split("-")})
    assert all(len(set(one)) == 2 for one in drawn)
    counts = Counter(pair for one in drawn for pair in one)
    assert set(counts) == {f"{i}-{j}" for i, j in combinations(range(4), 2)}
    assert min(counts.values()) > 20, "40 of 240 each"
    other = [made(sampled(Engine(), judge, 6, samples=4, pairs=2), judge, prompt=prompt) for prompt in prompts(20)]
    assert [tuple(numbers(found)) for found in other] != drawn[:20]


def test_more_pairs_than_there_are_is_all_of_them() -> None:
    judge = judge_with(Engine())
    assert numbers(made(sampled(Engine(), judge, samples=3, pairs=9), judge)) == ["0-1", "0-2", "1-2"]


# The best against the worst.


def ranked(values: Sequence[float], mode: str, dialect: str = "chat") -> tuple[Engine, Judge]:
    """A policy with so many answers, and a judge that gives them these numbers: contrasts, or certain ratings."""
    order: list[int] = []

    def number(text: str) -> int:
        return order.index(int(text.split("reply ")[1].split("]")[0]))

    def reply(request: Any) -> str:
        order.append(request.seed)
        return f"reply {request.seed}"

    def score(text: str, label: str) -> float:
        if mode == "contrast":
            return values[number(label)] / 2 if "BE KIND" in text else -values[number(label)] / 2
        return 0.0 if label == f" {values[number(text)]:.0f}/10" else -math.inf

    return Engine(reply=reply), judge_with(Engine(score), mode=mode, dialect=dialect)


@pytest.mark.parametrize("mode", ["contrast", "score"])
@pytest.mark.parametrize(
    ("values", "pair"),
    [([3, 9, 5, 2], "1-3"), ([9, 3, 5, 2], "0-3"), ([2, 3, 5, 9], "3-0"), ([4, 4, 4], "0-2"), ([1, 2], "1-0")],
)
def test_the_best_answer_is_paired_with_the_worst_by_the_judge_s_own_numbers(
    values: list[float], pair: str, mode: str
) -> None:
    policy, judge = ranked(values, mode)
    (comparison,) = made(sampled(policy, judge, samples=len(values), pairs="best-worst"), judge)
    assert numbers([comparison]) == [pair] and len(policy.requests) == len(values)
    best, worst = (values[int(n)] for n in pair.split("-"))
    expected = 1 / (1 + math.exp(-(best - worst))) if mode == "contrast" else (0.5 if best == worst else 1.0)
    assert comparison.verdict.p_a == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["contrast", "score"])
def test_every_sample_that_was_ranked_is_kept_with_its_number(mode: str) -> None:
    policy, judge = ranked([3, 9, 5, 2], mode)
    (comparison,) = made(sampled(policy, judge, samples=4, pairs="best-worst"), judge)
    assert comparison.ranked == pytest.approx({0: 3, 1: 9, 2: 5, 3: 2})
    assert list(comparison.between) == [0, 2]
    said = [reply.text for reply in comparison.replies()]
    assert len(said) == len(set(said)) == 4 == len(policy.requests)
    assert type(comparison).model_validate_json(comparison.model_dump_json()) == comparison


def test_a_stored_best_and_worst_are_not_looked_for_again() -> None:
    policy, judge = ranked([3, 9, 5], "score")
    done = made(sampled(policy, judge, samples=3, pairs="best-worst"), judge)
    again = Engine()
    assert made(sampled(again, judge, samples=3, pairs="best-worst"), judge, done) == [] and again.requests == []


def test_an_answer_without_a_number_fails_its_item() -> None:
    judge = judge_with(Engine(lambda text, label: -math.inf), mode="contrast")
    with pytest.raises(ItemFailed, match="no finite log-likelihood"):
        made(sampled(Engine(), judge, samples=3, pairs="best-worst"), judge)


@pytest.mark.parametrize("mode", ["logprob", "cot", "verdict"])
def test_a_judge_without_numbers_cannot_rank(mode: str) -> None:
    with pytest.raises(ValueError, match="best-worst needs a judge that gives each answer a number"):
        CompareConfig.model_validate({"answers": {"pairs": "best-worst"}, "judge": {"mode": mode}})
