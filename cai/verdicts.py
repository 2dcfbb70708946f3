"""From what a judge's replies hold to a verdict, and what a set of verdicts says about its judge.

An unread verdict is never a tie and never "A": it is `unparsed`, has no probability, and trains nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.feedback_config import CalibrationConfig
from cai.records import Comparison, Reading, Seating, State, Verdict

Key = TypeVar("Key")

LABELS: tuple[str, str] = (" (A)", " (B)")
"""The labels whose log-probabilities are compared (Bai et al. 2022, section 4.1), leading space included."""

RATINGS = tuple(f" {rating}/10" for rating in range(1, 11))
"""The ratings of one answer (direct RLAIF, Lee et al. 2023); "/10" closes each, since "1" begins "10"."""

_CERTAIN = 1e-6


def probability_of_first(reading: Reading) -> float | None:
    """P(the answer shown first is better) = exp(lp_A) / (exp(lp_A) + exp(lp_B)); None where a label is not finite."""
    first, second = (reading.logprobs.get(label, -math.inf) for label in LABELS)
    if not (math.isfinite(first) and math.isfinite(second)):
        return None
    return logistic(first - second)


def seated(reading: Reading, p_first: float | None, lacking: str) -> Reading:
    """A reading of two seated answers, read: `p_first` = P(the answer shown first is better), or why there is none."""
    if p_first is None:
        return reading.model_copy(update={"state": "unparsed", "p_a": None, "reason": lacking})
    return reading.model_copy(update={"p_a": p_first if reading.first == "a" else 1 - p_first})


def of_labels(reading: Reading) -> Reading:
    """Read from the labels' log-probabilities, whichever seat answer a had."""
    return seated(reading, probability_of_first(reading), "a label has no finite log-probability")


def of_contrast(contrast_a: float, contrast_b: float, scale: float) -> float | None:
    """P(a is better) = s(scale (contrast_a - contrast_b)) (DLMA, arXiv 2402.11907); None where it is not finite."""
    margin = scale * (contrast_a - contrast_b)
    return logistic(margin) if math.isfinite(margin) else None


def of_ratings(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    """P(a is rated higher) + P(both are rated the same) / 2, the two answers being rated independently.

    `a`, `b`: log-probability (nats) of each rating, normalised here. None where no rating of an answer is finite.
    """
    p_a, p_b = shares(a), shares(b)
    if not p_a or not p_b:
        return None
    return sum(p * q * ((i > j) + (i == j) / 2) for i, p in p_a.items() for j, q in p_b.items())


def expected_rating(logprobs: Mapping[int, float]) -> float | None:
    """The sum of i P(i) over the ratings (direct RLAIF, Lee et al. 2023, section 2.3); None where none is finite."""
    found = shares(logprobs)
    return sum(rating * p for rating, p in found.items()) if found else None


def combined(
    readings: Sequence[Reading], calibration: CalibrationConfig, clamp: tuple[float, float] | None = None
) -> Verdict:
    """The mean over the readings, then softened, clamped and smoothed. One unread reading makes it unread.

    The mean over both seatings is RLAIF's (Lee et al. 2023, section 2.1.1); over thoughts, that of Bai et al. 2022,
    section 2; the clamp is theirs too (section 4.3).
    """
    unread = [one for one in readings if one.p_a is None]
    if unread or not readings:
        state = _worst(unread)
        reason = f"{len(unread)} of {len(readings)} questions {_said(unread)}" if readings else "nothing was asked"
        return Verdict(state=state, p_a=None, readings=tuple(readings), reason=reason)
    known = [one.p_a for one in readings if one.p_a is not None]
    p_raw = sum(known) / len(known)
    return Verdict(state="parsed", p_a=settled(p_raw, calibration, clamp), p_raw=p_raw, readings=tuple(readings))


def settled(p: float, calibration: CalibrationConfig, clamp: tuple[float, float] | None = None) -> float:
    """P after temperature, clamp and smoothing, in this order; each maps 1 - p to 1 minus what it makes of p."""
    p = softened(p, calibration.temperature)
    if clamp:
        p = min(max(p, clamp[0]), clamp[1])
    return p + calibration.smoothing * (0.5 - p)


def softened(p: float, temperature: float) -> float:
    """S(logit(p) / temperature); a certain p is taken for one part in a million less, or nothing would soften it."""
    if temperature == 1:
        return p
    kept = min(max(p, _CERTAIN), 1 - _CERTAIN)
    return logistic((math.log(kept) - math.log1p(-kept)) / temperature)


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@dataclass(frozen=True)
class JudgeAudit:
    """What the verdicts say about the judge itself.

    `states`: how many comparisons ended parsed, unparsed, refused, error. `first_seat`: mean P(first-shown is
    better), 0.5 for an even judge. `same_seat`: share of questions, asked in both orders, where the judge prefers
    the same seat twice: its position bias (RLAIF, App. B); None where no pair was judged in both.
    `decided`: mean |p_raw - 0.5| x 2: 0 where every pair is a tie, 1 where every verdict is certain.
    """

    states: dict[str, int]
    both_orders: int
    first_seat: float | None
    same_seat: float | None
    decided: float | None


def audit(comparisons: Iterable[Comparison]) -> JudgeAudit:
    """Measures the judge on its own verdicts; unparsed ones count in `states` alone."""
    states: Counter[str] = Counter()
    firsts: list[float] = []
    same: list[bool] = []
    decided: list[float] = []
    for comparison in comparisons:
        verdict = comparison.verdict
        states[verdict.state] += 1
        if verdict.p_a is None or not verdict.readings:
            continue
        decided.append(2 * abs((verdict.p_a if verdict.p_raw is None else verdict.p_raw) - 0.5))
        for seats in by_principle(verdict.readings):
            firsts += seats.values()
            if len(seats) == 2:
                same.append((seats["a"] - 0.5) * (seats["b"] - 0.5) > 0)
    return JudgeAudit(dict(states), len(same), _mean(firsts), _mean(same), _mean(decided))


def by_principle(readings: Iterable[Reading]) -> list[dict[Seating, float]]:
    """For each principle, by the answer shown first: P(the answer shown first is better), thoughts averaged."""
    found: dict[str, dict[Seating, list[float]]] = {}
    for one in readings:
        if one.first is not None and one.p_a is not None:
            seats = found.setdefault(one.principle, {})
            seats.setdefault(one.first, []).append(one.p_a if one.first == "a" else 1 - one.p_a)
    return [{seat: sum(ps) / len(ps) for seat, ps in seats.items()} for seats in found.values()]


def _worst(unread: Sequence[Reading]) -> State:
    """An error before a refusal before what could not be read."""
    states = {one.state for one in unread}
    if "error" in states:
        return "error"
    return "refused" if "refused" in states else "unparsed"


def _said(unread: Sequence[Reading]) -> str:
    reasons = sorted({one.reason for one in unread})
    return "were not read: " + "; ".join(reasons)


def shares(logprobs: Mapping[Key, float]) -> dict[Key, float]:
    """Probabilities of what is finite among log-probabilities (nats), which add up to 1; empty where nothing is."""
    finite = {key: value for key, value in logprobs.items() if math.isfinite(value)}
    if not finite:
        return {}
    most = max(finite.values())
    weights = {key: math.exp(value - most) for key, value in finite.items()}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
