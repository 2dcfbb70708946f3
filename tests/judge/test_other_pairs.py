"""Pairs of two models, of two rounds of a chain, and of a principle and its opposite."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from judge_engine import DIALECTS, PROMPT, SAMPLING, Engine, judge_with, made, numbers, prompts, speaker, text_of

from cai.constitution import Constitution
from cai.errors import InputError
from cai.judge.judge import Judge
from cai.records import Completion, Revision
from cai.stages.pairs import Contrastive, Rounds, TwoModels

# Two models.


def test_an_answer_of_each_of_two_models() -> None:
    first, second = Engine(reply=lambda request: "FIRST"), Engine(reply=lambda request: "SECOND")
    judge = judge_with(Engine())
    answers = TwoModels({"assistant": speaker(first), "old/rl": speaker(second, "transcript")}, SAMPLING, 5)
    (comparison,) = made(answers, judge)
    assert (numbers([comparison])[0], comparison.a.text, comparison.b.text) == ("assistant-old", "FIRST", "SECOND")
    assert (comparison.id, comparison.source) == (f"{PROMPT.id}/assistant-old/rl", "models")
    assert comparison.asked == ("a", "b") and len(first.requests) == len(second.requests) == 1
    assert first.requests[0].seed != second.requests[0].seed
    assert [text_of(one.requests[0].prompt) for one in (first, second)] == [
        "user: QUESTION",
        "\n\nHuman: QUESTION\n\nAssistant:",
    ], "each in its own dialect"
    assert made(answers, judge, [comparison]) == [] and len(first.requests) == 1


# Rounds of a chain.


def chain(sample: int, *texts: str) -> list[Revision]:
    """The rounds of a chain; the last of three or more ended it early."""
    found = []
    for number, text in enumerate(texts):
        response = Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=5, seed=0)
        flags = ("stopped",) if number > 1 and text == texts[number - 1] else ()
        name = f"{PROMPT.id}/{sample}/{number}"
        found.append(
            Revision(id=name, prompt=PROMPT, sample=sample, round=number, critique=None, response=response, flags=flags)
        )
    return found


LONG, ENDED, SHORT = chain(0, "r0", "r1", "r2", "r3"), chain(1, "s0", "s1", "s1"), chain(2, "t0")


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ((0, "last"), [("0.0-0.3", "r0", "r3"), ("1.0-1.2", "s0", "s1"), ("2.0-2.0", "t0", "t0")]),
        ((1, 3), [("0.1-0.3", "r1", "r3"), ("1.1-1.2", "s1", "s1"), ("2.0-2.0", "t0", "t0")]),
        (("last", 1), [("0.3-0.1", "r3", "r1"), ("1.2-1.1", "s1", "s1"), ("2.0-2.0", "t0", "t0")]),
        ((2, 9), [("0.2-0.3", "r2", "r3"), ("1.2-1.2", "s1", "s1"), ("2.0-2.0", "t0", "t0")]),
    ],
)
def test_two_rounds_of_each_chain_and_the_last_one_of_a_chain_that_ended_before(
    rounds: Any, expected: list[tuple[str, str, str]]
) -> None:
    judge = judge_with(Engine())
    found = made(Rounds({PROMPT.id: [LONG, ENDED, SHORT]}, rounds), judge)
    assert [(name, one.a.text, one.b.text) for name, one in zip(numbers(found), found, strict=True)] == expected
    assert [one.verdict.state for one in found] == ["skipped" if a == b else "parsed" for _, a, b in expected]
    assert all(one.source == "rounds" and one.asked == () and one.replies() == [] for one in found)


@pytest.mark.parametrize("stored", [1, 2, 3])
def test_chains_whose_pair_is_stored_are_passed_over(stored: int) -> None:
    answers, judge = Rounds({PROMPT.id: [LONG, ENDED, SHORT]}, (0, "last")), judge_with(Engine())
    whole = made(answers, judge)
    assert made(answers, judge, whole[:stored]) == whole[stored:]


def test_a_prompt_without_chains_has_no_pairs() -> None:
    assert made(Rounds({}, (0, "last")), judge_with(Engine())) == []


# Contrastive pairs.


def contrastive(policy: Engine, judge: Judge, dialect: str = "chat") -> Contrastive:
    return Contrastive(speaker(policy, dialect), judge, SAMPLING, 5)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_answer_under_a_principle_and_one_under_its_opposite(dialect: str) -> None:
    policy, judge = Engine(), judge_with(Engine(), "kind", "true")
    (comparison,) = made(contrastive(policy, judge, dialect), judge)
    (name,) = comparison.principles
    told = [text_of(one.prompt) for one in policy.requests]
    head = "system: BE " if dialect == "chat" else "\n\nSystem: BE "
    assert [one.split("\n\nHuman")[0].split("\nuser")[0] for one in told] == [
        f"{head}{name.upper()}",
        f"{head}NO {name.upper()}",
    ]
    assert [comparison.a.seed, comparison.b.seed] == [one.seed for one in policy.requests]
    assert len({one.seed for one in policy.requests}) == 2
    assert (numbers([comparison]), comparison.source, comparison.asked) == (
        ["under-against"],
        "contrastive",
        ("a", "b"),
    )
    assert {one.principle for one in comparison.verdict.readings} == {name}
    assert made(contrastive(policy, judge), judge, [comparison]) == [] and len(policy.requests) == 2


def test_the_principle_of_a_pair_is_drawn_for_its_prompt_by_seed_and_tags() -> None:
    judge = judge_with(Engine(), "kind", "true", "brief", tags=("kind", "true"))
    found = [made(contrastive(Engine(), judge), judge, prompt=prompt)[0].principles for prompt in prompts(60)]
    assert found == [made(contrastive(Engine(), judge), judge, prompt=prompt)[0].principles for prompt in prompts(60)]
    counts = Counter(found)
    assert set(counts) == {("kind",), ("true",)} and min(counts.values()) > 15


def test_labels_by_construction_ask_nobody() -> None:
    feedback = Engine()
    judge = judge_with(feedback)
    (comparison,) = made(contrastive(Engine(), judge), judge, certain=True)
    verdict = comparison.verdict
    assert (verdict.state, verdict.p_a, verdict.p_raw, verdict.readings) == ("parsed", 1.0, None, ())
    assert feedback.questions == [] and comparison.principles == ("kind",)


def test_identical_answers_are_skipped_even_where_the_label_is_known() -> None:
    judge = judge_with(Engine())
    (comparison,) = made(contrastive(Engine(reply=lambda request: "same"), judge), judge, certain=True)
    assert comparison.verdict.state == "skipped"


SIDED = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "mirrored", "instruction": "BE X", "opposite": "BE NO X"},
            {"id": "both", "instruction": "BE Y", "opposite": "BE NO Y", "comparison": "COMPARE Y"},
            {"id": "compared", "comparison": "COMPARE Z"},
        ],
    }
)


@pytest.mark.parametrize(
    ("mode", "drawn"), [("logprob", {"both"}), ("verdict", {"both"}), ("contrast", {"mirrored", "both"})]
)
def test_a_pair_is_never_judged_by_a_principle_that_has_no_words_for_the_judge(mode: str, drawn: set[str]) -> None:
    engine = Engine(reply=lambda request: "(A)")
    judge = judge_with(engine, constitution=SIDED, mode=mode)
    found = [made(contrastive(Engine(), judge), judge, prompt=prompt)[0] for prompt in prompts(20)]
    assert {one.principles[0] for one in found} == drawn
    assert not any("None" in text for text in [*engine.shown, *(text_of(one.prompt) for one in engine.requests)])


def test_where_no_principle_has_both_an_error_says_what_is_missing() -> None:
    rules = SIDED.model_copy(update={"principles": (SIDED.principles[0], SIDED.principles[2])})
    judge = judge_with(Engine(), constitution=Constitution.model_validate(rules.model_dump()))
    with pytest.raises(
        InputError, match="principle 'mirrored' has no 'comparison', by which the mode 'logprob' judges"
    ):
        made(contrastive(Engine(), judge), judge)
