"""Distill a safety preamble: what the assistant says under it is learned without it, where that scores higher.

Safety context distillation, Llama 2 (Touvron et al. 2023, arXiv 2307.09288), section 4.2 and App. A.3.5. The assistant
answers each red-team prompt twice, without and with a safety preamble, and a preference model scores both answers to
the bare prompt. SL-CAI learns the guarded answer where its score is the higher one; `cai/selection.py` chooses.

Deviations: Llama 2 also writes preambles for single kinds of risk; here one serves all. It scores by a safety reward
model trained on human comparisons; here by whatever preference model the recipe names. It finetunes the model that
answered; here SL-CAI learns these answers beside the revisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.config import DistillConfig
from cai.engines.base import Speaker
from cai.hygiene import answer_flags, expected_language
from cai.identity import seed_of
from cai.prompts import Templates
from cai.records import Completion, Distilled, Prompt
from cai.stages.evaluate import Scorer


@dataclass(frozen=True)
class Distill:
    """Yields one Distilled a prompt.

    `plain` and `guarded` are the assistant without and with the preamble, `bare` renders what the preference model is
    shown: never the preamble. `language`: of answers to prompts that do not tell theirs; none: any.
    """

    plain: Speaker
    guarded: Speaker
    bare: Templates
    preference: Scorer
    config: DistillConfig
    language: str | None
    seed: int

    async def __call__(self, prompt: Prompt, done: Sequence[Distilled]) -> AsyncIterator[Distilled]:
        """Both answers and their scores, unless they are stored."""
        if done:
            return
        plain, guarded = await asyncio.gather(
            self._answer(self.plain, "plain", prompt), self._answer(self.guarded, "guarded", prompt)
        )
        yield Distilled(
            id=prompt.id,
            prompt=prompt,
            plain=plain,
            guarded=guarded,
            plain_score=await self._score(prompt, plain),
            guarded_score=await self._score(prompt, guarded),
            flags=answer_flags(guarded, expected_language(prompt.messages[-1].content, self.language)),
        )

    async def _answer(self, speaker: Speaker, name: str, prompt: Prompt) -> Completion:
        seed = seed_of(self.seed, "distill", name, prompt.id)
        return await speaker.reply("respond", self.config, seed, messages=prompt.messages)

    async def _score(self, prompt: Prompt, answer: Completion) -> float:
        return await self.preference.score(self.bare.render("respond", messages=prompt.messages), answer.text)
