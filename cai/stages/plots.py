"""The figures of the report: SVG for within the page, which gives it its colours; the same data give the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cai.contestants import in_order
from cai.errors import MissingExtra
from cai.records import KINDS, Comparison, RoundScore, Seating
from cai.stages.report_effects import TableRow, finite_mean
from cai.stats import Estimate, rate
from cai.verdicts import by_principle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

BLUE, VERMILION = "#0072b2", "#d55e00"
"""Two colours of Okabe and Ito's set, told apart by colour-blind readers."""

INK = "#0a0b0c"
_PAGE_COLOURS = {INK: "currentColor", BLUE: "var(--blue)", VERMILION: "var(--vermilion)"}
"""What stands in the page for each colour drawn, so that a dark page has light figures."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
}
_MARKERS = "s^Dvp"
"""Of lines that share a colour."""
_SMOOTHED_FROM = 40
"""Rows from which a curve also shows its moving average."""


@dataclass(frozen=True)
class Plot:
    """A figure and its caption. `svg` is empty where there is nothing to draw, and the caption says why."""

    title: str
    caption: str
    svg: str = ""


def by_round(scores: Sequence[RoundScore], resamples: int) -> Plot:
    """The preference-model score of each revision round, as Bai et al. 2022, Fig. 5."""
    title = "Preference-model score by revision round"
    finite = Counter(score.round for score in scores if math.isfinite(score.reward))
    counts = _counts([finite[round_] for round_ in sorted(finite)])
    caption = (
        f"Mean over chains; n = {counts} answers a round. Bars: 95 % bootstrap interval of the mean. As Bai et al. "
        "2022, Fig. 5. The score is that of this run's own preference model."
    )
    return by_rounds(title, {"": scores}, "", caption, resamples)


def by_rounds(title: str, lines: Mapping[str, Sequence[RoundScore]], own: str, caption: str, resamples: int) -> Plot:
    """The scores of several kinds of chains by round, the kind `own` in a colour of its own."""
    points = {name: found for name, scores in lines.items() if (found := _by_round(scores, resamples))}
    if not points:
        return Plot(title, "No round was scored, so there is nothing to draw.")
    others = [name for name in points if name != own]
    rounds = sorted({round_ for found in points.values() for round_ in found})

    def paint(axes: Axes) -> None:
        for place, (name, found) in enumerate(points.items()):
            shift = (place - (len(points) - 1) / 2) * min(0.06, 0.4 / len(points))
            look = (BLUE, "o-", 1.0)
            if name != own:
                strength = 0.35 + 0.65 * (others.index(name) + 1) / len(others)
                look = (VERMILION, f"{_MARKERS[others.index(name) % len(_MARKERS)]}-", strength)
            dots(axes, [round_ + shift for round_ in found], list(found.values()), *look, name=name)
        axes.set_xticks(rounds)
        axes.set_xlabel("Revision round (0: the first answer)")
        axes.set_ylabel("Score (log-odds, nats)")
        if len(points) > 1:
            legend(axes, min(3, len(points)))

    return Plot(title, caption, svg(title, paint))


def by_model(rows: Sequence[TableRow]) -> Plot:
    """The preference-model score of each model on held-out prompts."""
    title = "Preference-model score by model"
    if not any(row.score for row in rows):
        return Plot(title, "No model was measured, so there is nothing to draw.")
    models = in_order(row.model for row in rows)
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]

    def paint(axes: Axes) -> None:
        for kind, colour, marker, shift in zip(KINDS, (BLUE, VERMILION), ("o", "s"), (-0.07, 0.07), strict=True):
            chosen = {models.index(row.model) + shift: row.score for row in rows if row.kind == kind and row.score}
            dots(axes, list(chosen), list(chosen.values()), colour, marker, name=f"{kind} prompts" if chosen else "")
        axes.set_xticks(range(len(models)), models)
        axes.set_xlim(-0.5, len(models) - 0.5)
        axes.set_ylabel("Score (log-odds, nats)")
        legend(axes, len(kinds))

    counts = " and ".join(f"{_counts([row.n for row in rows if row.kind == kind])} {kind}" for kind in kinds)
    caption = (
        f"Mean over held-out prompts; n = {counts} prompts. Bars: 95 % bootstrap interval of each mean. The models "
        "answer the same prompts, so bars that overlap don't settle a difference: the paired statements above do."
    )
    return Plot(title, caption, svg(title, paint))


def curve(title: str, rows: Sequence[Mapping[str, float]], key: str, label: str, note: str = "") -> Plot:
    """One logged quantity over the steps of a training stage."""
    logged = [(row.get("step", place), row[key]) for place, row in enumerate(rows, 1) if row.get(key) is not None]
    points = [(x, y) for x, y in logged if math.isfinite(y)]
    if not points:
        why = "every logged value is infinite or not a number" if logged else f"the training log has no {key!r}"
        return Plot(title, f"Nothing to draw: {why}.")
    smoothed = _moving_average([y for _, y in points]) if len(points) >= _SMOOTHED_FROM else []

    def paint(axes: Axes) -> None:
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, "-" if len(points) > 1 else "o", color=BLUE, alpha=0.35 if smoothed else 1.0)
        if smoothed:
            axes.plot(xs, smoothed, color=BLUE)
        axes.set_xlabel("Optimizer step")
        axes.set_ylabel(label)
        _count_on(axes.xaxis)

    return Plot(title, _curve_caption(len(points), len(logged) - len(points), bool(smoothed), note), svg(title, paint))


def seats(comparisons: Sequence[Comparison]) -> Plot:
    """What the judge says of the answer it is shown first, whichever that is; thoughts under one principle averaged."""
    title = "The judge's probability for the answer shown first"
    parsed = [item for item in comparisons if item.verdict.p_a is not None]
    asked = [seated for item in parsed for seated in by_principle(item.verdict.readings)]
    both: tuple[Seating, Seating] = ("a", "b")
    groups = [[seated[seat] for seated in asked if seat in seated] for seat in both]
    if parsed and not any(groups):
        return Plot(title, "Nothing to draw: the judge was shown no two answers beside each other, so none had a seat.")
    caption = (
        f"n = {sum(map(len, groups))} seatings of parsed comparisons; no band. An even judge is centred on the dashed "
        "line at 0.5; one that prefers a seat whatever it reads piles up on one side in both colours."
    )
    names = ("answer a first", "answer b first")
    return _histogram(title, caption, groups, names, "P(the answer shown first is better)", "Seatings")


def labels(comparisons: Sequence[Comparison]) -> Plot:
    """The labels that the preference model learned from."""
    title = "The labels: P(a is better)"
    values = [item.verdict.p_a for item in comparisons if item.verdict.p_a is not None]
    caption = (
        f"n = {len(values)} parsed comparisons, averaged over all that the judge was asked of a pair; no band. Near "
        "the dashed line a pair is a tie and teaches the preference model little."
    )
    return _histogram(title, caption, [values], ("",), "P(a is better)", "Comparisons")


def calibration(model: str, bins: Sequence[Mapping[str, float]]) -> Plot:
    """A preference model's probability for the answer it prefers beside how often that is the better one."""
    title = f"{model}: calibration"

    def paint(axes: Axes) -> None:
        axes.plot([0.5, 1], [0.5, 1], color=INK, linestyle="--", linewidth=1)
        shares = [rate(found["labelled"] * found["n"], int(found["n"])) for found in bins]
        dots(axes, [found["predicted"] for found in bins], shares, BLUE, "o")
        axes.set_xlim(0.48, 1.02)
        axes.set_xlabel("P(better), as the model says of the answer it prefers")
        axes.set_ylabel("Share that is better")

    count = int(sum(found["n"] for found in bins))
    caption = (
        f"{model}: n = {count} held-out pairs in bins of 0.05; bars: Wilson's 95 % intervals, as if pairs "
        "were independent. On the dashed line a probability says what happens; below it the model is too sure of "
        "itself. Bai et al. 2022a, section 3.3."
    )
    return Plot(title, caption, svg(title, paint))


