"""What the modes of a judge share: the question put to it, and what they make of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cai.constitution import Principle
from cai.few_shot import ComparisonExample, ReasoningExample
from cai.prompts import Rendered
from cai.records import Prompt, Reading, Seating, State
from cai.refusals import refuses

Example = ComparisonExample | ReasoningExample

_NAMES_AN_ANSWER = re.compile(r"\([AB]\)|(?i:\b(?:answer|option|reply|response)) [AB]\b")


@dataclass(frozen=True)
class Asked:
    """Two answers to a prompt, to be judged under a principle. `examples` are whole; `opening` begins the question."""

    prompt: Prompt
    a: str
    b: str
    principle: Principle
    examples: tuple[Example, ...] = ()
    opening: str | None = None

    def seated(self, first: Seating) -> dict[str, Any]:
        """What a template is given where `first` is shown as (A)."""
        a, b = (self.a, self.b) if first == "a" else (self.b, self.a)
        return {
            "messages": self.prompt.messages,
            "few_shot": self.examples,
            "principle": self.principle,
            "opening": self.opening,
            "a": a,
            "b": b,
        }


@dataclass(frozen=True)
class Shown:
    """One prompt that the judge was shown, and what was read after it: `scored` texts, or a reply."""

    title: str
    prompt: Rendered
    scored: tuple[str, ...] = ()


def unread(reading: Reading, reason: str, state: State = "unparsed") -> Reading:
    """A reading of which no probability came."""
    return reading.model_copy(update={"state": state, "p_a": None, "reason": reason})


def declines(text: str) -> bool:
    """Whether a judge won't compare: it refuses, and speaks of neither answer. One may well quote a refusal."""
    return refuses(text) and not _NAMES_AN_ANSWER.search(text)


class Mode(Protocol):
    """A way of asking a judge."""

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """What the judge says of a pair in one seating. Raises ItemFailed where it cannot be asked."""
        ...

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The very prompts behind a stored reading, for the audit."""
        ...
