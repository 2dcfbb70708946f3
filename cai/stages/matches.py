"""Matches: every two models' answers to a held-out prompt, judged in both orders. Bai et al. 2022, sections 3.3, 4.4.

Nothing is sampled: the answers are those that stage `evaluate` left. Deviations: people compare in the paper, in talks
of several turns, and choose among degrees; here a judge does, of one answer each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from cai.judge.judge import Judge
from cai.records import Kind, Match, Measurement, Prompt


@dataclass(frozen=True)
class PlayMatches:
    """Yields the Matches of a prompt. `answers`: by prompt id, each model's in the order of the models."""

    judges: Mapping[Kind, Judge]
    answers: Mapping[str, Sequence[Measurement]]

    async def __call__(self, prompt: Prompt, done: Sequence[Match]) -> AsyncIterator[Match]:
        """The matches that are not stored."""
        have = {one.models for one in done}
        for a, b in combinations(self.answers[prompt.id], 2):
            if (a.model, b.model) not in have:
                yield await self._played(prompt, a, b)

    async def _played(self, prompt: Prompt, a: Measurement, b: Measurement) -> Match:
        name, said = f"{prompt.id}/{a.model}-{b.model}", (a.response, b.response)
        by, verdict = await self.judges[prompt.kind].verdict(name, prompt, said[0].text, said[1].text)
        return Match(
            id=name,
            prompt=prompt,
            principles=tuple(one.id for one in by),
            a=said[0],
            b=said[1],
            verdict=verdict,
            source="models",
            asked=(),
            models=(a.model, b.model),
        )
