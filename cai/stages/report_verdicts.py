"""What the report shows of a comparison: how its answers came to be a pair, and what was read of each question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cai.constitution import NEEDS, Use
from cai.feedback_config import CompareConfig, ContrastiveAnswers
from cai.judge.ratings import ratings_of
from cai.records import Reading, Verdict
from cai.verdicts import LABELS, expected_rating

PAIRED = {
    "samples": "two samples of one model",
    "models": "an answer of each of two models",
    "rounds": "two rounds of one chain",
    "contrastive": "an answer under the principle and one under its opposite",
}
"""What `Comparison.source` means."""

_SHOWN = 5e-4
"""Probabilities are shown to three places; a smaller difference is none."""


@dataclass(frozen=True)
class Row:
    """A reading, and under each heading a number that was read; None where it is missing."""

    reading: Reading
    cells: tuple[float | None, ...]


@dataclass(frozen=True)
class Readings:
    """All readings of a verdict. `seated`: both answers were shown at once. `several`: more than one principle.

    `p_raw` = P(a is better) before calibration and clamping, None where they changed nothing that shows.
    """

    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    seated: bool
    several: bool
    p_raw: float | None


def readings(verdict: Verdict) -> Readings:
    """A verdict's readings as a table: log-probabilities (nats), and of ratings from 1 to 10 the expected ones."""
    found = verdict.readings
    rated = any(re.fullmatch(r"[ab] \d+", key) for one in found for key in one.logprobs)
    keys = _scored(found)
    headings = (
        tuple(f"expected rating of {name}" for name in "ab") if rated else tuple(f"log p of {key}" for key in keys)
    )
    return Readings(
        headings=headings,
        rows=tuple(Row(one, _rated(one) if rated else tuple(map(one.logprobs.get, keys.values()))) for one in found),
        seated=any(one.first for one in found),
        several=len({one.principle for one in found}) > 1,
        p_raw=verdict.p_raw if _changed(verdict) else None,
    )


def drawn_for(config: CompareConfig) -> Use:
    """What a principle must have words for, to be drawn for a comparison."""
    return "contrast" if isinstance(config.answers, ContrastiveAnswers) else config.judge.use


def worded(config: CompareConfig) -> tuple[str, ...]:
    """The fields of a principle in whose words a comparison was made."""
    judged = () if config.certain else NEEDS[config.judge.use]
    return tuple(dict.fromkeys((*NEEDS[drawn_for(config)], *judged)))


def _scored(found: Sequence[Reading]) -> dict[str, str]:
    """What was scored, by how it is named in a heading; both labels even where one of them is missing."""
    keys = dict.fromkeys(key for one in found for key in one.logprobs)
    if keys.keys() & set(LABELS):
        keys = dict.fromkeys((*LABELS, *keys))
    return {key.strip(): key for key in keys}


def _rated(reading: Reading) -> tuple[float | None, ...]:
    return tuple(expected_rating(ratings_of(reading, name)) for name in "ab")


def _changed(verdict: Verdict) -> bool:
    raw, settled = verdict.p_raw, verdict.p_a
    return raw is not None and settled is not None and abs(raw - settled) >= _SHOWN
