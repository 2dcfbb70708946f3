"""What reinforcement learning climbs: a reward for whole answers, its parts told apart so that each can be watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cai.prompts import Rendered
from cai.records import Kind

Row = TypeVar("Row")
Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer of the policy, as whoever rewards it sees it.

    `answer`: its text, cut at the prompt's stop strings and stripped, as a preference model saw answers in training.
    `tokens`: how many the policy wrote; `finished`: whether it ended by itself, and not at the limit. `facts`: what the
    prompt's own file says beside the prompt, such as the right solution of a task.
    """

    prompt: Rendered
    answer: str
    kind: Kind = "harmful"
    tokens: int = 0
    finished: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rewarded:
    """The reward of each sample, and each of the parts it is made of, by name, before their weights."""

    total: tuple[float, ...]
    parts: Mapping[str, tuple[float, ...]]


class Reward(Protocol):
    """Whatever rewards the answers of a policy; all samples of a step are given at once, in order.

    Of several processes that share a training each gives it those that it wrote itself, all at the same time.
    """

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """One total a sample, and as many of each part."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


class OverAll(Protocol):
    """How a reward sets answers beside each other: what `said` has to say of these rows, one thing a row.

    Where several processes share a training, `said` may be shown the rows of all of them, in order; then all must ask.
    """

    def __call__(self, rows: Sequence[Row], said: Callable[[Sequence[Row]], Sequence[Said]]) -> Sequence[Said]:
        """As many as there are rows."""
        ...


def alone(rows: Sequence[Row], said: Callable[[Sequence[Row]], Sequence[Said]]) -> Sequence[Said]:
    """What is said of the rows of this process by themselves."""
    return said(rows)
