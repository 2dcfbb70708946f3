"""Likelihood contrast: by hand, per answer and per character, scaled, turned round, and what can't be read."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_engine import PROMPT, A, B, Engine, judge_with, verdict_of

from cai.errors import ItemFailed
from cai.judge.asked import Asked
from cai.judge.contrast import Contrast
from cai.records import Message, Prompt

LP = {("BE KIND", A): -10.0, ("BE NO KIND", A): -14.0, ("BE KIND", B): -9.0, ("BE NO KIND", B): -10.0}
LP |= {("", A): -12.0, ("", B): -9.5}
"""Log p of each answer under the instruction, under its opposite, and under none: contrasts 4 and 1, or 2 and 0.5."""


def told(text: str) -> str:
    """What stands before the conversation."""
    return next((one for one in ("BE NO KIND", "BE KIND") if one in text), "")


def by_table(text: str, answer: str) -> float:
    return LP[told(text), answer.lstrip()]


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@pytest.mark.parametrize(
    ("settings", "margin"),
    [
        ({}, 4 - 1),
        ({"against": "nothing"}, 2 - 0.5),
        ({"per": "character"}, 4 / 10 - 1 / 3),
        ({"against": "nothing", "per": "character"}, 2 / 10 - 0.5 / 3),
        ({"scale": 0.1}, 0.1 * (4 - 1)),
        ({"per": "character", "scale": 20.0}, 20 * (4 / 10 - 1 / 3)),
    ],
)
def test_by_hand(dialect: str, settings: dict[str, Any], margin: float) -> None:
    engine = Engine(by_table)
    verdict = verdict_of(judge_with(engine, dialect=dialect, mode="contrast", **settings))
    assert verdict.p_a == verdict.p_raw == pytest.approx(logistic(margin))
    (reading,) = verdict.readings
    assert (reading.first, reading.principle) == (None, "kind")
    against = "" if "against" in settings else "BE NO KIND"
    names = {"a under": ("BE KIND", A), "a against": (against, A), "b under": ("BE KIND", B), "b against": (against, B)}
    assert reading.logprobs == {name: LP[key] for name, key in names.items()}
    assert len(engine.questions) == 4 and engine.requests == [], "each answer twice, by itself; nothing is written"
    assert all((A in text) + (B in text) == 0 for text in engine.shown), "no answer stands in a prompt"


def test_the_instruction_is_a_system_turn_and_against_nothing_there_is_none() -> None:
    engine = Engine(by_table)
    verdict_of(judge_with(engine, mode="contrast", against="nothing"))
    turns = [[(one.role, one.content) for one in prompt.messages] for prompt, _ in engine.questions]
    question = ("user", "QUESTION")
    assert turns == [[("system", "BE KIND"), question], [question]] * 2


def test_an_answer_follows_a_transcript_after_a_space_as_it_does_where_it_is_sampled() -> None:
    engine = Engine(by_table)
    verdict_of(judge_with(engine, mode="contrast", dialect="transcript"))
    assert {answer for _, (answer,) in engine.questions} == {f" {A}", f" {B}"}
    assert {prompt.text for prompt, _ in engine.questions} == {
        f"\n\nSystem: {told}\n\nHuman: QUESTION\n\nAssistant:" for told in ("BE KIND", "BE NO KIND")
    }


def test_a_system_turn_of_the_conversation_follows_the_instruction() -> None:
    engine = Engine()
    said = (Message(role="system", content="BE BRIEF"), *PROMPT.messages)
    verdict_of(judge_with(engine, mode="contrast"), prompt=Prompt.of(said, "harmful", "test"))
    assert {prompt.messages[0].content for prompt, _ in engine.questions} == {
        "BE KIND\n\nBE BRIEF",
        "BE NO KIND\n\nBE BRIEF",
    }


LOGPROBS = st.floats(-400, 0)


@given(st.tuples(LOGPROBS, LOGPROBS), st.tuples(LOGPROBS, LOGPROBS), st.sampled_from(["answer", "character"]))
def test_the_answers_named_the_other_way_round_turn_the_verdict_round(
    of_a: tuple[float, float], of_b: tuple[float, float], per: str
) -> None:
    scores = {A: of_a, B: of_b}
    engine = Engine(lambda text, answer: scores[answer]["BE NO" in text])
    judge = judge_with(engine, mode="contrast", per=per, scale=0.1)
    there, back = verdict_of(judge, A, B).p_a, verdict_of(judge, B, A).p_a
    assert there is not None and back is not None
    assert there + back == pytest.approx(1)


def test_a_stored_verdict_is_turned_round_with_what_was_scored() -> None:
    judge = judge_with(Engine(by_table), mode="contrast")
    there, back = verdict_of(judge, A, B), verdict_of(judge, B, A)
    assert there.swap().readings[0].logprobs == back.readings[0].logprobs
    assert there.swap().p_a == pytest.approx(back.p_a)


@pytest.mark.parametrize("value", [-math.inf, math.nan])
@pytest.mark.parametrize("lost", [[("BE KIND", A)], [("BE NO KIND", B)], [("BE KIND", A), ("BE NO KIND", A)], list(LP)])
def test_an_answer_without_a_likelihood_is_unread_and_never_a_tie(lost: list[tuple[str, str]], value: float) -> None:
    engine = Engine(lambda text, answer: value if (told(text), answer) in lost else by_table(text, answer))
    verdict = verdict_of(judge_with(engine, mode="contrast"))
    assert (verdict.state, verdict.p_a, verdict.readings[0].p_a) == ("unparsed", None, None)
    assert verdict.reason == "1 of 1 questions were not read: an answer has no finite log-likelihood"


def test_one_principle_of_several_that_cannot_be_read_makes_the_pair_unread() -> None:
    engine = Engine(lambda text, answer: -math.inf if "BE TRUE" in text else -1.0)
    verdict = verdict_of(judge_with(engine, "kind", "true", mode="contrast", principles="all"))
    assert (verdict.state, verdict.p_a) == ("unparsed", None)
    assert verdict.reason.startswith("1 of 2 questions")


def test_no_answer_at_all_is_as_likely_either_way_and_no_engine_is_asked_for_it() -> None:
    engine = Engine(by_table)
    verdict = verdict_of(judge_with(engine, mode="contrast"), a="")
    assert verdict.p_a == pytest.approx(logistic(0 - 1))
    assert [answer for _, answer in engine.questions] == [(B,), (B,)]
    verdict_of(judge_with(Engine(by_table), mode="contrast", per="character"), a="")


def test_an_answer_alone_has_a_contrast() -> None:
    assert asyncio.run(judge_with(Engine(by_table), mode="contrast").value("key", PROMPT, A)) == pytest.approx(4)
    by_character = judge_with(Engine(by_table), mode="contrast", per="character")
    assert asyncio.run(by_character.value("key", PROMPT, A)) == pytest.approx(0.4)
    with pytest.raises(ItemFailed, match="no finite log-likelihood"):
        asyncio.run(judge_with(Engine(lambda text, answer: -math.inf), mode="contrast").value("key", PROMPT, A))


def test_of_several_principles_an_answer_has_the_mean_contrast() -> None:
    scores = {"BE KIND": -1.0, "BE NO KIND": -4.0, "BE TRUE": -2.0, "BE NO TRUE": -1.0}  # contrasts 3 and -1
    engine = Engine(lambda text, answer: scores[text.split("\n")[0].removeprefix("system: ")])
    judge = judge_with(engine, "kind", "true", mode="contrast", principles="all")
    assert asyncio.run(judge.value("key", PROMPT, A)) == pytest.approx(1)


def test_what_was_scored_is_what_the_audit_shows() -> None:
    engine = Engine(by_table)
    judge = judge_with(engine, mode="contrast", dialect="transcript")
    verdict = verdict_of(judge)
    mode = Contrast(judge.feedback, judge.config)  # pyright: ignore[reportArgumentType]
    shown = mode.shown(Asked(PROMPT, A, B, judge.constitution.principles[0]), verdict.readings[0])
    assert {(one.prompt.text, text) for one in shown for text in one.scored} == {
        (prompt.text, answer) for prompt, (answer,) in engine.questions
    }
