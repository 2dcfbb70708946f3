"""What came of each principle: what its revisions changed, how the judge did under it, and an example of both."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cai.agreement import Agreement, cohens_kappa
from cai.constitution import Constitution, Principle
from cai.judged import PositionBias, position_bias
from cai.records import Comparison, Reading, Verdict
from cai.stages.report_effects import finite_mean
from cai.stages.report_excerpts import Round, Transcript
from cai.stages.revise import STOPPED
from cai.stats import Estimate, rate

_RESAMPLES = 1
"""Of kappa, whose interval isn't shown: with many pairs and principles it would take minutes."""


@dataclass(frozen=True)
class Revised:
    """An example of a revision: what was asked, the answer before, and the round that changed it."""

    asked: str
    before: str
    round: Round


@dataclass(frozen=True)
class PrincipleUse:
    """What came of a principle: its revisions and comparisons.

    Of the revisions, `edited` is the mean share of words that they changed, `change` how far they moved the score on
    average, and `flagged` the share that carries a flag. Of the comparisons, `agreement` is on the side that the other
    principles of a pair prefer, their mean P(a is better) taken as one rater; None where no pair was judged under
    several. `position` is the judge's bias to a seat under this principle. `revised` and `compared` are examples.
    """

    principle: Principle
    revisions: int
    comparisons: int
    edited: Estimate | None
    change: Estimate | None
    flagged: Estimate | None
    agreement: Agreement | None = None
    position: PositionBias | None = None
    revised: Revised | None = None
    compared: Comparison | None = None


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
    parsed = sorted((one for one in comparisons if one.verdict.p_a is not None), key=lambda one: one.id)
    judged = [_by_principle(one) for one in parsed]
    revisions = _first_revised(transcripts)
    return [
        PrincipleUse(
            p,
            revised[p.id],
            compared[p.id],
            edited.get(p.id),
            changes.get(p.id),
            flagged.get(p.id),
            _agreement(p.id, judged),
            position_bias(_only(found[p.id]) for found in judged if p.id in found),
            revisions.get(p.id),
            next((one for one in parsed if p.id in one.principles), None),
        )
        for p in constitution.principles
    ]


def _means(found: Sequence[tuple[str, float | None]], resamples: int) -> dict[str, Estimate | None]:
    values: dict[str, list[float]] = {}
    for name, value in found:
        if value is not None:
            values.setdefault(name, []).append(value)
    return {name: finite_mean(numbers, resamples) for name, numbers in values.items()}


def _by_principle(comparison: Comparison) -> dict[str, list[Reading]]:
    """The readings under each principle; one that names none is of the only one that was drawn."""
    drawn = comparison.principles
    found: dict[str, list[Reading]] = defaultdict(list)
    for one in comparison.verdict.readings:
        if one.p_a is not None:
            found[one.principle or (drawn[0] if len(drawn) == 1 else "")].append(one)
    return dict(found)


def _agreement(name: str, judged: Sequence[Mapping[str, Sequence[Reading]]]) -> Agreement | None:
    """Of pairs that were judged under this principle and under others."""
    shared = [found for found in judged if name in found and len(found) > 1]
    if not shared:
        return None
    own = [_mean(found[name]) for found in shared]
    others = [_of_others(found, name) for found in shared]
    return cohens_kappa(own, others, resamples=_RESAMPLES)


def _of_others(found: Mapping[str, Sequence[Reading]], name: str) -> float:
    means = [_mean(readings) for other, readings in found.items() if other != name]
    return math.fsum(means) / len(means)


def _mean(readings: Sequence[Reading]) -> float:
    return math.fsum(one.p_a for one in readings if one.p_a is not None) / len(readings)


def _only(readings: Sequence[Reading]) -> Verdict:
    """A verdict of these readings alone."""
    return Verdict(state="parsed", p_a=_mean(readings), readings=tuple(readings))


def _first_revised(transcripts: Sequence[Transcript]) -> dict[str, Revised]:
    """The first revision under each principle, in the order of the transcripts."""
    found: dict[str, Revised] = {}
    for transcript in transcripts:
        for before, after in zip(transcript.rounds, transcript.rounds[1:], strict=False):
            if STOPPED not in after.revision.flags:
                asked = transcript.prompt.messages[-1].content
                for name in after.revision.principles:
                    found.setdefault(name, Revised(asked, before.revision.response.text, after))
    return found
