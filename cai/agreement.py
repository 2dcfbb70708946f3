"""How far raters agree, and how far beyond chance: Cohen's kappa for two, Fleiss' kappa for several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cai.records import Seating
from cai.stats import Estimate, bootstrap, bounds, rate

TIE = 1e-9
"""A probability so near to one half prefers neither side: the mean of two seatings may miss one half by rounding."""


@dataclass(frozen=True)
class Agreement:
    """How far raters agree on which of two answers is better.

    `share`: of pairs (of raters, where there are more than two) that agree. `kappa` = (share - chance) / (1 - chance):
    1 for full agreement, 0 for what chance would give; None where chance alone gives full agreement, since every vote
    is for the same side. `ties` were left out, being votes for neither; so were pairs that are `unread` by a rater.
    """

    share: Estimate | None
    kappa: Estimate | None
    ties: int
    unread: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values: `n` pairs, `agreement` and its interval, kappa and its own."""
        share, kappa = self.share, self.kappa
        return {
            "n": share.n if share else 0,
            "agreement": share and share.value,
            "interval": bounds(share),
            "kappa": kappa and kappa.value,
            "kappa_interval": bounds(kappa),
            "ties": self.ties,
            "unread": self.unread,
        }


def preferred(p_a: float) -> Seating | None:
    """The answer that P(a is better) prefers; None for a tie."""
    if abs(p_a - 0.5) <= TIE:
        return None
    return "a" if p_a > 0.5 else "b"


def cohens_kappa(
    first: Sequence[float | None], second: Sequence[float | None], seed: int = 0, resamples: int = 1000
) -> Agreement:
    """Cohen's kappa (1960) of two raters' P(a is better) for the same pairs in the same order; None: not read.

    The share has Wilson's interval, kappa a bootstrap one over pairs. Raises ValueError where lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"two raters need the same pairs, found {len(first)} and {len(second)}")
    read = [(x, y) for x, y in zip(first, second, strict=True) if x is not None and y is not None]
    sides = [(preferred(x), preferred(y)) for x, y in read]
    votes = [(x, y) for x, y in sides if x and y]
    share = rate(sum(x == y for x, y in votes), len(votes)) if votes else None
    kappa = bootstrap(votes, _cohen, seed, resamples)
    return Agreement(share, kappa, ties=len(sides) - len(votes), unread=len(first) - len(read))


def fleiss_kappa(rated: Sequence[Sequence[float]], seed: int = 0, resamples: int = 1000) -> Agreement:
    """Fleiss' kappa (1971) of each pair's P(a is better) by several raters, who need not be the same for every pair.

    Where pairs have unlike numbers of votes, each counts once in the share, and chance is that of all votes together.
    Pairs with fewer than two votes are left out. Both intervals are bootstrap ones over pairs.
    """
    sides = [[preferred(p) for p in ps] for ps in rated]
    counted = [(votes.count("a"), votes.count("b")) for votes in sides]
    several = [(_agreeing(a, b), a, a + b) for a, b in counted if a + b > 1]
    share = bootstrap(several, _mean_agreeing, seed, resamples)
    return Agreement(share, bootstrap(several, _fleiss, seed, resamples), ties=sum(x.count(None) for x in sides))


def _cohen(votes: Sequence[tuple[str, str]]) -> float | None:
    n = len(votes)
    first, second = (sum(vote[rater] == "a" for vote in votes) / n for rater in (0, 1))
    return _beyond(sum(x == y for x, y in votes) / n, first * second + (1 - first) * (1 - second))


def _fleiss(pairs: Sequence[tuple[float, int, int]]) -> float | None:
    """Of each pair: how far its votes agree, those for a, all of them."""
    for_a = sum(a for _, a, _ in pairs) / sum(n for _, _, n in pairs)
    return _beyond(_mean_agreeing(pairs), for_a**2 + (1 - for_a) ** 2)


def _mean_agreeing(pairs: Sequence[tuple[float, int, int]]) -> float:
    return sum(share for share, _, _ in pairs) / len(pairs)


def _agreeing(a: int, b: int) -> float:
    """The share of pairs of votes that are alike."""
    return (a * (a - 1) + b * (b - 1)) / ((a + b) * (a + b - 1))


def _beyond(share: float, chance: float) -> float | None:
    return None if chance == 1 else (share - chance) / (1 - chance)