def _by_round(scores: Sequence[RoundScore], resamples: int) -> dict[int, Estimate]:
    """The mean of each round that has finite scores."""
    ordered = sorted(scores, key=lambda score: score.id)
    rounds = sorted({score.round for score in scores})
    means = {x: finite_mean([score.reward for score in ordered if score.round == x], resamples) for x in rounds}
    return {x: estimate for x, estimate in means.items() if estimate}


def _histogram(
    title: str, caption: str, groups: Sequence[Sequence[float]], names: Sequence[str], x_label: str, y_label: str
) -> Plot:
    if not any(groups):
        return Plot(title, "No comparison was parsed, so there is nothing to draw.")

    def paint(axes: Axes) -> None:
        bins = [edge / 20 for edge in range(21)]
        colours = (BLUE, VERMILION)[: len(groups)]
        axes.hist(list(groups), bins=bins, stacked=True, color=colours, label=list(names), rwidth=0.9)
        axes.axvline(0.5, color=INK, linestyle="--", linewidth=1)
        axes.set_xlim(0, 1)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _count_on(axes.yaxis)
        if any(names):
            legend(axes, len(names))

    return Plot(title, caption, svg(title, paint))


def dots(
    axes: Axes,
    xs: Sequence[float],
    estimates: Sequence[Estimate],
    colour: str,
    style: str,
    strength: float = 1.0,
    name: str = "",
) -> None:
    """Means with their intervals; a mean of one value has none. `strength`: opacity."""
    bars = [(x, e.low, e.high) for x, e in zip(xs, estimates, strict=True) if math.isfinite(e.low)]
    if bars:
        axes.vlines(*zip(*bars, strict=True), color=colour, linewidth=1.4, alpha=strength)
    axes.plot(xs, [e.value for e in estimates], style, color=colour, alpha=strength, label=name or "_")


