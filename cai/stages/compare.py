"""Compare: AI feedback on pairs of the SL-CAI model's answers. Bai et al. 2022, section 4.1.

Two answers are sampled, one principle is drawn, and the feedback model is asked which answer is better; the label is
the normalised probability of its two answers, read from their log-probabilities. A worked example that leaves its
principle or its seats open gets its own for each prompt.

Deviations: both seatings are asked and averaged (RLAIF, Lee et al. 2023, section 2.1.1), since small judges prefer a
seat. A pair of identical answers is not judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cai.config import CompareConfig
from cai.constitution import Constitution, Principle
from cai.engines.base import Speaker
from cai.few_shot import ComparisonExample
from cai.identity import seed_of
from cai.records import Comparison, Completion, OrderedLabels, Prompt, Verdict
from cai.verdicts import LABELS, read

Seating = Literal["a", "b"]


@dataclass(frozen=True)
class Compare:
    """Yields one Comparison a prompt."""

    policy: Speaker
    feedback: Speaker
    constitution: Constitution
    few_shot: tuple[ComparisonExample, ...]
    config: CompareConfig
    seed: int

    async def __call__(self, prompt: Prompt, done: Sequence[Comparison]) -> AsyncIterator[Comparison]:
        """The comparison, unless it is stored."""
        if done:
            return
        a, b = await asyncio.gather(self._sample(prompt, "a"), self._sample(prompt, "b"))
        principle = self._draw("comparison", prompt.id)
        verdict = await self._judge(prompt, principle, a, b)
        yield Comparison(id=prompt.id, prompt=prompt, principle=principle.id, a=a, b=b, verdict=verdict)

    async def _sample(self, prompt: Prompt, name: str) -> Completion:
        seed = seed_of(self.seed, "pair", prompt.id, name)
        return await self.policy.reply("respond", self.config, seed, messages=prompt.messages)

    async def _judge(self, prompt: Prompt, principle: Principle, a: Completion, b: Completion) -> Verdict:
        if a.text == b.text:
            return Verdict(state="skipped", p_a=None, orders=(), reason="the answers are identical")
        shown = {
            "messages": prompt.messages,
            "few_shot": self._examples(prompt),
            "principle": principle,
            "opening": self.constitution.opening,
        }
        return read(await asyncio.gather(*(self._ask(shown, a, b, first) for first in self._seatings(prompt))))

    async def _ask(self, shown: dict[str, Any], a: Completion, b: Completion, first: Seating) -> OrderedLabels:
        seated = (a, b) if first == "a" else (b, a)
        scores = await self.feedback.score("compare", LABELS, **shown, a=seated[0].text, b=seated[1].text)
        return OrderedLabels(first=first, logprobs=dict(zip(LABELS, scores, strict=True)))

    def _draw(self, *purpose: str) -> Principle:
        (principle,) = self.constitution.draw("comparison", seed_of(self.seed, *purpose), tags=self.config.tags)
        return principle

    def _examples(self, prompt: Prompt) -> tuple[ComparisonExample, ...]:
        """The worked examples, whole; where all are, the very same ones for every prompt."""
        if all(example.whole for example in self.few_shot):
            return self.few_shot
        return tuple(self._settled(example, prompt) for example in self.few_shot)

    def _settled(self, example: ComparisonExample, prompt: Prompt) -> ComparisonExample:
        principle = self._draw("example", prompt.id, example.id)
        seat = "A" if seed_of(self.seed, "example seat", prompt.id, example.id) % 2 else "B"
        return example.settled(principle.comparison or "", seat)

    def _seatings(self, prompt: Prompt) -> tuple[Seating, ...]:
        if self.config.orders == "both":
            return ("a", "b")
        return ("a",) if seed_of(self.seed, "order", prompt.id) % 2 else ("b",)
