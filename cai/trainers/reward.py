"""What reinforcement learning climbs: a reward for whole answers, its parts told apart so that each can be watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cai.prompts import Rendered
from cai.records import Kind


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
    """Whatever rewards the answers of a policy; all samples of a step are given at once, in order."""

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """One total a sample, and as many of each part."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...
