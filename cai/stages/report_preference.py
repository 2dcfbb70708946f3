"""What the report shows of preference models: how they do on held-out pairs, and which pairs were left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai.stages.report_caveats import Fact
from cai.stats import Estimate

NAMES = {"preference_model": "Preference model", "helpfulness_model": "Helpfulness model"}
"""By the stage that trains it."""


@dataclass(frozen=True)
class HeldOutRow:
    """A preference model on the held-out pairs of one source. None stands for what these pairs can't tell.

    `longer_is_better`: what taking the longer answer would get right, of the pairs whose answers differ in length.
    `longer_wins`: how often the model does so. `correlation`: Pearson's, of score and words.
    """

    model: str
    source: str
    pairs: int
    accuracy: Estimate | None
    calibration_error: Estimate | None
    longer_is_better: Estimate | None
    longer_wins: Estimate | None
    correlation: float | None
    mean: float | None
    sd: float | None


def held_out_rows(summaries: Mapping[str, Mapping[str, Any]]) -> list[HeldOutRow]:
    """One a model and source, from what DONE of each preference model's stage says."""
    return [
        _row(NAMES[stage], source, figures)
        for stage, summary in summaries.items()
        for source, figures in summary.get("held_out", {}).get("sources", {}).items()
    ]


def curves(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Sequence[Mapping[str, float]]]:
    """The calibration curve of each model over all its held-out pairs; models without one are left out."""
    found = {
        NAMES[stage]: (summary.get("held_out", {}).get("all") or {}).get("calibration")
        for stage, summary in summaries.items()
    }
    return {name: calibration["curve"] for name, calibration in found.items() if calibration}


def left_out(summaries: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """Pairs that no model learned from, and prompts that were cut, by source and reason."""
    return [fact for stage, summary in summaries.items() for fact in _left_out(NAMES[stage], summary)]


def _left_out(model: str, summary: Mapping[str, Any]) -> Iterator[Fact]:
    for source, reasons in (summary.get("left_out") or {}).items():
        for reason, count in reasons.items():
            yield Fact(f"{model}, {source}", str(count), f"pairs left out: {reason}")
    for source, count in (summary.get("truncated") or {}).items():
        yield Fact(f"{model}, {source}", str(count), "pairs whose prompt was cut from its start")


def _row(model: str, source: str, figures: Mapping[str, Any]) -> HeldOutRow:
    calibration, rewards, length = (figures.get(name) or {} for name in ("calibration", "rewards", "length"))
    return HeldOutRow(
        model=model,
        source=source,
        pairs=figures["pairs"],
        accuracy=_estimate(figures["accuracy"]),
        calibration_error=_estimate(calibration.get("error")),
        longer_is_better=_estimate(length.get("longer_is_better")),
        longer_wins=_estimate(length.get("longer_wins")),
        correlation=length.get("correlation"),
        mean=rewards.get("mean"),
        sd=rewards.get("sd"),
    )


def _estimate(found: Mapping[str, Any] | None) -> Estimate | None:
    return Estimate(**found) if found else None
