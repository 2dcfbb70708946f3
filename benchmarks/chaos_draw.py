"""Which strike falls next, and where: drawn by seed, and by what has been struck least so far."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos_child import Aim
from benchmarks.chaos_strikes import AIMS

SHARES: Mapping[str, int] = {"SIGKILL": 8, "SIGTERM": 4, "Ctrl-C": 4, "out of memory": 3, "full disk": 4}
"""How often each kind strikes."""

AIMED = 0.25
"""The share of strikes that wait for a dangerous moment."""

NEXT = 2
"""Of so many stages that are not done, one is struck."""

STARTING = 0.05
"""The share of strikes at a random time that may fall before any stage is at work."""


@dataclass(frozen=True)
class Choice:
    """One strike to come. `at`: which share of the stage's time has passed by then; `aim`: what it waits for instead.

    `stage` is empty where the time counts from the start of the process.
    """

    kind: str
    stage: str
    at: float
    aim: Aim | None = None


class Draw:
    """Draws strikes. `struck` counts those at random times, by stage and kind: the caller's `count` adds to it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._struck: Counter[tuple[str, str]] = Counter()

    def count(self, stage: str, kind: str) -> None:
        """A strike at a random time fell in this stage."""
        self._struck[stage, kind] += 1

    def next(self, waiting: Sequence[str]) -> Choice:
        """The next strike on a run with these stages before it: one of the first ones, the least struck so far."""
        aimed, starting = self._random.random() < AIMED, self._random.random() < STARTING
        stage = self._random.choice(waiting[:NEXT]) if aimed else self._least_struck(waiting[:NEXT])
        if aimed:
            kind = self._random.choices(list(SHARES), list(SHARES.values()))[0]
            return Choice(kind, stage, 0.0, self._random.choice([aim for aim in AIMS if aim.meets(stage)]))
        place = waiting[0] if starting else stage
        return Choice(self._kind(place), "" if starting else stage, self._random.random())

    def enough(self, stage: str, stages: int) -> bool:
        """Whether a stage has had its share of the strikes."""
        return self._points(stage) * stages > self._struck.total()

    def _least_struck(self, stages: Sequence[str]) -> str:
        return min(stages, key=lambda stage: (self._points(stage), self._random.random()))

    def _kind(self, stage: str) -> str:
        """The kind that is furthest behind its share in this stage."""
        return min(SHARES, key=lambda kind: ((self._struck[stage, kind] + 1) / SHARES[kind], self._random.random()))

    def _points(self, stage: str) -> int:
        return sum(self._struck[stage, kind] for kind in SHARES)
