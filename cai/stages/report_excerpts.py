"""What the report shows of the data itself: some chains and some comparisons."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

from cai.records import Comparison, Prompt, Revision, RoundScore
from cai.stages.revise import STOPPED

Item = TypeVar("Item")
_MOST_COMPARISONS = 5
_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""


@dataclass(frozen=True)
class Round:
    """One round of a chain. `change` is its score less that of the round before.

    `edited`: the share of the round before that it changed, by words. Both are None for a first answer and for a round
    that found nothing to change.
    """

    revision: Revision
    score: float | None
    change: float | None
    edited: float | None


@dataclass(frozen=True)
class Transcript:
    """A whole chain: the prompt, the first answer, and each critique with its revision."""

    prompt: Prompt
    rounds: tuple[Round, ...]


def chains(revisions: Sequence[Revision], scores: Sequence[RoundScore]) -> list[Transcript]:
    """All chains in the order of their prompts' ids, whatever the order in which they were finished."""
    rewards = {score.id: score.reward for score in scores}
    by_prompt: dict[str, list[Revision]] = {}
    for revision in sorted(revisions, key=lambda one: (one.prompt.id, one.sample, one.round)):
        by_prompt.setdefault(f"{revision.prompt.id}/{revision.sample}", []).append(revision)
    return [_transcript(chain, rewards) for chain in by_prompt.values()]


def examples(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Up to five parsed comparisons, evenly spread from "b is better" to "a is better", and one that is not parsed."""
    ordered = sorted(comparisons, key=lambda comparison: comparison.id)
    unread = [comparison for comparison in ordered if comparison.verdict.p_a is None]
    parsed = sorted(
        (item for item in ordered if item.verdict.p_a is not None), key=lambda item: item.verdict.p_a or 0.0
    )
    return spread(parsed, _MOST_COMPARISONS) + unread[:1]


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items at even distances, the first and the last among them where there are two or more."""
    if len(items) <= count or count < 2:
        return list(items[:count])
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def visible(text: str) -> str:
    """The text with every character that a reader could not see, or that could act, made visible.

    Escape sequences, NUL, text-direction overrides, invisible tags and lone surrogates become their code points.
    """
    text = text.replace("\r\n", "\n")
    return "".join(character if _plain(character) else _symbol(character) for character in text)


def _plain(character: str) -> bool:
    if character in "\n\t" or character in _JOINERS:
        return True
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _symbol(character: str) -> str:
    """The code point in angle quotes, which every font has; Unicode's pictures of control characters few have."""
    return f"\u2039U+{ord(character):04X}\u203a"


def _transcript(chain: Sequence[Revision], rewards: Mapping[str, float]) -> Transcript:
    befores = [None, *chain[:-1]]
    return Transcript(
        chain[0].prompt, tuple(_round(one, before, rewards) for one, before in zip(chain, befores, strict=True))
    )


def _round(revision: Revision, before: Revision | None, rewards: Mapping[str, float]) -> Round:
    score = rewards.get(revision.id)
    before = None if STOPPED in revision.flags else before
    earlier = rewards.get(before.id) if before else None
    return Round(
        revision=revision,
        score=score,
        change=score - earlier if score is not None and earlier is not None else None,
        edited=edited(before.response.text, revision.response.text) if before else None,
    )


def edited(before: str, after: str) -> float:
    """The share of words that a revision changed: 1 - 2 M / (words before + words after), M those that stayed in order.

    0 is the same text and 1 one without a common word (Ratcliff and Metzener 1988, as in difflib).
    """
    return 1 - SequenceMatcher(None, before.split(), after.split(), autojunk=False).ratio()
