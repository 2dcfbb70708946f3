"""What the report shows of the data itself: some chains, some comparisons, and each principle's use."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

from cai.constitution import Constitution, Principle
from cai.records import Comparison, Prompt, Revision, RoundScore
from cai.stages.report_effects import finite_mean
from cai.stages.revise import STOPPED
from cai.stats import Estimate, rate

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


@dataclass(frozen=True)
class PrincipleUse:
    """What came of a principle: its revisions and comparisons.

    Of the revisions, `edited` is the mean share of words that they changed, `change` how far they moved the score on
    average, and `flagged` the share that carries a flag.
    """

    principle: Principle
    revisions: int
    comparisons: int
    edited: Estimate | None
    change: Estimate | None
    flagged: Estimate | None


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


def principle_use(
    constitution: Constitution, transcripts: Sequence[Transcript], comparisons: Sequence[Comparison], resamples: int
) -> list[PrincipleUse]:
    """One entry a principle, in the constitution's order, those never drawn included."""
    rounds = [one for transcript in transcripts for one in transcript.rounds if STOPPED not in one.revision.flags]
    drawn = [(name, round_) for round_ in rounds for name in round_.revision.principles]
    revised = Counter(name for name, _ in drawn)
    compared = Counter(name for comparison in comparisons for name in comparison.principles)
    edited = _means([(name, round_.edited) for name, round_ in drawn], resamples)
    changes = _means([(name, round_.change) for name, round_ in drawn], resamples)
    marked = Counter(name for name, round_ in drawn if round_.revision.flags)
    flagged = {name: rate(marked[name], count) for name, count in revised.items()}
    return [
        PrincipleUse(p, revised[p.id], compared[p.id], edited.get(p.id), changes.get(p.id), flagged.get(p.id))
        for p in constitution.principles
    ]


def _means(found: Sequence[tuple[str, float | None]], resamples: int) -> dict[str, Estimate | None]:
    values: dict[str, list[float]] = {}
    for name, value in found:
        if value is not None:
            values.setdefault(name, []).append(value)
    return {name: finite_mean(numbers, resamples) for name, numbers in values.items()}


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
