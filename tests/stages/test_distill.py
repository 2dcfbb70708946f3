"""Safety context distillation: two answers, one score each, and the preamble in neither."""

from __future__ import annotations

import math

import pytest
from recorder import PROMPT, Recorder, collect, text_of

from cai.config import DistillConfig, SelectionConfig
from cai.engines.base import Speaker
from cai.prompts import Rendered, Templates
from cai.records import Distilled
from cai.resources import find
from cai.selection import answer_of, select
from cai.stages.distill import Distill

PREAMBLE = "PREAMBLE"
CONFIG = DistillConfig(preference_model="unused", max_tokens=7, temperature=0.5, top_p=0.9)


class Told:
    """Scores an answer as told, and writes down what it is asked."""

    def __init__(self, **scores: float) -> None:
        self.scores = {name.replace("_", " "): score for name, score in scores.items()}
        self.asked: list[tuple[Rendered, str]] = []

    async def score(self, prompt: Rendered, answer: str) -> float:
        self.asked.append((prompt, answer))
        return self.scores[answer]


def distill(
    engine: Recorder, preference: Told, dialect: str = "chat", own: str | None = None, seed: int = 5
) -> Distill:
    guarded = "\n\n".join(part for part in (PREAMBLE, own) if part)
    plain = Templates(dialect, system=own)
    speakers = Speaker(engine, plain), Speaker(engine, Templates(dialect, system=guarded))
    return Distill(*speakers, Templates(dialect), preference, CONFIG, None, seed)


@pytest.mark.parametrize("own", [None, "OWN"])
def test_in_a_chat_the_preamble_is_the_system_prompt_of_the_guarded_answer_alone(own: str | None) -> None:
    engine, preference = Recorder(), Told(reply_1=0.25, reply_2=1.0)
    (record,) = collect(distill(engine, preference, own=own), PROMPT)
    plain, guarded = (request.prompt.messages for request in engine.requests)
    question = ("user", "QUESTION")
    assert [(m.role, m.content) for m in plain] == ([("system", own)] if own else []) + [question]
    assert [(m.role, m.content) for m in guarded] == [
        ("system", f"{PREAMBLE}\n\n{own}" if own else PREAMBLE), question
    ]  # fmt: skip
    assert (record.plain.text, record.guarded.text, record.gain) == ("reply 1", "reply 2", 0.75)
    assert {(request.max_tokens, request.temperature, request.top_p) for request in engine.requests} == {(7, 0.5, 0.9)}


def test_in_a_transcript_the_preamble_is_its_opening() -> None:
    engine = Recorder()
    collect(distill(engine, Told(reply_1=0.0, reply_2=0.0), "transcript"), PROMPT)
    plain, guarded = (request.prompt.text for request in engine.requests)
    assert plain.startswith("\n\nHuman: QUESTION") and guarded == PREAMBLE + plain


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_both_answers_are_scored_on_the_bare_prompt(dialect: str) -> None:
    preference = Told(reply_1=0.5, reply_2=-1.5)
    (record,) = collect(distill(Recorder(), preference, dialect), PROMPT)
    bare = Templates(dialect).render("respond", messages=PROMPT.messages)
    assert preference.asked == [(bare, "reply 1"), (bare, "reply 2")]
    assert PREAMBLE not in text_of(bare)
    assert (record.plain_score, record.guarded_score, record.gain) == (0.5, -1.5, -2.0)


def test_what_is_stored_is_not_asked_again() -> None:
    engine, preference = Recorder(), Told(reply_1=0.0, reply_2=1.0)
    stage = distill(engine, preference)
    (record,) = collect(stage, PROMPT)
    assert collect(stage, PROMPT, [record]) == []
    assert len(engine.requests) == len(preference.asked) == 2


def test_draws_depend_on_the_run_the_prompt_and_the_answer() -> None:
    seeds = []
    for seed in (5, 5, 6):
        engine = Recorder()
        collect(distill(engine, Told(reply_1=0.0, reply_2=0.0), seed=seed), PROMPT)
        seeds.append([request.seed for request in engine.requests])
    assert seeds[0] == seeds[1]
    assert len({*seeds[0], *seeds[2]}) == 4


def test_flags_are_those_of_the_guarded_answer() -> None:
    engine = Recorder(replies=["", "Fine."])
    (record,) = collect(distill(engine, Told(**{"": 0.0, "Fine.": 1.0})), PROMPT)
    assert record.flags == ()
    engine = Recorder(replies=["Fine.", ""])
    (record,) = collect(distill(engine, Told(**{"": 1.0, "Fine.": 0.0})), PROMPT)
    assert record.flags == ("empty",)


@pytest.mark.parametrize(("plain", "guarded", "learned"), [(0.0, 1.0, 1), (0.0, 0.0, 0), (1.0, 0.0, 0), (0.0, 1e-9, 1)])
def test_only_a_higher_score_is_learned_and_without_the_preamble(plain: float, guarded: float, learned: int) -> None:
    (record,) = collect(distill(Recorder(), Told(reply_1=plain, reply_2=guarded)), PROMPT)
    chosen = select([], [], [record], SelectionConfig(), 0)
    assert [answer_of(row) for row in chosen.rows] == ["reply 2"] * learned
    assert all(PREAMBLE not in row.prompt.messages[0].content for row in chosen.rows)


def test_an_infinite_score_survives_the_disk() -> None:
    (record,) = collect(distill(Recorder(), Told(reply_1=-math.inf, reply_2=1.0)), PROMPT)
    assert Distilled.model_validate_json(record.model_dump_json()) == record


def test_the_preamble_that_ships_is_one_paragraph_of_plain_words() -> None:
    text = find("prompts", "preambles/safety", ".txt").read_text("utf-8").strip()
    assert "\n" not in text
    assert 40 < len(text.split()) < 150
    assert not {"{", "}", "[", ":"} & set(text)
