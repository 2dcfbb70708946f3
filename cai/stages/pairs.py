"""Which answers are paired: samples of one model, of two, rounds of a chain, or under a principle and its opposite.

Samples of the SL-CAI model: Bai et al. 2022, section 4.1. The best against the worst of several: as rejection sampling
ranks them (Llama 2, section 3.2.3), here by the judge's own numbers. Contrastive pairs: RLCD (Yang et al. 2023, arXiv
2307.12950).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, Protocol

from cai.constitution import Principle
from cai.engines.base import Speaker
from cai.feedback_config import SampledAnswers
from cai.identity import seed_of
from cai.judge.judge import Judge
from cai.records import Comparison, Completion, Prompt, Revision, Seating
from cai.sampling import Sampling


@dataclass(frozen=True)
class Pair:
    """Two answers to be judged. `principles`: by which; none: drawn. `asked`: those that were sampled just for it.

    `ranked` and `between`: the judge's number of every sample, and the samples between the best and the worst.
    """

    id: str
    a: Completion
    b: Completion
    source: str
    principles: tuple[Principle, ...] = ()
    asked: tuple[Seating, ...] = ("a", "b")
    ranked: Mapping[int, float] = field(default_factory=dict)
    between: Mapping[int, Completion] = field(default_factory=dict)


class Answers(Protocol):
    """A way to come by pairs."""

    async def pairs(self, prompt: Prompt, done: Sequence[Comparison]) -> list[Pair]:
        """The pairs of a prompt that are not in `done`, whose answers are used again."""
        ...


@dataclass(frozen=True)
class Samples:
    """Samples of one model: all pairs, some of them by seed, or the best against the worst."""

    policy: Speaker
    judge: Judge
    config: SampledAnswers
    sampling: Sampling
    seed: int

    async def pairs(self, prompt: Prompt, done: Sequence[Comparison]) -> list[Pair]:
        """As `Answers` has it; an answer that belongs to several pairs is counted with the first of them."""
        wanted = self._wanted(prompt)
        have = {one.id for one in done}
        if wanted is not None and all(_id(prompt, *pair) in have for pair in wanted):
            return []
        if wanted is None:
            return [] if done else [await self._extremes(prompt)]
        known = {number: answer for one in done for number, answer in _numbered(one)}
        numbers = sorted({n for pair in wanted for n in pair})
        drawn = await asyncio.gather(*(self._sample(prompt, n, known) for n in numbers))
        answers = dict(zip(numbers, drawn, strict=True))
        found, told = [], set(known)
        for i, j in wanted:
            seats: dict[Seating, int] = {"a": i, "b": j}
            asked: tuple[Seating, ...] = tuple(seat for seat, n in seats.items() if n not in told)
            told |= {i, j}
            if _id(prompt, i, j) not in have:
                found.append(Pair(_id(prompt, i, j), answers[i], answers[j], "samples", asked=asked))
        return found

    def _wanted(self, prompt: Prompt) -> list[tuple[int, int]] | None:
        """The pairs by number; None where the answers themselves decide."""
        every = list(combinations(range(self.config.samples), 2))
        if isinstance(self.config.pairs, int) and self.config.pairs < len(every):
            draw = random.Random(seed_of(self.seed, "pairs", prompt.id))
            return sorted(draw.sample(every, self.config.pairs))
        return None if self.config.pairs == "best-worst" else every

    async def _sample(self, prompt: Prompt, number: int, known: Mapping[int, Completion]) -> Completion:
        if number in known:
            return known[number]
        seed = seed_of(self.seed, "pair", prompt.id, str(number))
        return await self.policy.reply("respond", self.sampling, seed, messages=prompt.messages)

    async def _extremes(self, prompt: Prompt) -> Pair:
        """The best answer and the worst one by the judge's numbers; of equal ones the first."""
        answers = await asyncio.gather(*(self._sample(prompt, n, {}) for n in range(self.config.samples)))
        values = await asyncio.gather(*(self.judge.value(prompt.id, prompt, one.text) for one in answers))
        best, *middle, worst = sorted(range(len(answers)), key=lambda n: (-values[n], n))
        between = {n: answers[n] for n in sorted(middle)}
        ranked = dict(enumerate(values))
        name = _id(prompt, best, worst)
        return Pair(name, answers[best], answers[worst], "samples", ranked=ranked, between=between)


