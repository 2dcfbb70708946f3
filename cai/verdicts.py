"""From label log-probabilities to a verdict, and what a set of verdicts says about its judge.

An unread verdict is never a tie and never "A": it is `unparsed`, has no probability, and trains nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cai.records import Comparison, OrderedLabels, Verdict

LABELS = (" (A)", " (B)")
"""The labels whose log-probabilities are compared (Bai et al. 2022, section 4.1), leading space included."""


def probability_of_first(order: OrderedLabels) -> float | None:
    """P(the answer shown first is better) = exp(lp_A) / (exp(lp_A) + exp(lp_B)); None where a label is not finite."""
    first, second = (order.logprobs.get(label, -math.inf) for label in LABELS)
    if not (math.isfinite(first) and math.isfinite(second)):
        return None
    return _sigmoid(first - second)


def probability_of_a(order: OrderedLabels) -> float | None:
    """P(answer a is better), whichever seat it had."""
    first = probability_of_first(order)
    if first is None:
        return None
    return first if order.first == "a" else 1 - first


def read(orders: Sequence[OrderedLabels]) -> Verdict:
    """The mean over the seatings (RLAIF, Lee et al. 2023, section 2.1.1). One unread seating makes it unparsed."""
    by_order = [probability_of_a(order) for order in orders]
    known = [p for p in by_order if p is not None]
    if not by_order or len(known) < len(by_order):
        reason = f"{len(by_order) - len(known)} of {len(by_order)} seatings lack a finite log-probability for a label"
        return Verdict(state="unparsed", p_a=None, orders=tuple(orders), reason=reason)
    return Verdict(state="parsed", p_a=sum(known) / len(known), orders=tuple(orders))


@dataclass(frozen=True)
class JudgeAudit:
    """What the verdicts say about the judge itself.

    `states`: how many comparisons ended parsed, unparsed, refused, error. `first_seat`: mean P(first-shown is
    better), 0.5 for an even judge. `same_seat`: share of pairs, judged in both orders, where the judge prefers
    the same seat twice: its position bias (RLAIF, App. B); None where no pair was judged in both.
    `decided`: mean |p_a - 0.5| x 2: 0 where every pair is a tie, 1 where every verdict is certain.
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
        if verdict.p_a is None:
            continue
        seats = [p for order in verdict.orders if (p := probability_of_first(order)) is not None]
        firsts += seats
        decided.append(2 * abs(verdict.p_a - 0.5))
        if len(seats) == 2:
            same.append((seats[0] - 0.5) * (seats[1] - 0.5) > 0)
    return JudgeAudit(dict(states), len(same), _mean(firsts), _mean(same), _mean(decided))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
