"""Labelled comparisons as multiple choice: by a language model, or by the scores of a preference model.

Bai et al. 2022, section 2 (Fig. 4): of two answers the model says which is better; a preference model says so by its
scores, P(a is better) = s(r_a - r_b).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cai.judged import Judged
from cai.prompts import Rendered, Templates
from cai.records import Record, Verdict
from cai.trials.measuring import Examine, Labelled
from cai.verdicts import logistic


class Scorer(Protocol):
    """A preference model that can be asked from many coroutines at once."""

    async def score(self, prompt: Rendered, answer: str) -> float:
        """The reward of an answer, log-odds."""
        ...


class Choice(Record):
    """One model's choice between two answers. `id` is "<model>/<pair>"."""

    id: str
    model: str
    pair: Labelled
    verdict: Verdict

    @property
    def judged(self) -> Judged:
        """What the figures are made of."""
        words = len(self.pair.a.split()), len(self.pair.b.split())
        return Judged(self.pair.id, self.verdict, self.pair.better, words, self.pair.category, self.pair.prompt.id)


class ToChoose(Record):
    """A labelled pair that one model is asked about."""

    id: str
    model: str
    pair: Labelled


def to_choose(pairs: Sequence[Labelled], model: str) -> list[ToChoose]:
    """The pairs, for one model."""
    return [ToChoose(id=f"{model}/{pair.id}", model=model, pair=pair) for pair in pairs]


@dataclass(frozen=True)
class ByLanguageModel:
    """Yields what a model says as a judge."""

    examine: Examine

    async def __call__(self, asked: ToChoose, done: Sequence[Choice]) -> AsyncIterator[Choice]:
        """The choice, unless it is stored. A question that fails is an `error`, and counted as one."""
        if not done:
            async for found in self.examine(asked.pair, ()):
                yield Choice(**dict(asked), verdict=found.verdict)


@dataclass(frozen=True)
class ByPreferenceModel:
    """Yields what the scores say."""

    templates: Templates
    preference: Scorer

    async def __call__(self, asked: ToChoose, done: Sequence[Choice]) -> AsyncIterator[Choice]:
        """The choice, unless it is stored."""
        if done:
            return
        shown = self.templates.render("respond", messages=asked.pair.prompt.messages)
        a, b = await asyncio.gather(*(self.preference.score(shown, said) for said in (asked.pair.a, asked.pair.b)))
        yield Choice(**dict(asked), verdict=Verdict(state="parsed", p_a=logistic(a - b)))
