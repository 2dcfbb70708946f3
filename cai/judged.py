"""A pair that people labelled beside the judge's verdict on it, and the judge's bias to a seat or to length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cai.agreement import preferred
from cai.records import Seating, Verdict
from cai.stats import Estimate, bounds, rate
from cai.verdicts import by_principle


@dataclass(frozen=True)
class Judged:
    """A labelled pair and the judge's verdict on it.

    `item` names the pair. `words`: of answers a and b. `prompt`: pairs of one prompt are not independent; empty: this
    pair shares its prompt with no other.
    """

    item: str
    verdict: Verdict
    better: Seating
    words: tuple[int, int]
    category: str = ""
    prompt: str = ""

    @property
    def p_a(self) -> float | None:
        """P(a is better); None where the verdict was not parsed."""
        return self.verdict.p_a if self.verdict.state == "parsed" else None

    @property
    def p_raw(self) -> float | None:
        """The same before calibration and clamping."""
        return self.p_a if self.p_a is None or self.verdict.p_raw is None else self.verdict.p_raw

    @property
    def longer(self) -> Seating | None:
        """The answer with more words; None where both have as many."""
        a, b = self.words
        return None if a == b else "a" if a > b else "b"

    @property
    def group(self) -> str:
        """What pairs that are not independent have in common."""
        return self.prompt or self.item

    def right(self, p_a: float) -> float:
        """1 where P(a is better) prefers the better answer, 0 where the other, one half for a tie."""
        return hit(preferred(p_a), self.better)


@dataclass(frozen=True)
class PositionBias:
    """Of pairs judged in both seatings (RLAIF, Lee et al. 2023, appendix B).

    `same_seat`: share in which the judge prefers the same seat after the swap; of these, the share `first` prefers the
    answer that is shown first. A pair that was judged under several principles counts once, as the share of them.
    """

    same_seat: Estimate
    first: float | None


@dataclass(frozen=True)
class LengthBias:
    """Of pairs whose answers differ in words: how often the judge prefers the longer one, and how often people do.

    `right_longer`, `right_shorter`: the judge's accuracy where people preferred the longer or the shorter answer.
    """

    judge: Estimate
    people: Estimate
    right_longer: Estimate | None
    right_shorter: Estimate | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n": self.judge.n,
            "judge_prefers_longer": self.judge.value,
            "judge_interval": bounds(self.judge),
            "people_prefer_longer": self.people.value,
            "people_interval": bounds(self.people),
            "longer_is_better": self.right_longer and accuracy_json(self.right_longer),
            "shorter_is_better": self.right_shorter and accuracy_json(self.right_shorter),
        }


def position_bias(verdicts: Iterable[Verdict]) -> PositionBias | None:
    """None where no pair was judged in both seatings, or the mode has no seats."""
    shares: list[float] = []
    firsts: list[float] = []
    for verdict in verdicts:
        both = [tuple(seats.values()) for seats in by_principle(verdict.readings) if len(seats) == 2]
        seats = [(preferred(p), preferred(after_swap)) for p, after_swap in both]
        same = [seat == "a" for seat, after_swap in seats if seat and seat == after_swap]
        firsts += same
        shares += [len(same) / len(both)] if both else []
    share = mean_hit(shares)
    return PositionBias(share, mean_of(firsts)) if share else None


def length_bias(pairs: Sequence[Judged]) -> LengthBias | None:
    """Of pairs that were read; None where all answers have as many words as the others."""
    unlike = [(one, one.p_a, one.longer) for one in pairs]
    known = [(one, p, longer) for one, p, longer in unlike if p is not None and longer]
    judge = mean_hit(hit(preferred(p), longer) for _, p, longer in known)
    people = mean_hit(longer == one.better for one, _, longer in known)
    if judge is None or people is None:
        return None
    of_longer = mean_hit(one.right(p) for one, p, longer in known if longer == one.better)
    of_shorter = mean_hit(one.right(p) for one, p, longer in known if longer != one.better)
    return LengthBias(judge, people, of_longer, of_shorter)


def hit(side: str | None, better: str) -> float:
    """1 for the better side, 0 for the other, one half for neither."""
    return 0.5 if side is None else float(side == better)


def mean_hit(hits: Iterable[float]) -> Estimate | None:
    """The rate of hits, each from 0 to 1; None where there are none."""
    values = list(hits)
    return rate(math.fsum(values), len(values)) if values else None


def mean_of(values: Sequence[float]) -> float | None:
    """None where there are no values."""
    return math.fsum(values) / len(values) if values else None


def accuracy_json(estimate: Estimate) -> dict[str, Any]:
    """An accuracy as plain values."""
    return {"n": estimate.n, "accuracy": estimate.value, "interval": bounds(estimate)}
