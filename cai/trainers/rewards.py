"""The reward that a recipe names: a weighted sum of parts, each logged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from cai.reward_config import part_names
from cai.trainers.reward import Reward, Rewarded, Sample
from cai.trainers.watched import ANSWERS


@dataclass(frozen=True)
class Part:
    """One summand: `name` is that of its kind."""

    name: str
    weight: float
    reward: Reward


class Sum:
    """The sum of weight x reward over its parts; of two parts of one kind each gets a number, `length_1`, `length_2`.

    A part that is itself made of several shows these as `name/part`.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(zip(part_names([part.name for part in parts]), parts, strict=True))

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """The weighted sum, and every part before its weight."""
        found = [(name, part.weight, part.reward(samples)) for name, part in self._parts]
        total = [sum(weight * one.total[n] for _, weight, one in found) for n in range(len(samples))]
        return Rewarded(tuple(total), {key: values for name, _, one in found for key, values in _told(name, one)})

    def close(self) -> None:
        """Closes every part, also where closing one raises."""
        with ExitStack() as closing:
            for _, part in self._parts:
                closing.callback(part.reward.close)


def means(rewarded: Rewarded) -> Mapping[str, float]:
    """What is logged of a step: the mean of every part, as `reward/<name>`, and of every figure of the answers."""
    return {
        name if name.startswith(ANSWERS) else f"reward/{name}": sum(values) / len(values)
        for name, values in rewarded.parts.items()
        if values
    }


def _told(name: str, one: Rewarded) -> list[tuple[str, tuple[float, ...]]]:
    inner = one.parts.items() if len(one.parts) > 1 else ()
    return [(name, one.total), *((f"{name}/{key}", values) for key, values in inner)]
