"""What the looks at a panel say: how far the reward runs ahead of a watched one, and which look was the best.

Gao et al. 2022 (arXiv 2210.10760): the reward that a policy climbs goes on rising while what it stands for falls. What
it stands for is not known here; a reward that nothing is learned from, such as a preference model of another seed, is.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cai.panel_config import PanelStop


@dataclass(frozen=True)
class Look:
    """The panel's answers after `step` steps: the whole reward of each, and the watched reward of each."""

    step: int
    reward: tuple[float, ...]
    held: tuple[float, ...] = ()


def gap(first: Look, now: Look) -> float | None:
    """How far the reward has risen beyond the watched one since the first look, each in its deviations of that look.

    The mean over the panel of (r_t - r_0) / sd(r_0) - (h_t - h_0) / sd(h_0), sd over the panel as a population. None
    where one of them is the same for all of the first answers, and so has no unit.
    """
    units = [statistics.pstdev(values) if values else 0.0 for values in (first.reward, first.held)]
    if not all(units):
        return None
    rises = statistics.fmean(now.reward) - statistics.fmean(first.reward), _held(now) - _held(first)
    return rises[0] / units[0] - rises[1] / units[1]


def gaps(looks: Sequence[Look]) -> list[float | None]:
    """The gap at each look; 0 at the first."""
    return [gap(looks[0], look) for look in looks]


def stopped(looks: Sequence[Look], rule: PanelStop | None) -> bool:
    """Whether the gap was wider than the rule allows at each of the last `patience` looks."""
    if rule is None or len(looks) < rule.patience:
        return False
    return all(one is not None and one > rule.gap for one in gaps(looks)[-rule.patience :])


def best(looks: Sequence[Look]) -> Look:
    """The look with the highest mean of the watched reward; of equal ones the earliest."""
    return max(looks, key=_held)


def told(looks: Sequence[Look], rule: PanelStop | None) -> str:
    """In words, how the training ended as far as the panel goes."""
    last = looks[-1]
    if rule is None:
        return f"watched at {len(looks)} looks"
    found = gaps(looks)[-1]
    if found is None:
        return f"not stopped: the first answers all had the same reward or {rule.reward}, so the gap has no unit"
    if not stopped(looks, rule):
        return f"not stopped: at the last look, step {last.step}, the gap to {rule.reward} was {found:.2f}"
    left = f"the model of step {best(looks).step} was left, with the best {rule.reward}"
    return (
        f"stopped after step {last.step}: the reward ran {found:.2f} standard deviations ahead of {rule.reward}, more "
        f"than {rule.gap:g} at {rule.patience} looks in a row; "
        f"{left if rule.then == 'roll_back' else 'the model was left as it was'}"
    )


def _held(look: Look) -> float:
    return statistics.fmean(look.held)
