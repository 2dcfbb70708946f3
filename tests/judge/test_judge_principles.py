"""What all modes share: principles, seatings by seed, worked examples, identical answers, calibration, the audit."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from itertools import takewhile

import pytest
from judge_engine import (
    DIALECTS,
    MODES,
    PROMPT,
    A,
    B,
    Engine,
    compared,
    judge_with,
    labels,
    rules,
    text_of,
    verdict_of,
)

from cai.constitution import Constitution
from cai.errors import InputError
from cai.few_shot import ComparisonExample
from cai.records import Message
from cai.verdicts import LABELS

NAMES = ("kind", "true", "brief")


def by_principle(text: str, label: str) -> float:
    """Each principle has its own P(A); the seat alone decides."""
    p = {"KIND": 0.9, "TRUE": 0.6, "BRIEF": 0.3}[text.rsplit("COMPARE ", 1)[1].split()[0]]
    return math.log(p if label == LABELS[0] else 1 - p)


@pytest.mark.parametrize(("principles", "count"), [(1, 1), (2, 2), (3, 3), (7, 3), ("all", 3)])
def test_so_many_principles_are_asked_in_both_seatings_and_averaged(principles: int | str, count: int) -> None:
    engine = Engine(lambda text, label: by_principle(text, label) if text.index(A) < text.index(B) else -1.0)
    comparison = compared(judge_with(engine, *NAMES, principles=principles))
    asked = Counter((one.principle, one.first) for one in comparison.verdict.readings)
    assert asked == Counter((name, seat) for name in comparison.principles for seat in "ab")
    assert len(comparison.principles) == len(set(comparison.principles)) == count
    p = {"kind": 0.9, "true": 0.6, "brief": 0.3}
    mean = sum(p[name] + 0.5 for name in comparison.principles) / (2 * count)
    assert comparison.verdict.p_a == pytest.approx(mean)


def test_one_principle_of_three_is_drawn_by_key_and_seed() -> None:
    drawn = [judge_with(Engine(), *NAMES).drawn(f"key {number}") for number in range(300)]
    assert drawn == [judge_with(Engine(), *NAMES).drawn(f"key {number}") for number in range(300)]
    assert drawn != [judge_with(Engine(), *NAMES, seed=6).drawn(f"key {number}") for number in range(300)]
    counts = Counter(one.id for (one,) in drawn)
    assert set(counts) == set(NAMES) and min(counts.values()) > 70


def test_only_principles_with_the_recipe_s_tags_are_drawn() -> None:
    judge = judge_with(Engine(), *NAMES, tags=("true",), principles="all")
    assert [one.id for one in judge.drawn("key")] == ["true"]


def test_principles_that_are_given_are_not_drawn() -> None:
    judge = judge_with(Engine(), *NAMES)
    for principle in judge.constitution.principles:
        by, verdict = asyncio.run(judge.verdict("key", PROMPT, A, B, (principle,)))
        assert by == (principle,) and {one.principle for one in verdict.readings} == {principle.id}


@pytest.mark.parametrize(
    ("mode", "lacks"),
    [
        ("logprob", "'comparison'"),
        ("cot", "'comparison'"),
        ("verdict", "'comparison'"),
        ("score", "'instruction'"),
        ("nothing", "'instruction'"),
        ("contrast", "'instruction' and 'opposite'"),
    ],
)
def test_a_principle_without_words_for_the_mode_is_an_error_and_no_question_about_nothing(
    mode: str, lacks: str
) -> None:
    dumb = {"id": "dumb", "critique": "C", "revision": "R"}
    constitution = Constitution.model_validate({"name": "test", "principles": [dumb]})
    engine = Engine()
    judge = judge_with(engine, constitution=constitution, **MODES[mode])
    with pytest.raises(InputError, match=f"'dumb' has no {lacks}, by which the mode"):
        asyncio.run(judge.verdict("key", PROMPT, A, B, constitution.principles))
    with pytest.raises(InputError, match=f"give one {lacks}"):
        verdict_of(judge)
    assert engine.questions == [] and engine.requests == []


# Layouts.


def asked_under(principle: str, layout: str, dialect: str) -> list[str]:
    engine = Engine()
    judge = judge_with(engine, *NAMES, layout=layout, dialect=dialect, principles="all", examples=(OPEN, OPEN))
    verdict_of(judge)
    return [text for text in engine.shown if f"COMPARE {principle}" in text.rsplit("QUESTION", 1)[1]]


OPEN = ComparisonExample.model_validate(
    {"id": "open", "messages": [Message(role="user", content="EQ")], "better": "GOOD", "worse": "BAD"}
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seating", [0, 1])
def test_principles_share_both_answers_where_the_principle_comes_last(dialect: str, seating: int) -> None:
    shared = {}
    for layout in ("paper", "principle_last"):
        texts = [asked_under(name.upper(), layout, dialect)[seating] for name in NAMES]
        assert all(text.endswith("The answer is:") for text in texts)
        shared[layout] = "".join(
            one for one, *_ in takewhile(lambda some: len(set(some)) == 1, zip(*texts, strict=False))
        )
    assert f"[[[{A}]]]" in shared["principle_last"] and f"[[[{B}]]]" in shared["principle_last"]
    assert shared["principle_last"].endswith("COMPARE ")
    assert A not in shared["paper"] and B not in shared["paper"] and "QUESTION" in shared["paper"]


# Seatings.


@pytest.mark.parametrize("mode", ["logprob", "cot", "verdict"])
def test_one_order_drawn_by_seed_is_seeded_and_about_even(mode: str) -> None:
    def seats(seed: int) -> list[str | None]:
        judge = judge_with(Engine(reply=lambda request: "(A)"), seed=seed, orders="random", **MODES[mode])
        readings = [verdict_of(judge, key=f"key {number}").readings for number in range(200)]
        assert all(len({one.first for one in some}) == 1 for some in readings)
        return [some[0].first for some in readings]

    drawn = seats(5)
    assert drawn == seats(5) and drawn != seats(6)
    assert 70 < drawn.count("a") < 130


def test_all_principles_and_thoughts_of_a_pair_share_its_order() -> None:
    judge = judge_with(Engine(), *NAMES, orders="random", principles="all", **MODES["cot"])
    for number in range(10):
        assert len({one.first for one in verdict_of(judge, key=f"key {number}").readings}) == 1


def test_a_random_order_turns_nothing_round() -> None:
    judge = judge_with(Engine(lambda text, label: by_text(text, label)), orders="random")
    found = [verdict_of(judge, key=f"key {number}").p_a for number in range(20)]
    assert found == pytest.approx([0.8] * 20)


def by_text(text: str, label: str) -> float:
    """Answer a is better with 0.8, wherever it sits."""
    first = text.rindex(A) < text.rindex(B)
    return math.log(0.8 if (label == LABELS[0]) == first else 0.2)


# What is settled after the readings, and what is never asked.


def test_calibration_is_recorded_beside_what_was_read() -> None:
    judge = judge_with(Engine(by_text), calibration={"temperature": 2.0, "smoothing": 0.1})
    verdict = verdict_of(judge)
    softened = 1 / (1 + math.exp(-math.log(0.8 / 0.2) / 2))
    assert verdict.p_raw == pytest.approx(0.8) and verdict.p_a == pytest.approx(softened + 0.1 * (0.5 - softened))


@pytest.mark.parametrize("mode", MODES)
def test_identical_answers_are_not_judged(mode: str) -> None:
    engine = Engine()
    verdict = verdict_of(judge_with(engine, **MODES[mode]), A, A)
    assert (verdict.state, verdict.p_a, verdict.readings) == ("skipped", None, ())
    assert verdict.reason == "the answers are identical"
    assert engine.questions == [] and engine.requests == []


# The audit.


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("mode", MODES)
def test_the_audit_shows_the_very_prompts_that_were_asked(mode: str, dialect: str) -> None:
    engine = Engine(labels(0.6, 0.4) if mode not in ("contrast", "nothing") else None, lambda request: "It is (A)?")
    judge = judge_with(engine, *NAMES, dialect=dialect, principles=2, examples=examples_for(mode), **MODES[mode])
    comparison = compared(judge)
    shown = [one for _, some in judge.shown(comparison) for one in some]
    asked = [text_of(request.prompt) for request in engine.requests]
    scored = {(text_of(prompt), label) for prompt, some in engine.questions for label in some}
    assert {(text_of(one.prompt), label) for one in shown for label in one.scored} == scored
    assert Counter(text_of(one.prompt) for one in shown if not one.scored and one.title == "question") == Counter(asked)


def examples_for(mode: str) -> tuple[ComparisonExample, ...]:
    """Those that leave all open, where a mode shows any."""
    return (OPEN,) if mode in ("logprob", "principle_last", "verdict") else ()


@pytest.mark.parametrize("thought", ["", "I'm sorry, but I can't help with that."])
def test_the_audit_shows_no_question_that_was_not_asked(thought: str) -> None:
    engine = Engine(reply=lambda request: thought)
    judge = judge_with(engine, mode="cot")
    shown = [one.title for _, some in judge.shown(compared(judge)) for one in some]
    assert shown == ["question", "question"] and engine.questions == []


def test_the_principles_of_this_file_serve_every_mode() -> None:
    assert all(one.serves(use) for one in rules(*NAMES).principles for use in ("comparison", "contrast"))
