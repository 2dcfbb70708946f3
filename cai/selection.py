"""Which revisions and helpful answers SL-CAI learns from, and what is left out. Bai et al. 2022, section 3.2."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cai.config import SelectionConfig
from cai.identity import seed_of
from cai.records import Answer, Distilled, Ghost, Revision

Row = Revision | Answer | Distilled | Ghost


@dataclass(frozen=True)
class Selection:
    """The rows in the order of their ids, a row that counts double standing twice, and counts of what was left out."""

    rows: tuple[Row, ...]
    counts: dict[str, int]


def select(
    revisions: Sequence[Revision],
    answers: Sequence[Answer | Ghost],
    distilled: Sequence[Distilled],
    rule: SelectionConfig,
    seed: int,
) -> Selection:
    """The rows that `rule` asks for; the same seed thins out the same ones.

    First answers and ablations are never among them. A row with several flags is counted under each.
    """
    counts: Counter[str] = Counter()
    harmful: list[Row] = [*_of_rounds(revisions, rule), *(one for one in distilled if one.gain > 0)]
    counts["safety context did not raise the score"] = sum(not one.gain > 0 for one in distilled)
    harmful, helpful = (_clean(rows, rule, counts) for rows in (harmful, answers))
    weighted = [copy for row in harmful for copy in [row] * _copies(row, rule, seed)]
    counts["weight of the round"] = len(set(map(_id, harmful))) - len(set(map(_id, weighted)))
    kept = _mixed(weighted, helpful, rule.helpful_share, seed)
    counts["helpful_share"] = len(weighted) + len(helpful) - len(kept)
    return Selection(tuple(kept), {name: count for name, count in counts.items() if count})


def answer_of(row: Row) -> str:
    """The text to learn."""
    return row.guarded.text if isinstance(row, Distilled) else row.response.text


def _of_rounds(revisions: Sequence[Revision], rule: SelectionConfig) -> list[Revision]:
    own = [one for one in revisions if one.round > 0 and not one.variant]
    if rule.rounds == "all":
        return own
    if rule.rounds == "last":
        return list({(one.prompt.id, one.sample): one for one in sorted(own, key=_last_of_chain)}.values())
    return [one for one in own if one.round in rule.rounds]


def _last_of_chain(revision: Revision) -> tuple[bool, int]:
    """Sorts the last real revision of a chain behind all others of it."""
    return "stopped" not in revision.flags, revision.round


def _clean(rows: Sequence[Row], rule: SelectionConfig, counts: Counter[str]) -> list[Row]:
    kept: list[Row] = []
    for row in sorted(rows, key=_id):
        found = [flag for flag in row.flags if flag in rule.drop]
        counts.update(found)
        if not found and answer_of(row):
            kept.append(row)
        elif not found:
            counts["empty"] += 1
    return kept


def _copies(row: Row, rule: SelectionConfig, seed: int) -> int:
    """How often a row stands among the rows: the whole part of its weight, and one more by seed for the rest."""
    weight = rule.weights.get(row.round, 1.0) if isinstance(row, Revision) else 1.0
    whole = math.floor(weight)
    return whole + (_uniform(seed, "weight", row) < weight - whole)


def _mixed(harmful: Sequence[Row], helpful: Sequence[Row], share: float | None, seed: int) -> list[Row]:
    """As many rows of both kinds as there can be at this share of helpful ones."""
    if share is None:
        return [*harmful, *helpful]
    most = min(len(harmful) / (1 - share), len(helpful) / share if share else math.inf)
    wanted = round(most * (1 - share)), round(most * share)
    return [row for rows, count in zip((harmful, helpful), wanted, strict=True) for row in _thinned(rows, count, seed)]


def _thinned(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` of the rows by seed, in their order."""
    drawn = sorted(range(len(rows)), key=lambda index: (_uniform(seed, "share", rows[index]), index))[:count]
    return [rows[index] for index in sorted(drawn)]


def _uniform(seed: int, purpose: str, row: Row) -> float:
    """A number in [0, 1) that depends on the row alone."""
    return seed_of(seed, purpose, row.id) / 2**63


def _id(row: Row) -> str:
    return row.id
