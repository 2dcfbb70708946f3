"""Critique and revise: the supervised stage. Bai et al. 2022, section 3.1.

Each round draws a principle, samples a critique of the last answer and a revision in its light; the next round starts
from the revision, and earlier critiques are dropped.

Deviations: principles are drawn by (seed, prompt id, round), so a resumed run draws what an unbroken one draws. The
first answer is sampled without few-shot examples; the paper does not say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.config import ReviseConfig
from cai.constitution import Constitution
from cai.engines.base import Speaker
from cai.few_shot import RevisionExample
from cai.identity import seed_of
from cai.records import Completion, Prompt, Revision


@dataclass(frozen=True)
class Revise:
    """Yields round 0, the first answer, and then one Revision a round."""

    assistant: Speaker
    constitution: Constitution
    few_shot: tuple[RevisionExample, ...]
    config: ReviseConfig
    seed: int

    async def __call__(self, prompt: Prompt, done: Sequence[Revision]) -> AsyncIterator[Revision]:
        """The rounds that are not stored yet."""
        if done:
            response = done[-1].response
        else:
            seed = self._seed("respond", prompt, 0)
            response = await self.assistant.reply("respond", self.config, seed, messages=prompt.messages)
            yield _revision(prompt, 0, None, None, response)
        for round_ in range(max(1, len(done)), self.config.rounds + 1):
            principle = self.constitution.draw("revision", self._seed("principle", prompt, round_))
            shown = {
                "messages": prompt.messages,
                "few_shot": self.few_shot,
                "response": response.text,
                "principle": principle,
            }
            seed = self._seed("critique", prompt, round_)
            critique = await self.assistant.reply("critique", self.config, seed, **shown)
            seed = self._seed("revise", prompt, round_)
            response = await self.assistant.reply("revise", self.config, seed, **shown, critique=critique.text)
            yield _revision(prompt, round_, principle.id, critique, response)

    def _seed(self, purpose: str, prompt: Prompt, round_: int) -> int:
        return seed_of(self.seed, purpose, prompt.id, round_)


def _revision(
    prompt: Prompt, round_: int, principle: str | None, critique: Completion | None, response: Completion
) -> Revision:
    return Revision(
        id=f"{prompt.id}/{round_}",
        prompt=prompt,
        round=round_,
        principle=principle,
        critique=critique,
        response=response,
    )
