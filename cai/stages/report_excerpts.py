"""What the report shows of the data itself: some chains, some comparisons, each principle's use, and counts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from cai.constitution import Constitution, Principle
from cai.records import Comparison, Completion, Prompt, Revision, RoundScore
from cai.stages.report_effects import finite_mean
from cai.stats import Estimate

Item = TypeVar("Item")
Flag = Literal["empty", "unchanged", "cut off"]

FLAGS: Mapping[Flag, str] = {
    "empty": "the model wrote nothing",
    "unchanged": "the revision is the answer it revises, word for word",
    "cut off": "the model was stopped at the token limit",
}
"""What can be wrong with a reply, and what it means."""
_MOST_COMPARISONS = 5
_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""


@dataclass(frozen=True)
class Round:
    """One round of a chain. `change` is its score less that of the round before."""

    revision: Revision
    flags: tuple[Flag, ...]
    critique_flags: tuple[Flag, ...]
    score: float | None
    change: float | None


@dataclass(frozen=True)
class Transcript:
    """A whole chain: the prompt, the first answer, and each critique with its revision."""

    prompt: Prompt
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class PrincipleUse:
    """How often a principle was drawn, and the mean change of score over the revisions it asked for."""

    principle: Principle
    revisions: int
    comparisons: int
    change: Estimate | None


def chains(revisions: Sequence[Revision], scores: Sequence[RoundScore]) -> list[Transcript]:
    """All chains in the order of their prompts' ids, whatever the order in which they were finished."""
    rewards = {score.id: score.reward for score in scores}
    by_prompt: dict[str, list[Revision]] = {}
    for revision in sorted(revisions, key=lambda revision: (revision.prompt.id, revision.round)):
        by_prompt.setdefault(revision.prompt.id, []).append(revision)
    return [_transcript(chain, rewards) for chain in by_prompt.values()]


def flags(response: Completion, before: Completion | None = None) -> tuple[Flag, ...]:
    """What is wrong with a reply; `before` is the answer that it revises."""
    text = response.text.strip()
    found: dict[Flag, bool] = {
        "empty": not text,
        "unchanged": bool(text) and before is not None and text == before.text.strip(),
        "cut off": response.finish == "length",
    }
    return tuple(flag for flag, is_so in found.items() if is_so)


def flag_counts(transcripts: Sequence[Transcript]) -> dict[str, int]:
    """Replies of the chains that something is wrong with, counted by what and where."""
    counts: Counter[str] = Counter()
    for round_ in (round_ for transcript in transcripts for round_ in transcript.rounds):
        place = "first answers" if round_.revision.round == 0 else "revisions"
        counts.update(f"{place} {flag}" for flag in round_.flags)
        counts.update(f"critiques {flag}" for flag in round_.critique_flags)
    return dict(sorted(counts.items()))


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
    rounds = [round_ for transcript in transcripts for round_ in transcript.rounds]
    revised = Counter(round_.revision.principle for round_ in rounds)
    compared = Counter(comparison.principle for comparison in comparisons)
    changes: dict[str | None, list[float]] = {}
    for round_ in rounds:
        if round_.change is not None:
            changes.setdefault(round_.revision.principle, []).append(round_.change)
    means = {name: finite_mean(values, resamples) for name, values in changes.items()}
    return [PrincipleUse(p, revised[p.id], compared[p.id], means.get(p.id)) for p in constitution.principles]


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
    earlier = rewards.get(before.id) if before else None
    return Round(
        revision=revision,
        flags=flags(revision.response, before.response if before else None),
        critique_flags=flags(revision.critique) if revision.critique else (),
        score=score,
        change=score - earlier if score is not None and earlier is not None else None,
    )
