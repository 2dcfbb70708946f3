"""Respond: the assistant's own answers to helpful prompts, for the SL mixture. Bai et al. 2022, section 3.2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cai.config import RespondConfig
from cai.engines.base import Speaker
from cai.hygiene import answer_flags, expected_language
from cai.identity import seed_of
from cai.records import Answer, Prompt


@dataclass(frozen=True)
class Respond:
    """Yields the Answers to a prompt. `language`: of answers to prompts that do not tell theirs; none: any."""

    assistant: Speaker
    config: RespondConfig
    language: str | None
    seed: int

    async def __call__(self, prompt: Prompt, done: Sequence[Answer]) -> AsyncIterator[Answer]:
        """The answers that are not stored yet."""
        for sample in range(len(done), self.config.samples):
            seed = seed_of(self.seed, "respond", prompt.id, sample)
            response = await self.assistant.reply("respond", self.config, seed, messages=prompt.messages)
            flags = answer_flags(response, expected_language(prompt.messages[-1].content, self.language))
            name = f"{prompt.id}/{sample}"
            yield Answer(id=name, prompt=prompt, sample=sample, response=response, flags=flags)