@dataclass(frozen=True)
class TwoModels:
    """An answer of each of two models, by the names that the recipe gives them."""

    policies: Mapping[str, Speaker]
    sampling: Sampling
    seed: int

    async def pairs(self, prompt: Prompt, done: Sequence[Comparison]) -> list[Pair]:
        """As `Answers` has it."""
        if done:
            return []
        a, b = await asyncio.gather(*(self._sample(prompt, name) for name in self.policies))
        return [Pair(f"{prompt.id}/{'-'.join(self.policies)}", a, b, "models")]

    async def _sample(self, prompt: Prompt, name: str) -> Completion:
        seed = seed_of(self.seed, "pair", prompt.id, name)
        return await self.policies[name].reply("respond", self.sampling, seed, messages=prompt.messages)


@dataclass(frozen=True)
class Rounds:
    """Two rounds of each chain of a prompt. `chains`: the revisions of every prompt, by its id, round by round."""

    chains: Mapping[str, Sequence[Sequence[Revision]]]
    rounds: tuple[int | Literal["last"], int | Literal["last"]]

    async def pairs(self, prompt: Prompt, done: Sequence[Comparison]) -> list[Pair]:
        """As `Answers` has it. A chain that ended before a round gives its last one."""
        have = {one.id for one in done}
        found = [self._pair(chain) for chain in self.chains.get(prompt.id, ())]
        return [pair for pair in found if pair.id not in have]

    def _pair(self, chain: Sequence[Revision]) -> Pair:
        a, b = (chain[-1] if at == "last" else chain[min(at, len(chain) - 1)] for at in self.rounds)
        name = f"{a.prompt.id}/{a.sample}.{a.round}-{b.sample}.{b.round}"
        return Pair(name, a.response, b.response, "rounds", asked=())


@dataclass(frozen=True)
class Contrastive:
    """An answer under a drawn principle's instruction, and one under its opposite."""

    policy: Speaker
    judge: Judge
    sampling: Sampling
    seed: int

    async def pairs(self, prompt: Prompt, done: Sequence[Comparison]) -> list[Pair]:
        """As `Answers` has it; the pair is to be judged by that same principle."""
        if done:
            return []
        principle = self._drawn(prompt)
        told = (principle.instruction, principle.opposite)
        a, b = await asyncio.gather(*(self._sample(prompt, name, one) for name, one in zip("ab", told, strict=True)))
        return [Pair(f"{prompt.id}/under-against", a, b, "contrastive", (principle,))]

    def _drawn(self, prompt: Prompt) -> Principle:
        """A principle with an opposite; where some have words for the judge as well, one of these."""
        rules, judge = self.judge.constitution, self.judge
        unfit = [one.id for one in rules.able("contrast", tags=judge.tags) if not one.serves(judge.config.use)]
        seed = seed_of(self.seed, "comparison", prompt.id)
        return rules.draw("contrast", seed, tags=judge.tags, spent=unfit)[0]

    async def _sample(self, prompt: Prompt, name: str, instruction: str | None) -> Completion:
        seed = seed_of(self.seed, "pair", prompt.id, name)
        return await self.policy.reply("steer", self.sampling, seed, messages=prompt.messages, instruction=instruction)


def _id(prompt: Prompt, a: int, b: int) -> str:
    return f"{prompt.id}/{a}-{b}"


def _numbered(one: Comparison) -> list[tuple[int, Completion]]:
    """The answers of a stored pair of samples, by number."""
    a, b = one.id.rpartition("/")[2].split("-")
    return [(int(a), one.a), (int(b), one.b)]
