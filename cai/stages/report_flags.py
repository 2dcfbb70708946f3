"""What was flagged in the chains, step by step; what was asked for again; and which rounds found nothing to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cai.config import ReviseConfig
from cai.hygiene import FLAGS, Flag
from cai.records import Revision
from cai.stages.report_caveats import Fact
from cai.stages.revise import STOPPED
from cai.stats import Estimate, percent, rate

STEPS = ("First answers", "Critiques", "Revisions")


@dataclass(frozen=True)
class FlagRow:
    """One flag: what it means, and of each of STEPS how many replies carry it and what share; None: no reply does."""

    flag: str
    meaning: str
    counts: tuple[int, ...]
    shares: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class FlagTable:
    """How many replies there are at each of STEPS, and a row for every flag that one of them may carry."""

    replies: tuple[int, ...]
    rows: tuple[FlagRow, ...]


def flag_table(revisions: Sequence[Revision]) -> FlagTable:
    """Every flag at every step, with Wilson's interval. A round that asked for nothing is no reply."""
    flags = _by_step(revisions)
    counts = [Counter(flag for found in step for flag in found) for step in flags]
    replies = tuple(map(len, flags))
    return FlagTable(replies, tuple(_row(flag, counts, replies) for flag in FLAGS if flag != STOPPED))


def chain_facts(revisions: Sequence[Revision], config: ReviseConfig) -> list[Fact]:
    """What was asked for again, and the rounds that ended their chains; nothing where the recipe asks for neither."""
    asked = [one for one in revisions if one.round]
    stopped = [one for one in asked if STOPPED in one.flags]
    facts = _asked_again(asked, config) if config.resample.times else []
    if config.stop is not None and asked:
        counts = Counter(one.round for one in stopped)
        where = ", ".join(f"{counts[round_]} in round {round_}" for round_ in sorted(counts)) or "none"
        meaning = f"P(nothing to change) above {config.stop:g}; the chain ends and keeps its answer: {where}"
        facts.append(Fact("Rounds that found nothing to change", share(len(stopped), len(asked)), meaning))
    return facts


def share(count: int, n: int) -> str:
    """As in `3 of 40: 8 % (3 to 20)`, with Wilson's interval."""
    found = percent(rate(count, n))
    return f"{count} of {n}: {found.value:.0f} % ({found.low:.0f} to {found.high:.0f})"


def _by_step(revisions: Sequence[Revision]) -> tuple[list[tuple[str, ...]], ...]:
    """The flags of every reply that was kept, by step."""
    asked = [one for one in revisions if STOPPED not in one.flags]
    first = [one.flags for one in asked if one.round == 0]
    critiques = [one.critique_flags for one in asked if one.critique]
    return first, critiques, [one.flags for one in asked if one.round]


def _row(flag: Flag, counts: Sequence[Counter[str]], replies: Sequence[int]) -> FlagRow:
    found = tuple(count[flag] for count in counts)
    shares = (rate(count, n) if count else None for count, n in zip(found, replies, strict=True))
    return FlagRow(flag, FLAGS[flag], found, tuple(shares))


def _asked_again(revisions: Sequence[Revision], config: ReviseConfig) -> list[Fact]:
    facts = []
    for step, name in (("critique", "Critiques"), ("revision", "Revisions")):
        replies = [
            (one.critique_flags if step == "critique" else one.flags, sum(a.step == step for a in one.attempts))
            for one in revisions
            if STOPPED not in one.flags and (step == "revision" or one.critique)
        ]
        again = [(flags, attempts) for flags, attempts in replies if attempts]
        kept = sum(bool(set(flags) & set(config.resample.flags)) for flags, _ in again)
        meaning = (
            f"{sum(attempts for _, attempts in again)} replies set aside; {kept} still flagged at the last attempt"
        )
        facts += [Fact(f"{name} asked for again", share(len(again), len(replies)), meaning)] if replies else []
    return facts
