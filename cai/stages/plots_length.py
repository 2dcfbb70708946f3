"""Reward against length: whether RL is paid for longer answers, and whether the preference model likes them longer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import StatisticsError, correlation
from typing import TYPE_CHECKING

from cai.contestants import in_order
from cai.records import Measurement
from cai.stages.plots import BLUE, INK, VERMILION, Plot, legend, svg
from cai.stages.report_excerpts import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LENGTHS = ("completions/mean_length", "answer_length")
"""What TRL and our own trainers log the mean length of a step's answers under, in tokens."""
_MOST = 300
"""Points of a model that are drawn: each is a shape in the page."""
_FEWEST = 10
"""Points that a correlation is told of."""

Pairs = Sequence[tuple[float, float]]
"""Length and reward."""


def reward_by_length(rows: Sequence[Mapping[str, float]]) -> list[Plot]:
    """The mean reward of each step of RL against the mean length of its answers; nothing below two steps."""
    key = next((name for name in _LENGTHS if any(name in row for row in rows)), "")
    steps = [row for row in rows if key in row and "reward" in row]
    points = [(row[key], row["reward"]) for row in steps if math.isfinite(row[key] + row["reward"])]
    if len(points) < 2:
        return []
    title = "RL: reward against answer length"

    def paint(axes: Axes) -> None:
        axes.plot(*zip(*points, strict=True), "-", color=BLUE, alpha=0.25, linewidth=1)
        for place, (x, y) in enumerate(points):
            axes.plot([x], [y], "o", color=BLUE, markersize=4, alpha=0.25 + 0.75 * (place + 1) / len(points))
        for name, where in (("first", points[0]), ("last", points[-1])):
            axes.annotate(name, where, textcoords="offset points", xytext=(5, 5), color=INK)
        axes.set_xlabel("Mean length (tokens)")
        axes.set_ylabel("Mean reward")

    caption = (
        f"n = {len(points)} logged steps of one training run, the later the stronger; {_correlated(points)}. Up and to "
        "the right together: longer answers are what pays, whether or not they are better."
    )
    return [Plot(title, caption, svg(title, paint))]


def score_by_length(measurements: Sequence[Measurement]) -> list[Plot]:
    """The preference-model score of each answer against its words, of the first and the last model; nothing for one."""
    models = in_order(one.model for one in measurements)
    if len(models) < 2:
        return []
    pairs = {name: _pairs(measurements, name) for name in (models[0], models[-1])}
    if not all(pairs.values()):
        return []
    title = "Preference-model score against length"

    def paint(axes: Axes) -> None:
        for (name, found), colour, marker in zip(pairs.items(), (BLUE, VERMILION), "os", strict=True):
            axes.plot(
                *zip(*spread(found, _MOST), strict=True), marker, color=colour, alpha=0.5, markersize=4, label=name
            )
        axes.set_xlabel("Length (words)")
        axes.set_ylabel("Score (log-odds, nats)")
        legend(axes, 2)

    told = "; ".join(f"{name}: n = {len(found)} answers, {_correlated(found)}" for name, found in pairs.items())
    caption = (
        f"Answers to held-out prompts. {told}. A score that rises with length in both is a taste of the preference "
        "model; a last model that only moved to the right has learned that taste."
    )
    return [Plot(title, caption, svg(title, paint))]


def _pairs(measurements: Sequence[Measurement], model: str) -> list[tuple[float, float]]:
    own = sorted((one for one in measurements if one.model == model), key=lambda one: one.id)
    return [(float(one.words), one.reward) for one in own if math.isfinite(one.reward)]


def _correlated(points: Pairs) -> str:
    """Pearson's correlation in words."""
    if len(points) < _FEWEST:
        return "too few for a correlation"
    try:
        lengths, rewards = zip(*points, strict=True)
        return f"Pearson's r = {correlation(lengths, rewards):z.2f}"
    except StatisticsError:
        return "no correlation, being all alike"
