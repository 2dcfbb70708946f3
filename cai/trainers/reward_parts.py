"""Rewards that need no model: a user's function, a price on length, a price on repetition."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from cai.errors import InputError
from cai.repeats import share_repeated, word_count
from cai.reward_config import LengthReward, RepetitionReward
from cai.trainers.reward import Rewarded, Sample


@dataclass(frozen=True)
class Plain:
    """A reward of one part, `name`, by a function of the samples."""

    name: str
    values: Callable[[Sequence[Sample]], Sequence[float]]

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """The function's values."""
        total = tuple(self.values(samples))
        return Rewarded(total, {self.name: total})

    def close(self) -> None:
        """It holds nothing."""


def length(config: LengthReward) -> Plain:
    """Minus the tokens or words of each answer beyond the target."""

    def excess(sample: Sample) -> float:
        count = sample.tokens if config.per == "token" else word_count(sample.answer)
        return -float(max(0, count - config.target))

    return Plain("length", lambda samples: [excess(sample) for sample in samples])


def repetition(config: RepetitionReward) -> Plain:
    """Minus the share of each answer's runs of words that came before in it."""
    return Plain("repetition", lambda samples: [-share_repeated(sample.answer, config.words) for sample in samples])


def function(name: str, called: Callable[[list[str], list[dict[str, Any]]], Iterable[Any]]) -> Plain:
    """What a user's function says of the answers, given them and the facts of their prompts.

    Calling it raises InputError where the function returns anything but a finite number for each answer.
    """

    def values(samples: Sequence[Sample]) -> list[float]:
        found = called([sample.answer for sample in samples], [dict(sample.facts) for sample in samples])
        return checked(name, found, len(samples))

    return Plain("function", values)


def checked(name: str, found: Any, count: int) -> list[float]:
    """What a function returned, as `count` finite numbers; true is 1 and false is 0. Raises InputError."""
    expected = f"expected a list of {count} numbers, one for each answer"
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise InputError(f"function {name!r} returned {_short(found)}, of type {type(found).__name__}; {expected}")
    values = list(found)
    if len(values) != count:
        raise InputError(f"function {name!r} returned {len(values)} values; {expected}")
    for number, value in enumerate(values):
        if not isinstance(value, Real) or not math.isfinite(value):
            raise InputError(f"function {name!r} returned {_short(value)} for answer {number}; {expected}")
    return [float(value) for value in values]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
