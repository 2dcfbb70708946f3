"""Respond: the assistant's own answers to helpful prompts, for the SL mixture. Bai et al. 2022, section 3.2.

Deviation: one answer a prompt; the paper samples two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.config import RespondConfig
from cai.engines.base import Speaker
from cai.identity import seed_of
from cai.records import Answer, Prompt


@dataclass(frozen=True)
class Respond:
    """Yields one Answer a prompt."""

    assistant: Speaker
    config: RespondConfig
    seed: int

    async def __call__(self, prompt: Prompt, done: Sequence[Answer]) -> AsyncIterator[Answer]:
        """The answer, unless it is stored."""
        if not done:
            seed = seed_of(self.seed, "respond", prompt.id)
            response = await self.assistant.reply("respond", self.config, seed, messages=prompt.messages)
            yield Answer(id=prompt.id, prompt=prompt, response=response)
