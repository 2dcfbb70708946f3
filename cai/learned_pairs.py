"""From comparisons to what a preference model or DPO learns: the answers of a prompt, and all pairs among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cai.human import Pair
from cai.preferences import Group, Preference
from cai.prompts import Rendered
from cai.records import Comparison, Prompt

Render = Callable[[Prompt], Rendered]

AI = "AI feedback"
"""The source of comparisons that a judge made."""

MARGINS: Mapping[Literal["none", "small", "large"], Mapping[str, float]] = {
    "none": {},
    "small": {"significantly": 1.0, "better": 2 / 3, "slightly": 1 / 3, "negligibly": 0.0},
    "large": {"significantly": 3.0, "better": 2.0, "slightly": 1.0, "negligibly": 0.0},
}
"""Nats by rating (Llama 2, arXiv 2307.09288, App. A.3.3, table 27)."""


@dataclass
class _Gathered:
    """The answers of one prompt, each once, and the pairs among them by their places."""

    prompt: Prompt
    answers: dict[str, int] = field(default_factory=dict)
    pairs: list[Preference] = field(default_factory=list)

    def add(self, a: str, b: str, p: float, margin: float, weight: float) -> None:
        first, second = (self.answers.setdefault(text, len(self.answers)) for text in (a, b))
        self.pairs.append(Preference(first, second, p, margin, weight))


def ai_groups(comparisons: Iterable[Comparison], render: Render, weight: float = 1.0) -> list[Group]:
    """Parsed comparisons by prompt; the others are no lesson. Bai et al. 2022, section 4.1.

    In the order of their ids: that in which they came depends on what was in flight, and on where a run was stopped.
    """
    found: dict[str, _Gathered] = {}
    for one in sorted(comparisons, key=lambda one: one.id):
        if one.verdict.p_a is not None:
            group = found.setdefault(one.prompt.id, _Gathered(one.prompt))
            group.add(one.a.text, one.b.text, one.verdict.p_a, 0.0, weight)
    return _groups(found, render, AI)


def human_groups(
    pairs: Iterable[Pair], render: Render, weight: float = 1.0, margins: Literal["none", "small", "large"] = "none"
) -> list[Group]:
    """People's comparisons by prompt, all pairs of a prompt together (InstructGPT, arXiv 2203.02155, section 3.5)."""
    found: dict[str, _Gathered] = {}
    source = ""
    for one in pairs:
        group = found.setdefault(one.prompt.id, _Gathered(one.prompt))
        group.add(one.chosen, one.rejected, one.p, MARGINS[margins].get(one.rating, 0.0), weight)
        source = one.source
    return _groups(found, render, source)


def _groups(found: Mapping[str, _Gathered], render: Render, source: str) -> list[Group]:
    return [Group(render(one.prompt), tuple(one.answers), tuple(one.pairs), source) for one in found.values()]
