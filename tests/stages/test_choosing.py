"""Multiple choice on labelled comparisons: by a model that is asked, and by scores."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from recorder import Recorder, collect

from cai.constitution import load_constitution
from cai.engines.base import Speaker
from cai.feedback_config import LogprobJudge
from cai.human import Pair
from cai.judge.judge import Judge
from cai.judge_figures import figures
from cai.prompts import Rendered, Templates
from cai.records import Message, Prompt
from cai.trials.choosing import ByLanguageModel, ByPreferenceModel, Choice, to_choose
from cai.trials.measuring import Examine, labelled

PAIRS = [
    Pair(
        Prompt.of((Message(role="user", content=f"Q{n}?"),), "harmful", "t"), f"Good answer {n}.", f"Bad {n}.", "honest"
    )
    for n in range(8)
]


class Longer:
    """Scores an answer by its words, and writes down what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[Rendered, str]] = []

    async def score(self, prompt: Rendered, answer: str) -> float:
        await asyncio.sleep(0)
        self.shown.append((prompt, answer))
        return float(len(answer.split()))


def chosen(stage: Any, model: str) -> list[Choice]:
    return [one for item in to_choose(labelled(PAIRS, 0), model) for one in collect(stage, item)]


def test_a_preference_model_chooses_by_its_scores() -> None:
    """Three words against two: P = s(1) for the better one, whichever seat it has."""
    scorer = Longer()
    found = chosen(ByPreferenceModel(Templates("chat"), scorer), "preference model")
    p = 1 / (1 + math.exp(-1))
    assert [one.verdict.p_a for one in found] == pytest.approx(
        [p if one.pair.better == "a" else 1 - p for one in found]
    )
    assert {one.pair.better for one in found} == {"a", "b"}, "seats are drawn"
    told = figures([one.judged for one in found])
    assert told.accuracy and (told.accuracy.value, told.accuracy.n) == (1.0, 8)
    assert told.by_category["honest"].value == 1.0
    assert scorer.shown[0][0].messages[-1].content.startswith("Q"), "the bare prompt, as it was trained on"


def test_a_language_model_is_asked_as_a_judge_in_both_orders() -> None:
    engine = Recorder()
    judge = Judge(Speaker(engine, Templates("chat")), load_constitution("evaluation"), (), LogprobJudge(), ("hhh",), 0)
    stage = ByLanguageModel(Examine(judge))
    found = chosen(stage, "base")
    assert len(found) == 8 and len(engine.questions) == 16
    assert {one.model for one in found} == {"base"} and len({one.id for one in found}) == 8
    engine.questions.clear()
    assert collect(stage, to_choose(labelled(PAIRS, 0), "base")[0], [found[0]]) == [] and engine.questions == []
