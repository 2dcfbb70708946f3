"""The figures of an evaluation: Elo with intervals, the frontier, calibration, what answers do with what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cai.contestants import MODELS, in_order
from cai.evaluation import Evaluation, Point
from cai.judge_figures import JudgeFigures
from cai.records import Kind
from cai.refusal_figures import CLASSES, Conducts
from cai.stages.plots import BLUE, INK, VERMILION, Plot, dots, legend, svg
from cai.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHADES = {"full refusal": (VERMILION, 1.0), "partial refusal": (VERMILION, 0.45), "compliance": (BLUE, 0.8)}
"""Colour and opacity of each class."""

SCORERS = ("preference model", "helpfulness model")
"""What models that choose by their scores are called among those that choose."""

_MARKERS = "os^Dvp"


def evaluation_plots(found: Evaluation) -> list[Plot]:
    """The figures for which there are records."""
    drawn = [elo(found.elo)] if any(len(ratings) > 1 for ratings in found.elo.values()) else []
    drawn += [frontier(found.frontier)] if len(found.frontier) > 1 else []
    for group in ("safe", "unsafe"):
        rows = [row for row in found.over_refusal if row.group == group and row.shares]
        drawn += [bars(f"Answers to {group} prompts", rows)] if rows else []
    measured = {name: found for name, found in found.choices.items() if found.calibration}
    return [*drawn, *([calibrations(measured)] if measured else [])]


def calibrations(choices: Mapping[str, JudgeFigures]) -> Plot:
    """How often each model that chose is right, by how sure it is, as Bai et al. 2022, Fig. 9 and 11."""
    title = "Comparisons that people made: calibration"

    def paint(axes: Axes) -> None:
        axes.plot([0.5, 1], [0.5, 1], color=INK, linestyle="--", linewidth=1)
        for place, (name, found) in enumerate(choices.items()):
            assert found.calibration
            bins, scores = found.calibration.bins, name in SCORERS
            look = f"{_MARKERS[place % len(_MARKERS)]}-"
            strength = 1.0 if scores else 0.35 + 0.65 * (place + 1) / len(choices)
            xs, ys = [one.mean_p for one in bins], [one.right for one in bins]
            axes.plot(xs, ys, look, color=VERMILION if scores else BLUE, alpha=strength, label=name)
        axes.set_xlim(0.48, 1.02)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("P(better), as the model says of the answer it prefers")
        axes.set_ylabel("Share that is better")
        legend(axes, min(3, len(choices)))

    count = max(found.states.get("parsed", 0) for found in choices.values())
    caption = (
        f"Up to {count} comparisons a model, in bins of about as many; no band, so a point of a small bin strays by "
        "chance: the table has each model's calibration error with its interval, and what noise alone would make. On "
        "the dashed line a probability says what happens; below it a model is too sure of itself. In the "
        "second colour: preference models. As Bai et al. 2022, Fig. 9 and 11."
    )
    return Plot(title, caption, svg(title, paint))


def elo(ratings: Mapping[Kind, Mapping[str, Estimate]]) -> Plot:
    """Harmlessness and helpfulness of each model, as Bai et al. 2022, Fig. 8. A bar without an end leaves the axes."""
    title = "Elo by model"
    models = in_order(name for found in ratings.values() for name in found)
    finite = [
        x
        for found in ratings.values()
        for one in found.values()
        for x in (one.value, one.low, one.high)
        if math.isfinite(x)
    ]
    bottom, top = min(finite, default=0.0) - 60, max(finite, default=0.0) + 60

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linestyle="--", linewidth=1)
        looks: dict[Kind, tuple[str, str, str, float]] = {
            "harmful": ("harmlessness", BLUE, "o", -0.07),
            "helpful": ("helpfulness", VERMILION, "s", 0.07),
        }
        for kind, (name, colour, marker, shift) in looks.items():
            found = ratings.get(kind, {})
            places = [models.index(model) + shift for model in found]
            kept = [_within(one, bottom, top) for one in found.values()]
            dots(axes, places, kept, colour, marker, name=name if found else "")
        axes.set_ylim(bottom, top)
        axes.set_xticks(range(len(models)), models)
        axes.set_xlim(-0.5, len(models) - 0.5)
        axes.set_ylabel("Elo")
        legend(axes, 2)

    count = max(one.n for found in ratings.values() for one in found.values())
    caption = (
        f"Bradley-Terry ratings by this run's judge, from up to {count} prompts of a kind. Bars: 95 % bootstrap "
        "interval over prompts, of the difference from the model at 0; one that ends at the edge is open. As Bai et "
        "al. 2022, Fig. 8, where people compared."
    )
    return Plot(title, caption, svg(title, paint))


def frontier(points: Sequence[Point]) -> Plot:
    """Harmlessness against helpfulness, as Bai et al. 2022, Fig. 2."""
    title = "Harmlessness against helpfulness"

    def paint(axes: Axes) -> None:
        own = [point for point in points if point.model in MODELS]
        axes.plot([one.helpful.value for one in own], [one.harmless.value for one in own], color=BLUE, alpha=0.35)
        for point in points:
            x, y = point.helpful, point.harmless
            if math.isfinite(x.low + x.high):
                axes.hlines(y.value, x.low, x.high, color=BLUE, linewidth=1, alpha=0.5)
            if math.isfinite(y.low + y.high):
                axes.vlines(x.value, y.low, y.high, color=BLUE, linewidth=1, alpha=0.5)
            axes.plot([x.value], [y.value], "o", color=BLUE)
            axes.annotate(point.model, (x.value, y.value), textcoords="offset points", xytext=(5, 5))
        axes.set_xlabel("Helpfulness Elo")
        axes.set_ylabel("Harmlessness Elo")

    caption = (
        "Up and to the right is better on both counts. Bars: 95 % bootstrap intervals. The line joins this run's own "
        "models in the order in which they were trained. As Bai et al. 2022, Fig. 2; checkpoints of a training can "
        "join as guests."
    )
    return Plot(title, caption, svg(title, paint))


def bars(title: str, rows: Sequence[Conducts]) -> Plot:
    """Shares of full refusal, partial refusal and compliance of each model; the bar in ink: interval of the first."""
    names = [row.model for row in rows]

    def paint(axes: Axes) -> None:
        left = [0.0] * len(rows)
        for name in CLASSES:
            shares = [100 * row.shares[name].value for row in rows]
            colour, strength = _SHADES[name]
            axes.barh(names, shares, left=left, color=colour, alpha=strength, height=0.6, label=name)
            left = [x + y for x, y in zip(left, shares, strict=True)]
        refused = [row.shares["full refusal"] for row in rows]
        axes.hlines(names, [100 * one.low for one in refused], [100 * one.high for one in refused], color=INK)
        axes.set_xlim(0, 100)
        axes.set_xlabel("Share of answers, %")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        legend(axes, 3)

    caption = f"n = {rows[0].n} prompts, by this run's classifier. Line: Wilson's 95 % interval of full refusals."
    return Plot(title, caption, svg(title, paint))


def _within(found: Estimate, bottom: float, top: float) -> Estimate:
    """An infinity ends at the edge; the value of one that is infinite itself is not drawn."""
    low, high = max(found.low, bottom), min(found.high, top)
    return Estimate(found.value if math.isfinite(found.value) else math.nan, low, high, found.n)
