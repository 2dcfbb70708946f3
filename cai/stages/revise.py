"""Critique and revise: the supervised stage. Bai et al. 2022, section 3.1.

Each round draws principles, samples a critique of the last answer and a revision in its light; the next round starts
from the revision, and earlier critiques are dropped.

Deviations: principles are drawn by (seed, prompt id, round), so a resumed run draws what an unbroken one draws. The
first answer is sampled without few-shot examples; the paper does not say. What the paper does not have and is off
by default: a chain that ends where there is nothing to change, and further attempts at flagged replies.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cai.config import ReviseConfig
from cai.constitution import Constitution, Principle, Use
from cai.engines.base import Speaker
from cai.few_shot import RevisionExample
from cai.hygiene import answer_flags, critique_flags, expected_language, revision_flags
from cai.identity import seed_of
from cai.prompts import Step
from cai.records import Attempt, Completion, Prompt, Revision

CHANGE, NO_CHANGE = CHECK = (" yes", " no")
"""The labels of the question whether there is anything to change."""

STOPPED = "stopped"
"""The flag of a round in which there was nothing to change."""


@dataclass(frozen=True)
class Reply:
    """A critique or revision, what seems wrong with it, and the attempts before it."""

    completion: Completion
    flags: tuple[str, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Revise:
    """Yields, for each chain of a prompt, round 0, the first answer, and then one Revision a round.

    `variant` names the chains of an ablation.
    """

    assistant: Speaker
    constitution: Constitution
    few_shot: tuple[RevisionExample, ...]
    config: ReviseConfig
    seed: int
    variant: str = ""

    async def __call__(self, prompt: Prompt, done: Sequence[Revision]) -> AsyncIterator[Revision]:
        """The rounds that are not stored yet."""
        for sample in range(self.config.samples):
            async for revision in self._chain(prompt, sample, [one for one in done if one.sample == sample]):
                yield revision

    async def _chain(self, prompt: Prompt, sample: int, done: Sequence[Revision]) -> AsyncIterator[Revision]:
        last = done[-1] if done else await self._first(prompt, sample)
        if not done:
            yield last
        spent = [name for revision in done for name in revision.principles]
        while last.round < self.config.rounds and STOPPED not in last.flags:
            last = await self._round(last, () if self.config.replacement else spent)
            spent += last.principles
            yield last

    async def _first(self, prompt: Prompt, sample: int) -> Revision:
        seed = self._seed("respond", prompt, sample, 0)
        response = await self.assistant.reply("respond", self.config, seed, messages=prompt.messages)
        flags = answer_flags(response, self._language(prompt))
        return Revision(
            id=self._id(prompt, sample, 0),
            prompt=prompt,
            sample=sample,
            variant=self.variant,
            round=0,
            critique=None,
            response=response,
            flags=flags,
        )

    async def _round(self, last: Revision, spent: Sequence[str]) -> Revision:
        """Draws, critiques and revises; or ends the chain where there is nothing to change."""
        prompt, round_, before = last.prompt, last.round + 1, last.response.text
        principles = self._draw(prompt, last.sample, round_, spent)
        shown = {
            "messages": prompt.messages,
            "few_shot": self.few_shot,
            "response": before,
            "principles": principles,
        }
        check = await self._check(shown)
        begun = {
            "id": self._id(prompt, last.sample, round_),
            "round": round_,
            "principles": tuple(principle.id for principle in principles),
            "check": check,
            "critique": None,
            "critique_flags": (),
            "attempts": (),
        }
        if self._nothing_to_change(check):
            return last.model_copy(update={**begun, "flags": (STOPPED,)})
        replies = await (self._revised(last, shown) if self.config.critique else self._direct(last, shown))
        return last.model_copy(update={**begun, **replies})

    async def _revised(self, last: Revision, shown: dict[str, Any]) -> dict[str, Any]:
        """What the critique and the revision of a round add to it."""
        before, language = shown["response"], self._language(last.prompt)
        critique = await self._reply(
            "critique", "critique", last, shown, lambda reply: critique_flags(reply, before, language)
        )
        text = critique.completion.text
        revision = await self._reply(
            "revise",
            "revision",
            last,
            {**shown, "critique": text},
            lambda reply: revision_flags(reply, before, text, language),
        )
        return {
            "critique": critique.completion,
            "critique_flags": critique.flags,
            "response": revision.completion,
            "flags": revision.flags,
            "attempts": critique.attempts + revision.attempts,
        }

    async def _direct(self, last: Revision, shown: dict[str, Any]) -> dict[str, Any]:
        """The same of a revision without a critique (section 3.5)."""
        before, language = shown["response"], self._language(last.prompt)
        reply = await self._reply(
            "direct", "revision", last, shown, lambda reply: revision_flags(reply, before, None, language)
        )
        return {"response": reply.completion, "flags": reply.flags, "attempts": reply.attempts}

    async def _reply(
        self,
        step: Step,
        kind: Literal["critique", "revision"],
        last: Revision,
        shown: dict[str, Any],
        flagged: Callable[[Completion], tuple[str, ...]],
    ) -> Reply:
        """The first reply without a flag that asks for another, or the last that may be asked for."""
        again, attempts = self.config.resample, []
        while True:
            seed = self._seed(step, last.prompt, last.sample, last.round + 1, len(attempts))
            reply = await self.assistant.reply(step, self.config, seed, **shown)
            flags = flagged(reply)
            if len(attempts) == again.times or not set(flags) & set(again.flags):
                return Reply(reply, flags, tuple(attempts))
            attempts.append(Attempt(step=kind, reply=reply, flags=flags))

    async def _check(self, shown: dict[str, Any]) -> dict[str, float] | None:
        """Log p of "yes" and "no" to whether there is anything to change, where chains may end early."""
        if self.config.stop is None:
            return None
        return dict(zip(CHECK, await self.assistant.score("check", CHECK, **shown), strict=True))

    def _nothing_to_change(self, check: dict[str, float] | None) -> bool:
        """Whether P(no) is above the limit; never where a label has no log-probability."""
        if check is None or self.config.stop is None or not all(map(math.isfinite, check.values())):
            return False
        return 1 / (1 + math.exp(min(700.0, check[CHANGE] - check[NO_CHANGE]))) > self.config.stop

    def _draw(self, prompt: Prompt, sample: int, round_: int, spent: Sequence[str]) -> tuple[Principle, ...]:
        use: Use = "revision" if self.config.critique else "direct"
        tags = self.config.tags_of(round_)
        if self.config.principles == "all":
            return self.constitution.able(use, round_, tags)
        seed = self._seed("principle", prompt, sample, round_)
        return self.constitution.draw(use, seed, self.config.principles, round_, tags, spent)

    def _language(self, prompt: Prompt) -> str | None:
        return expected_language(prompt.messages[-1].content, self.constitution.language)

    def _seed(self, purpose: str, prompt: Prompt, *numbers: int) -> int:
        return seed_of(self.seed, purpose, prompt.id, *numbers)

    def _id(self, prompt: Prompt, sample: int, round_: int) -> str:
        chain = "/".join(part for part in (self.variant, prompt.id, f"s{sample}" if sample else "") if part)
        return f"{chain}/{round_}"
