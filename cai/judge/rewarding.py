"""A judge as the reward of reinforcement learning: direct RLAIF (Lee et al. 2023, arXiv 2309.00267, section 2.3)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai.identity import digest
from cai.judge.judge import Judge
from cai.prompts import Rendered
from cai.records import Prompt
from cai.trainers.reward import OverAll, Rewarded, Sample, alone

_MIDDLE, _HALF = 5.5, 4.5
"""Ratings go from 1 to 10."""


@dataclass(frozen=True)
class Rated:
    """The judge's rating of each answer, rescaled from 1..10 to [-1, 1]; `judge` is one of mode `score`.

    All answers to a prompt within a step are rated under the same principles, drawn by the prompt and those answers:
    the answers are compared with each other, and a resumed run draws what an unbroken one draws. `asked`: the
    conversation behind each prompt; `run`: waits for what is asked in the loop of the judge's engine; `over`: the
    answers of a step, in whichever process each is rated.
    """

    judge: Judge
    asked: Mapping[Rendered, Prompt]
    run: Callable[[Coroutine[Any, Any, list[float]]], list[float]]
    over: OverAll = alone

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """One part, `judge`. Raises ItemFailed where an answer cannot be rated."""
        ratings = self.run(self._ratings(samples, self.over(samples, self._keys)))
        total = tuple((rating - _MIDDLE) / _HALF for rating in ratings)
        return Rewarded(total, {"judge": total})

    def close(self) -> None:
        """The engine is not this room's to close."""

    async def _ratings(self, samples: Sequence[Sample], keys: Sequence[str]) -> list[float]:
        slots = asyncio.Semaphore(self.judge.feedback.engine.concurrency)

        async def one(sample: Sample, key: str) -> float:
            async with slots:
                return await self.judge.value(key, self.asked[sample.prompt], sample.answer)

        return await asyncio.gather(*map(one, samples, keys))

    def _keys(self, samples: Sequence[Sample]) -> list[str]:
        """Of each answer, what its principles are drawn by."""
        answers: defaultdict[Rendered, list[str]] = defaultdict(list)
        for sample in samples:
            answers[sample.prompt].append(sample.answer)
        keys = {prompt: digest([self.asked[prompt].id, *given]) for prompt, given in answers.items()}
        return [keys[sample.prompt] for sample in samples]
