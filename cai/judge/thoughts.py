"""Chain of thought, and the labels' log-probabilities once it is written. Bai et al. 2022, section 4.1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cai.engines.base import Speaker
from cai.feedback_config import CotJudge
from cai.identity import seed_of
from cai.judge.asked import Asked, Shown, declines, unread
from cai.records import Reading, Seating
from cai.verdicts import LABELS, of_labels


@dataclass(frozen=True)
class Thoughts:
    """The answer is elicited in a turn of its own after the thoughts, as the paper does."""

    feedback: Speaker
    config: CotJudge

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """One reading for each chain of thought."""
        chains = range(self.config.thoughts)
        return await asyncio.gather(*(self._one(asked, first, seed_of(seed, "thoughts", n)) for n in chains))

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The question, and what elicits the answer after the thoughts, where there were any to follow."""
        assert reading.first and reading.reply
        shown = asked.seated(reading.first)
        question = Shown("question", self.feedback.templates.render("reason", **shown))
        if not reading.logprobs:
            return [question]
        concluding = self.feedback.templates.render("conclude", **shown, thoughts=reading.reply.text)
        return [question, Shown("answer elicited", concluding, LABELS)]

    async def _one(self, asked: Asked, first: Seating, seed: int) -> Reading:
        shown = asked.seated(first)
        reply = await self.feedback.reply("reason", self.config, seed, **shown)
        reading = Reading(first=first, principle=asked.principle.id, reply=reply)
        if not reply.text:
            return unread(reading, "the chain of thought is empty")
        if declines(reply.text):
            return unread(reading, "the judge declines to compare", "refused")
        scores = await self.feedback.score("conclude", LABELS, **shown, thoughts=reply.text)
        return of_labels(reading.model_copy(update={"logprobs": dict(zip(LABELS, scores, strict=True))}))
