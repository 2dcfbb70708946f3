"""Likelihood contrast: how much likelier an answer is where its principle is the assistant's instruction.

Self-rewarding contrastive prompts, DLMA (Liu et al. 2024, arXiv 2402.11907). Nothing is generated, each answer is read
by itself, so there is no seat to prefer.

Deviations: DLMA sets an instruction against its opposite; `against: nothing` sets it against no instruction. DLMA adds
log-likelihoods over a whole answer; `per: character` divides them by its length. The end of an answer is not scored,
so an empty one is as likely either way.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cai.engines.base import Speaker
from cai.errors import ItemFailed
from cai.feedback_config import ContrastJudge
from cai.judge.asked import Asked, Shown, unread
from cai.prompts import Rendered
from cai.records import Reading, Seating
from cai.verdicts import of_contrast


@dataclass(frozen=True)
class Contrast:
    """Scores every answer twice."""

    feedback: Speaker
    config: ContrastJudge

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """One reading without seats: log p of both answers, under the instruction and against it."""
        keys = [(name, under) for name in ("a", "b") for under in ("under", "against")]
        scores = await asyncio.gather(*(self._score(asked, name, under) for name, under in keys))
        logprobs = {f"{name} {under}": score for (name, under), score in zip(keys, scores, strict=True)}
        a, b = (contrast_of(logprobs, name, asked, self.config) for name in ("a", "b"))
        p_a = of_contrast(a, b, self.config.scale)
        reading = Reading(first=None, principle=asked.principle.id, logprobs=logprobs, p_a=p_a)
        return [reading if p_a is not None else unread(reading, "an answer has no finite log-likelihood")]

    async def value(self, asked: Asked) -> float:
        """The contrast of answer a, nats, or nats a character. Raises ItemFailed where it is not finite."""
        under, against = await asyncio.gather(*(self._score(asked, "a", under) for under in ("under", "against")))
        found = contrast_of({"a under": under, "a against": against}, "a", asked, self.config)
        if not math.isfinite(found):
            raise ItemFailed("an answer has no finite log-likelihood")
        return found

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The prompt under the instruction and the one against it, and the answers that were scored after both."""
        prompts = {under: self._prompt(asked, under) for under in ("under", "against")}
        answers = asked.a, asked.b
        return [Shown(under, one, tuple(_after(one, text) for text in answers)) for under, one in prompts.items()]

    async def _score(self, asked: Asked, name: str, under: str) -> float:
        prompt, text = self._prompt(asked, under), _text(asked, name)
        if not text:
            return 0.0
        (score,) = await self.feedback.engine.score(prompt, [_after(prompt, text)])
        return score

    def _prompt(self, asked: Asked, under: str) -> Rendered:
        shown: dict[str, Any] = {"messages": asked.prompt.messages}
        instruction = asked.principle.instruction
        if under == "against":
            instruction = asked.principle.opposite if self.config.against == "opposite" else None
        if instruction is None:
            return self.feedback.templates.render("respond", **shown)
        return self.feedback.templates.render("steer", **shown, instruction=instruction)


def contrast_of(logprobs: dict[str, float], name: str, asked: Asked, config: ContrastJudge) -> float:
    """How many nats likelier an answer is under its instruction; a nat a character where `config` says so."""
    nats = logprobs[f"{name} under"] - logprobs[f"{name} against"]
    return nats / max(len(_text(asked, name)), 1) if config.per == "character" else nats


def _after(prompt: Rendered, text: str) -> str:
    """An answer as it follows its prompt: in a transcript after a space."""
    return text if prompt.messages else f" {text}"


def _text(asked: Asked, name: str) -> str:
    return asked.a if name == "a" else asked.b
