"""What a preference model learns from: the answers to a prompt and the comparisons among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cai.identity import seed_of
from cai.prompts import Rendered


@dataclass(frozen=True, slots=True)
class Preference:
    """A comparison of the answers `a` and `b` of a group, each named by its place there: `p` = P(a is better).

    `margin` (nats) is by how much the reward of the better one should lead, before the loss sees a lead at all (Llama
    2, section 3.2.2); `weight` is how often the comparison counts in the loss. Raises ValueError where p is no
    probability, margin or weight is negative or not finite, or an answer is compared with itself.
    """

    a: int
    b: int
    p: float
    margin: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        sizes = (self.margin, self.weight)
        if self.a == self.b or not 0 <= self.p <= 1 or not all(math.isfinite(size) and size >= 0 for size in sizes):
            raise ValueError(f"no comparison: {self}")


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt, its answers, the comparisons among them, and what they are reported as: "ai", a file's name.

    Raises ValueError where a comparison names an answer that is not there.
    """

    prompt: Rendered
    answers: tuple[str, ...]
    pairs: tuple[Preference, ...]
    source: str

    def __post_init__(self) -> None:
        if not all(0 <= place < len(self.answers) for pair in self.pairs for place in (pair.a, pair.b)):
            raise ValueError(f"a comparison names an answer that is not among the {len(self.answers)} of its group")


def split_held_out(groups: Sequence[Group], share: float) -> tuple[list[Group], list[Group]]:
    """Groups to learn from, and about a share of all to report on, each in the order given.

    A hash of the prompt alone decides, so a prompt that several sources ask stays whole on one side.
    """
    sides: tuple[list[Group], list[Group]] = ([], [])
    for group in groups:
        sides[_place(group.prompt) < share].append(group)
    return sides


def _place(prompt: Rendered) -> float:
    """A number in [0, 1) that depends on the words of a prompt alone."""
    said = [part for message in prompt.messages for part in (message.role, message.content)]
    return seed_of("held-out preferences", *said, prompt.text) / 2**63
