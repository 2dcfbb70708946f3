"""Log-probabilities of the two labels right after the question. Bai et al. 2022, section 4.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cai.engines.base import Speaker
from cai.judge.asked import Asked, Shown
from cai.prompts import Step
from cai.records import Reading, Seating
from cai.verdicts import LABELS, of_labels


@dataclass(frozen=True)
class Labels:
    """`step`: the template, which is the layout of the question."""

    feedback: Speaker
    step: Step

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """One reading, raw soft labels; nothing is sampled, so the seed is of no use."""
        scores = await self.feedback.score(self.step, LABELS, **asked.seated(first))
        logprobs = dict(zip(LABELS, scores, strict=True))
        return [of_labels(Reading(first=first, principle=asked.principle.id, logprobs=logprobs))]

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The question."""
        assert reading.first
        prompt = self.feedback.templates.render(self.step, **asked.seated(reading.first))
        return [Shown("question", prompt, LABELS)]
