"""The plots of docs/scale.md: memory and time by number of prompts, measured, and hours by number of GPUs, estimated.

`python -m benchmarks.scale_plot docs/scale.svg` draws what benchmarks/streaming.json holds, and `cai.rates`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.paper_scale import Paper, stages
from benchmarks.streaming import RESULTS
from cai.rates import H100

GPUS = (1, 2, 4, 8, 16, 32, 64)
PARAMETERS = 7.25e9
"""Of every model, as in the table of docs/scale.md."""
WAYS = {"fresh": ("at once", "#1f5f8b"), "resumed": ("gone on with from half", "#c06c2b")}


def main() -> None:
    """Draws the three plots into the file that is named."""
    import matplotlib.pyplot as plt

    rows = json.loads(RESULTS.read_text("utf-8"))
    points = next(row["points"] for row in rows if row["name"] == "streaming_time")
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    _memory(axes[0], points)
    _seconds(axes[1], points)
    _hours(axes[2])
    for axis in axes:
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(sys.argv[1], metadata={"Date": None})


def _memory(axis: Any, points: list[dict[str, Any]]) -> None:
    for way, (label, colour) in WAYS.items():
        axis.plot(*_by_prompts(points, way, "resident"), "o-", color=colour, label=label)
    axis.set(title="Peak resident memory of `revise`, measured", xlabel="prompts", ylabel="MB", xscale="log")
    axis.set_ylim(bottom=0)


def _seconds(axis: Any, points: list[dict[str, Any]]) -> None:
    for way, (label, colour) in WAYS.items():
        axis.plot(*_by_prompts(points, way, "cpu"), "o-", color=colour, label=label)
    counts, took = _by_prompts(points, "fresh", "cpu")
    linear = [took[0] * count / counts[0] for count in counts]
    axis.plot(counts, linear, ":", color="#777777", label="in proportion to the first")
    axis.set(title="CPU time of `revise`, measured", xlabel="prompts", ylabel="s", xscale="log", yscale="log")


def _hours(axis: Any) -> None:
    below = [0.0] * len(GPUS)
    for stage in stages(Paper()):
        hours = [stage.hours(PARAMETERS, H100, count) for count in GPUS]
        below, under = [a + b for a, b in zip(below, hours, strict=True)], below
        axis.bar([str(count) for count in GPUS], hours, bottom=under, label=stage.name)
    axis.set(title="The paper's size with 7B models, estimated", xlabel="H100 GPUs", ylabel="hours")


def _by_prompts(points: list[dict[str, Any]], way: str, figure: str) -> tuple[list[int], list[float]]:
    return [point["prompts"] for point in points], [point[way][figure] for point in points]


if __name__ == "__main__":
    main()
