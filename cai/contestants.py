"""The models of an evaluation, in the order in which they come to be, and when a difference between them is told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cai.stats import Estimate, paired_difference

TRAINED = {"SL-CAI": "sft", "DPO": "dpo", "Best-of-n": "rejection_sampling", "RL-CAI": "rl"}
"""The models that a run trains to answer prompts, each by the stage that leaves it, in the order of the stages."""

POLICIES = tuple(TRAINED.values())
"""Those stages."""

MODELS = ("base", *TRAINED)
"""The models of a run, all but the first two from SL-CAI; few runs have all. Guests come after them."""

FEWEST_PROMPTS = 10
"""Below this many prompts a bootstrap interval of the mean is too narrow to be believed."""
FEWEST_MOVED = 6
"""Fewer changes than this, though all one way, happen by chance more than 5 % of the time (sign test: 2 x 0.5^5)."""


def in_order(names: Iterable[str]) -> list[str]:
    """The run's own models as they come to be, then guests by name."""
    return sorted(set(names), key=lambda name: (MODELS.index(name) if name in MODELS else len(MODELS), name))


def anchor_of(names: Iterable[str]) -> str:
    """What others are measured from: SL-CAI, as in the paper's Fig. 8, or base, or the first that there is."""
    found = in_order(names)
    return next((name for name in ("SL-CAI", "base") if name in found), found[0])


@dataclass(frozen=True)
class Change:
    """How a figure differs between two models on the prompts that both answered; `moved`: on how many it does."""

    estimate: Estimate
    moved: int

    @property
    def told(self) -> bool:
        """Whether the prompts tell a difference: zero is excluded, on enough prompts of which enough moved."""
        excluded = self.estimate.low > 0 or self.estimate.high < 0
        return excluded and self.estimate.n >= FEWEST_PROMPTS and self.moved >= FEWEST_MOVED


def change(later: Mapping[str, float], earlier: Mapping[str, float], resamples: int = 2000) -> Change | None:
    """Later less earlier, paired by prompt; None where no prompt has both. Values that are not finite are left out."""
    shared = [
        name
        for name in sorted(later.keys() & earlier.keys())
        if math.isfinite(later[name]) and math.isfinite(earlier[name])
    ]
    if not shared:
        return None
    ours, theirs = [later[name] for name in shared], [earlier[name] for name in shared]
    moved = sum(x != y for x, y in zip(ours, theirs, strict=True))
    return Change(paired_difference(ours, theirs, resamples=resamples), moved)
