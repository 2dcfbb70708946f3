"""Reads an evaluation from what the stages of a run left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from cai.contestants import in_order
from cai.evaluation import Evaluation
from cai.judge_figures import figures
from cai.judged import Judged
from cai.records import Classified, Harm, Match, Measurement, OverRefusal, Record
from cai.store import StepFolder
from cai.trials.choosing import Choice

SUITES = ("win_rates", "harmfulness", "refusals", "over_refusal", "hhh")
"""Those with figures of their own; guests are in the figures of all."""


def evaluation_of(folders: Mapping[str, StepFolder], resamples: int) -> Evaluation:
    """The evaluation of a run, from the folders of its stages; a stage that is not done counts as not run."""

    def records(stage: str, kind: type[Record]) -> list[Any]:
        folder = folders.get(stage)
        return list(folder.records(kind)) if folder and folder.done else []

    by_model = _by_model(records("hhh", Choice))
    return Evaluation(
        measurements=[*records("evaluate", Measurement), *records("guests", Measurement)],
        matches=records("win_rates", Match),
        harms=records("harmfulness", Harm),
        classified=records("refusals", Classified),
        borderline=records("over_refusal", OverRefusal),
        choices={name: figures(found, resamples=resamples) for name, found in by_model.items()},
        resamples=resamples,
        chosen={name: _right(found) for name, found in by_model.items()},
    )


def _by_model(choices: list[Choice]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = defaultdict(list)
    for one in choices:
        found[one.model].append(one.judged)
    return {name: found[name] for name in in_order(found)}


def _right(judged: list[Judged]) -> dict[str, float]:
    return {one.item: one.right(p) for one in judged if (p := one.p_a) is not None}
