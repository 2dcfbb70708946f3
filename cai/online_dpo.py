"""Stage `dpo` of a recipe: one round on the pairs of `compare`, or more, on pairs of the model that the last one left.

DPO: Rafailov et al. 2023 (arXiv 2305.18290). Rounds: online AI feedback (Guo et al. 2024, arXiv 2402.04792) has the
judge label answers of the model as it is at every step; here, as in Llama 3 (arXiv 2407.21783), whole rounds take
turns, which lets an engine sample them and a judge that is as large as the machine holds label them. A round learns its
own pairs alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cai.comparing import comparing
from cai.errors import needing
from cai.identity import seed_of
from cai.job import Job
from cai.learned_pairs import ai_groups
from cai.records import Comparison
from cai.store import StepFolder
from cai.walk import walk

if TYPE_CHECKING:
    from cai.trainers.common import Watch

_SUMMED = ("steps", "tokens", "prompts", "pairs", "too_long", "left_out", "truncated", "not_parsed")
"""Figures that all rounds have together."""


def train_online(job: Job) -> dict[str, Any]:
    """Trains in as many rounds as the recipe says, and leaves the last model in the folder of the step.

    Rounds rest in its folder `rounds`: the comparisons of each and its figures. One that is done is not done again, and
    one that was stopped goes on within its comparisons or its training. Returns the last round's figures, sums over all
    rounds, and the figures of each.
    """
    config = job.material.recipe.dpo
    assert config
    if config.rounds == 1:
        return _trained(job, job, 1, job.records("compare", Comparison), 0)
    folder, rounds = job.folder.path, range(1, config.rounds + 1)
    for number in rounds if not (folder / "model").is_dir() else ():
        if not _place(job, number).done:
            _round(job, number)
    _leave(job, config.rounds)
    return _together([_place(job, number).summary for number in rounds])


def _together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last round's figures, sums over all rounds, and the figures of each."""
    sums = {name: _sum([one[name] for one in rounds]) for name in _SUMMED}
    return {**rounds[-1], **sums, "rounds": list(rounds)}


def _sum(values: Sequence[Any]) -> Any:
    """Of numbers, or of counts by name, name by name."""
    if not isinstance(values[0], dict):
        return sum(values)
    names = dict.fromkeys(name for counts in values for name in counts)
    return {name: _sum([counts[name] for counts in values if name in counts]) for name in names}


def _round(job: Job, number: int) -> None:
    """Samples, judges and learns; its folder is marked done."""
    inner, counts = _within(job, number), {}
    inner.folder.begin({"stage": "dpo", "round": number})
    try:
        if number > 1:
            counts = _compared(inner, number)
        comparisons = list(inner.folder.records(Comparison)) if number > 1 else job.records("compare", Comparison)
        before = sum(_place(job, earlier).summary["steps"] for earlier in range(1, number))
        figures = _trained(job, inner, number, comparisons, before)
    finally:
        inner.folder.close()
    inner.folder.finish({"round": number, **figures, "asked": counts})


def _compared(inner: Job, number: int) -> dict[str, Any]:
    """New answers of the last round's model and the judge's verdicts on them, drawn by seeds of this round."""
    stage, asked = comparing(inner, seed_of(inner.seed, "online dpo", number))
    prompts = inner.material.prompts["harmful"].train
    return walk(inner, stage, prompts, Comparison, asked, f"dpo, round {number}")


def _trained(job: Job, inner: Job, number: int, comparisons: Sequence[Comparison], before: int) -> dict[str, Any]:
    """Trains in the folder of `inner`; figures go to that of `job`, as of steps after the `before` first ones."""
    with needing("train"):
        from cai.trainers.dpo import train_dpo
    config, seed = job.material.recipe.dpo, seed_of(job.seed, "dpo", *([number] if number > 1 else []))
    assert config
    start, first = inner.checkpoint("sft").model, job.checkpoint("sft").model
    reference = first if config.reference == "start" and number > 1 else None
    groups = ai_groups(comparisons, job.render)
    with job.training() as watch:
        figures = train_dpo(groups, start, inner.folder.path, config, seed, Later(watch, before), reference)
    return {**figures, "not_parsed": sum(one.verdict.p_a is None for one in comparisons)}


class Later:
    """A watch whose steps are counted on from those of earlier rounds."""

    def __init__(self, watch: Watch, before: int) -> None:
        self._watch, self._before = watch, before

    def step(self, done: int, total: int) -> None:
        """So many steps of this round are done."""
        self._watch.step(self._before + done, self._before + total)

    def metric(self, row: dict[str, Any]) -> None:
        """A row of logged figures of this round."""
        self._watch.metric({**row, "step": self._before + row["step"]})


def _within(job: Job, number: int) -> Job:
    """A round as a step of its own, whose SL-CAI model is that of the round before."""
    steps = job.steps
    if number > 1:
        steps = {**steps, "sft": replace(job.step, stage="sft", folder=_place(job, number - 1))}
    return replace(job, step=replace(job.step, folder=_place(job, number)), steps=steps)


def _place(job: Job, number: int) -> StepFolder:
    return StepFolder(job.folder.path / "rounds" / str(number))


def _leave(job: Job, last: int) -> None:
    """The last round's model becomes the step's; adapters go with the models that they were laid beside."""
    with needing("train"):
        from cai.trainers.common import leave_model
    model = _place(job, last).path / "model"
    if not (job.folder.path / "model").is_dir():
        leave_model(job.folder.path, lambda part: shutil.copytree(model, part) and None)
    for name in ("model", "adapter"):
        for folder in (job.folder.path / "rounds").glob(f"*/{name}"):
            shutil.rmtree(folder)
