"""Compare: AI feedback on pairs of answers. Bai et al. 2022, section 4.1.

Two answers are sampled, a principle is drawn, and the feedback model is asked which answer is better; the label is the
normalised probability of its two answers. `cai/stages/pairs.py` says which answers are paired, `cai/judge/` how the
judge is asked, with what differs from the paper.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.constitution import Principle
from cai.judge.judge import Judge
from cai.records import Comparison, Prompt, Verdict
from cai.stages.pairs import Answers, Pair


@dataclass(frozen=True)
class Compare:
    """Yields the Comparisons of a prompt. `certain`: the label is known from how the pair was made: a is better."""

    answers: Answers
    judge: Judge
    certain: bool = False

    async def __call__(self, prompt: Prompt, done: Sequence[Comparison]) -> AsyncIterator[Comparison]:
        """The comparisons that are not stored."""
        for pair in await self.answers.pairs(prompt, done):
            principles, verdict = await self._judged(prompt, pair)
            yield Comparison(
                id=pair.id,
                prompt=prompt,
                principles=tuple(one.id for one in principles),
                a=pair.a,
                b=pair.b,
                verdict=verdict,
                source=pair.source,
                asked=pair.asked,
                ranked=dict(pair.ranked),
                between=dict(pair.between),
            )

    async def _judged(self, prompt: Prompt, pair: Pair) -> tuple[tuple[Principle, ...], Verdict]:
        if self.certain and pair.a.text != pair.b.text:
            return pair.principles, Verdict(state="parsed", p_a=1.0)
        return await self.judge.verdict(pair.id, prompt, pair.a.text, pair.b.text, pair.principles)