def _count_on(axis: Axis) -> None:
    """Ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))


def legend(axes: Axes, columns: int) -> None:
    """Above the axes."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, handletextpad=0.5)


def _curve_caption(drawn: int, left_out: int, smoothed: bool, note: str) -> str:
    count = f"n = {drawn} logged row{'s' if drawn != 1 else ''} of one training run; no band."
    average = " Pale: as logged; strong: moving average." if smoothed else ""
    gone = f" {left_out} infinite or not a number, not drawn." if left_out else ""
    return f"{count}{average}{gone} {note}".rstrip()


def _counts(counts: Sequence[int]) -> str:
    """One number where all are the same, else each in turn."""
    return ", ".join(map(str, counts if len(set(counts)) > 1 else counts[:1]))


def _moving_average(values: Sequence[float]) -> list[float]:
    """Over a centred window of about a tenth of the rows, narrower at the ends."""
    reach = len(values) // 20
    windows = [values[max(0, place - reach) : place + reach + 1] for place in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def svg(title: str, paint: Callable[[Axes], None]) -> str:
    """Draws on one pair of axes. Raises MissingExtra where matplotlib is not installed."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    file = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | {"svg.hashsalt": title})
        figure = Figure(figsize=(4.4, 2.75), layout="constrained")
        paint(figure.subplots())
        nameless = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nameless)
    return _inline(file.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """What of an SVG file belongs in an HTML page: no prologue, no size, no repeated ids, the page's colours."""
    view = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)
    opening = f'<svg {view[0] if view else ""} role="img" aria-label="{title}">'
    for drawn, shown in _PAGE_COLOURS.items():
        body = body.replace(drawn, shown)
    return opening + body.strip()
