"""A judge under a constitution: draws principles, asks in one seating or both, and settles on a verdict.

Bai et al. 2022, section 4.1: one principle drawn for each comparison, worked examples with principles of their own.

Deviations: both seatings are asked and averaged (RLAIF, Lee et al. 2023, section 2.1.1), since small judges prefer a
seat; the paper does not speak of it. A pair of identical answers is not judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from cai.constitution import NEEDS, Constitution, Principle
from cai.engines.base import Speaker
from cai.errors import InputError
from cai.feedback_config import (
    ContrastJudge,
    CotJudge,
    JudgeConfig,
    LogprobJudge,
    ScoreJudge,
    SeatedJudge,
    VerdictJudge,
)
from cai.few_shot import ComparisonExample
from cai.identity import seed_of
from cai.judge.asked import Asked, Example, Mode, Shown
from cai.judge.contrast import Contrast
from cai.judge.labels import Labels
from cai.judge.ratings import Ratings
from cai.judge.thoughts import Thoughts
from cai.judge.written import Written
from cai.records import Comparison, Prompt, Reading, Seating, Verdict
from cai.verdicts import combined


@dataclass(frozen=True)
class Judge:
    """`tags`: only principles with one of these are drawn. `examples` as they are written: what is open is drawn."""

    feedback: Speaker
    constitution: Constitution
    examples: tuple[Example, ...]
    config: JudgeConfig
    tags: tuple[str, ...]
    seed: int

    async def verdict(
        self, key: str, prompt: Prompt, a: str, b: str, principles: Sequence[Principle] = ()
    ) -> tuple[tuple[Principle, ...], Verdict]:
        """The verdict on a pair, and the principles it was reached by: those given, or drawn for `key`.

        Raises ItemFailed where the judge cannot be asked, InputError where a principle has no words for the mode.
        """
        by = self._fit(principles) or self.drawn(key)
        if a == b:
            return by, Verdict(state="skipped", p_a=None, reason="the answers are identical")
        asked = [self._asked(key, prompt, a, b, principle) for principle in by]
        seatings = self._seatings(key)
        found = await asyncio.gather(
            *(self._mode.read(one, first, self._seed(key, one.principle, first)) for one in asked for first in seatings)
        )
        readings = [reading for some in found for reading in some]
        clamp = self.config.clamp if isinstance(self.config, CotJudge) else None
        return by, combined(readings, self.config.calibration, clamp)

    async def value(self, key: str, prompt: Prompt, answer: str) -> float:
        """The judge's number for one answer, by the principles drawn for `key`: more is better.

        For modes that show the answers one by one. Raises ItemFailed where there is none.
        """
        mode = self._mode
        assert isinstance(mode, Contrast | Ratings)
        values = await asyncio.gather(
            *(mode.value(self._asked(key, prompt, answer, answer, principle)) for principle in self.drawn(key))
        )
        return sum(values) / len(values)

    def drawn(self, key: str) -> tuple[Principle, ...]:
        """The principles by which the pair `key` is judged."""
        able = self.constitution.able(self.config.use, tags=self.tags)
        count = len(able) if self.config.principles == "all" else self.config.principles
        return self._draw("comparison", key, count=max(count, 1))

    def shown(self, comparison: Comparison) -> Iterator[tuple[Reading, Sequence[Shown]]]:
        """For each reading of a stored comparison, the very prompts that the judge was shown."""
        by_id = {one.id: one for one in self.constitution.principles}
        for reading in comparison.verdict.readings:
            principle = by_id[reading.principle]
            asked = self._asked(comparison.id, comparison.prompt, comparison.a.text, comparison.b.text, principle)
            yield reading, self._mode.shown(asked, reading)

    def _fit(self, principles: Sequence[Principle]) -> tuple[Principle, ...]:
        """Those principles; without words for the mode a judge would be asked by nothing."""
        if unfit := [one.id for one in principles if not one.serves(self.config.use)]:
            fields = " and ".join(map(repr, NEEDS[self.config.use]))
            raise InputError(f"principle {unfit[0]!r} has no {fields}, by which the mode {self.config.mode!r} judges")
        return tuple(principles)

    @cached_property
    def _mode(self) -> Mode:
        return _mode(self.feedback, self.config)

    def _asked(self, key: str, prompt: Prompt, a: str, b: str, principle: Principle) -> Asked:
        return Asked(prompt, a, b, principle, self._examples(key), self.constitution.opening)

    def _seed(self, key: str, principle: Principle, first: Seating) -> int:
        return seed_of(self.seed, "judge", key, principle.id, first)

    def _draw(self, *purpose: str, count: int = 1) -> tuple[Principle, ...]:
        return self.constitution.draw(self.config.use, seed_of(self.seed, *purpose), count, tags=self.tags)

    def _examples(self, key: str) -> tuple[Example, ...]:
        """The worked examples, whole; where all are, the very same ones for every pair."""
        if all(example.whole for example in self.examples):
            return self.examples
        return tuple(self._settled(example, key) for example in self.examples)

    def _settled(self, example: Example, key: str) -> Example:
        (principle,) = self._draw("example", key, example.id)
        if not isinstance(example, ComparisonExample):
            return example.settled(principle.comparison or "")
        seat = "A" if seed_of(self.seed, "example seat", key, example.id) % 2 else "B"
        return example.settled(principle.comparison or "", seat)

    def _seatings(self, key: str) -> tuple[Seating, ...]:
        """Modes without seats are asked once."""
        if not isinstance(self.config, SeatedJudge):
            return ("a",)
        if self.config.orders == "both":
            return ("a", "b")
        return ("a",) if seed_of(self.seed, "order", key) % 2 else ("b",)


def _mode(feedback: Speaker, config: JudgeConfig) -> Mode:
    """The one place that knows which modes there are."""
    if isinstance(config, LogprobJudge):
        return Labels(feedback, config.steps[0])
    if isinstance(config, CotJudge):
        return Thoughts(feedback, config)
    if isinstance(config, ContrastJudge):
        return Contrast(feedback, config)
    if isinstance(config, ScoreJudge):
        return Ratings(feedback)
    assert isinstance(config, VerdictJudge)
    return Written(feedback, config)
