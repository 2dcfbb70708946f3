"""Direct RLAIF: expected ratings by hand, rescaled; one draw of principles for all answers to a prompt."""

from __future__ import annotations

import asyncio
import math

import pytest
from judge_engine import DIALECTS, Engine, judge_with, prompts, templates

from cai.errors import ItemFailed
from cai.judge.rewarding import Rated
from cai.prompts import Rendered
from cai.records import Prompt
from cai.trainers.reward import Sample

ASKED = prompts(3)


def rendered(dialect: str) -> dict[Rendered, Prompt]:
    return {templates(dialect).render("respond", messages=one.messages): one for one in ASKED}


def by_text(text: str, label: str) -> float:
    """GOOD is rated 10 for sure, BAD 1, FAIR 4 or 8, each by half; GONE can't be rated."""
    rating = int(label.split("/")[0])
    chances = {"GOOD": {10: 1.0}, "BAD": {1: 1.0}, "FAIR": {4: 0.5, 8: 0.5}, "GONE": {}}
    found = next(chances[name] for name in chances if name in text)
    return math.log(found[rating]) if rating in found else -math.inf


def rated(engine: Engine, dialect: str, *names: str, seed: int = 5) -> Rated:
    judge = judge_with(engine, *(names or ("kind",)), dialect=dialect, mode="score", seed=seed)
    return Rated(judge, rendered(dialect), asyncio.run)


def sample(prompt: Rendered, answer: str) -> Sample:
    return Sample(prompt, answer)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_expected_rating_is_rescaled_by_hand(dialect: str) -> None:
    """Ratings 10, 1 and 6 come to 1, -1 and (6 - 5.5) / 4.5."""
    engine = Engine(by_text)
    shown = [sample(prompt, answer) for prompt in rendered(dialect) for answer in ("GOOD", "BAD", "FAIR")]
    found = rated(engine, dialect)(shown)
    assert found.total == pytest.approx([1, -1, 1 / 9] * 3)
    assert found.parts == {"judge": found.total}
    assert len(engine.questions) == 9


def test_answers_to_one_prompt_are_rated_under_the_same_principle() -> None:
    engine = Engine(by_text)
    names = tuple(f"p{n}" for n in range(12))
    shown = [sample(prompt, f"GOOD {n}") for n in range(4) for prompt in rendered("chat")]
    rated(engine, "chat", *names)(shown)
    by_prompt: dict[str, set[str]] = {}
    for text in engine.shown:
        question = next(one.messages[0].content for one in ASKED if one.messages[0].content in text)
        principle = [name for name in names if f"BE {name.upper()}" in text]
        by_prompt.setdefault(question, set()).add(max(principle, key=len))
    assert [len(drawn) for drawn in by_prompt.values()] == [1, 1, 1]


def test_the_draw_depends_on_prompt_answers_and_seed_alone() -> None:
    names = tuple(f"p{n}" for n in range(12))

    def asked(answer: str, seed: int = 5) -> list[str]:
        engine = Engine(by_text)
        rated(engine, "chat", *names, seed=seed)([sample(next(iter(rendered("chat"))), answer)])
        return engine.shown

    assert asked("GOOD") == asked("GOOD")
    others = {asked(f"GOOD {n}")[0].replace(f"GOOD {n}", "GOOD") for n in range(12)}
    assert len(others) > 3  # another step, other answers, another draw
    assert len({asked("GOOD", seed)[0] for seed in range(12)}) > 3


def test_an_answer_that_cannot_be_rated_stops_the_step() -> None:
    with pytest.raises(ItemFailed, match="rating"):
        rated(Engine(by_text), "chat")([sample(next(iter(rendered("chat"))), "GONE")])


def test_no_more_calls_are_in_flight_than_keep_the_engine_busy() -> None:
    class Counting(Engine):
        now = most = 0

        async def score(self, prompt: Rendered, labels: object) -> list[float]:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return [0.0] * 10

    engine = Counting()
    rated(engine, "chat")([sample(prompt, str(n)) for n in range(5) for prompt in rendered("chat")])
    assert 1 < engine.most <= engine.concurrency
