"""A deterministic stand-in for a model: for tests, docs and dry runs."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

from cai.engine_config import ScriptedEngine
from cai.engines.base import Request
from cai.identity import digest, seed_of
from cai.prompts import Rendered
from cai.records import Completion

_SENTENCE = (
    "the answer could be kinder and say why this may hurt someone while it still offers help that is honest clear "
    "careful safe open and useful to a person who asks in good faith"
)
_WORDS = _SENTENCE.split()


class ScriptedBackend:
    """Replies are made of a small word list, drawn by the prompt and the seed."""

    def __init__(self, config: ScriptedEngine) -> None:
        self._latency = config.latency
        self._slots = asyncio.Semaphore(config.concurrency)
        self.concurrency = config.concurrency

    async def generate(self, request: Request) -> Completion:
        """A sentence of at most `max_tokens` words; one in eight is cut off, as a real model's would be."""
        await self._wait()
        draw = random.Random(seed_of(_name(request.prompt), request.seed if request.temperature else 0))
        length = draw.randint(4, 24)
        words = draw.choices(_WORDS, k=min(length, request.max_tokens))
        cut = length > request.max_tokens or draw.random() < 0.125
        text = " ".join(words).capitalize() + ("" if cut else ".")
        prompt_tokens = len(_text(request.prompt).split())
        finish = "length" if cut else "stop"
        return Completion(
            text=text, raw=text, finish=finish, prompt_tokens=prompt_tokens, tokens=len(words), seed=request.seed
        )

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log-probabilities that sum to at most 1 over the labels."""
        await self._wait()
        draws = [random.Random(seed_of(_name(prompt), label)).random() + 1e-3 for label in labels]
        return [math.log(value / (sum(draws) + 1)) for value in draws]

    def close(self) -> None:
        """Nothing to give back."""

    async def _wait(self) -> None:
        if self._latency:
            async with self._slots:
                await asyncio.sleep(self._latency)


def _text(prompt: Rendered) -> str:
    return prompt.text or "\n".join(message.content for message in prompt.messages)


def _name(prompt: Rendered) -> str:
    return digest([[message.role, message.content] for message in prompt.messages] + [prompt.text, prompt.reply_start])
