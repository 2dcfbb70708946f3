"""Few-shot requests for more prompts (Bai et al. 2022, section 3.2), many at once and their replies in order."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.engines.base import Speaker
from cai.errors import InputError, ItemFailed
from cai.generation.checks import MOST_CHARACTERS
from cai.generation.files import Asked
from cai.identity import seed_of
from cai.records import Kind, Prompt
from cai.sampling import Sampling

Result = TypeVar("Result")


@dataclass(frozen=True)
class Seed:
    """A prompt of the user's own: its id, and its first turn as one line."""

    id: str
    text: str

    @classmethod
    def of(cls, prompt: Prompt) -> Seed:
        """Of a conversation only the first turn can stand in a list: the later ones speak of what was said before."""
        first = next(message for message in prompt.messages if message.role == "user")
        return cls(prompt.id, " ".join(first.content.split()))


@dataclass(frozen=True)
class Requests:
    """What a model is asked: request n shows `examples` seeds, drawn by (seed, n), as a list to be continued."""

    sampling: Sampling
    kind: Kind
    seeds: Sequence[Seed]
    examples: int
    seed: int

    def shown(self, request: int) -> list[Seed]:
        """The seeds of one request, in the order of the list."""
        draw = random.Random(seed_of(self.seed, "seeds", self.kind, request))
        return draw.sample(self.seeds, self.examples)

    async def ask(self, speaker: Speaker, request: int) -> Asked:
        """One reply, not yet read; a request that cannot be answered has an error instead."""
        shown = self.shown(request)
        asked = Asked(request=request, seeds=tuple(one.id for one in shown))
        texts, seed = [one.text for one in shown], seed_of(self.seed, "more", self.kind, request)
        try:
            reply = await speaker.reply("more", self.sampling, seed, examples=texts, kind=self.kind)
        except ItemFailed as error:
            return asked.model_copy(update={"error": str(error)})
        return asked.model_copy(update={"reply": reply})


def showable(seeds: Sequence[Seed], fewest: int) -> list[Seed]:
    """The seeds that are short enough for a list, each text once. Raises InputError where there are too few."""
    texts: dict[str, Seed] = {}
    for seed in seeds:
        if len(seed.text) <= MOST_CHARACTERS:
            texts.setdefault(seed.text, seed)
    if len(texts) < fewest:
        raise InputError(
            f"found {len(texts)} different seeds of at most {MOST_CHARACTERS:,} characters, expected {fewest} to show; "
            "add seeds, or show fewer with --examples"
        )
    return list(texts.values())


async def in_order(
    ask: Callable[[int], Awaitable[Result]], first: int, in_flight: Callable[[], int]
) -> AsyncGenerator[Result]:
    """The results of ask(first), ask(first + 1), ... without end, `in_flight()` of them asked at once, at least one.

    What is asked for, and in which order it comes, doesn't depend on how long each takes. When it is closed, what is
    still in flight is cancelled.
    """
    waiting: deque[asyncio.Future[Result]] = deque()
    number = first
    try:
        while True:
            while len(waiting) < max(1, in_flight()):
                waiting.append(asyncio.ensure_future(ask(number)))
                number += 1
            yield await waiting[0]
            waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
