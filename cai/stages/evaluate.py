"""Evaluate: base, SL-CAI and RL-CAI on held-out prompts. Bai et al. 2022, section 4.4 asks people; this asks models.

For every answer: the preference-model score; the log-ratio to the base and SL-CAI models, whose mean over answers
sampled at temperature 1 is the KL divergence from them; whether it refuses and whether it is evasive, by rule; its
length. The preference model that scores is the one that RL trained against, so a rise in its score is no evidence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cai.config import EvaluateConfig
from cai.engines.base import Speaker
from cai.identity import seed_of
from cai.prompts import Rendered, Templates
from cai.records import Measurement, Prompt, Revision, RoundScore
from cai.refusals import evasive, refuses


class Scorer(Protocol):
    """A preference model that can be asked from many coroutines at once."""

    async def score(self, prompt: Rendered, answer: str) -> float:
        """The reward of an answer, log-odds."""
        ...


@dataclass(frozen=True)
class Evaluate:
    """Yields one Measurement a prompt for one model. `base` and `sl` are None where they are that model's own past.

    `scored`: what the preference model is shown a prompt by, where that isn't what the model itself is. A `guest` comes
    from elsewhere, so its distance from the base model says nothing.
    """

    model: str
    policy: Speaker
    base: Speaker | None
    sl: Speaker | None
    preference: Scorer
    config: EvaluateConfig
    seed: int
    scored: Templates | None = None
    guest: bool = False

    async def __call__(self, prompt: Prompt, done: Sequence[Measurement]) -> AsyncIterator[Measurement]:
        """The measurement, unless it is stored."""
        if any(measurement.model == self.model for measurement in done):
            return
        seed = seed_of(self.seed, "evaluate", prompt.id)
        response = await self.policy.reply("respond", self.config, seed, messages=prompt.messages)
        text, templates = response.text, self.scored or self.policy.templates
        yield Measurement(
            id=f"{self.model}/{prompt.id}",
            model=self.model,
            prompt=prompt,
            response=response,
            reward=await self.preference.score(templates.render("respond", messages=prompt.messages), text),
            kl_base=None if self.guest else await self._log_ratio(prompt, text, self.base) or 0.0,
            kl_sl=await self._log_ratio(prompt, text, self.sl),
            refusal=refuses(text),
            evasive=evasive(text),
            words=len(text.split()),
        )

    async def _log_ratio(self, prompt: Prompt, text: str, reference: Speaker | None) -> float | None:
        """Log p(text | policy) - log p(text | reference), nats."""
        if reference is None:
            return None
        if not text:
            return 0.0
        policy, other = [await _log_probability(speaker, prompt, text) for speaker in (self.policy, reference)]
        return policy - other


async def _log_probability(speaker: Speaker, prompt: Prompt, text: str) -> float:
    rendered = speaker.templates.render("respond", messages=prompt.messages)
    return (await speaker.engine.score(rendered, [text if rendered.messages else f" {text}"]))[0]


@dataclass(frozen=True)
class ScoreRounds:
    """Yields the preference-model score of each round of the chains. Bai et al. 2022, Fig. 5."""

    templates: Templates
    preference: Scorer

    async def __call__(self, revision: Revision, done: Sequence[RoundScore]) -> AsyncIterator[RoundScore]:
        """The score, unless it is stored."""
        if not done:
            rendered = self.templates.render("respond", messages=revision.prompt.messages)
            reward = await self.preference.score(rendered, revision.response.text)
            yield RoundScore(
                id=revision.id,
                round=revision.round,
                variant=revision.variant,
                principles=revision.principles,
                reward=reward,
            )
