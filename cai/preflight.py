"""The judge is measured before it labels anything: a warning where it is no better than chance."""

from __future__ import annotations

from typing import Any

from cai.human import load_pairs
from cai.job import Job
from cai.judge.judge import Judge
from cai.judge_figures import JudgeFigures, figures
from cai.stats import to_text
from cai.trials.measuring import Examine, Labelled, examined, labelled, tested


def preflight(job: Job, judge: Judge) -> dict[str, Any]:
    """Asks the judge about labelled pairs, once a step. Returns what DONE says of it; nothing where there are no pairs.

    Raises EngineError where the judge cannot be asked at all.
    """
    known = [row["preflight"] for row in job.folder.metrics() if "preflight" in row]
    if known:
        return {"preflight": known[-1]}
    pairs = _pairs(job, judge)
    if not pairs:
        return {}
    with job.reporter.step("preflight of the judge", len(pairs), "pairs") as meter:
        found = job.pool.run(examined(pairs, Examine(judge), lambda one: meter.advance(1)))
    told = figures([one.judged for one in found])
    job.folder.metric({"preflight": told.as_json()})
    job.reporter.console.print(_said(told, job), highlight=False, markup=False)
    return {"preflight": told.as_json()}


def _pairs(job: Job, judge: Judge) -> list[Labelled]:
    config, seed = job.material.recipe.compare.preflight, job.seed
    if not config.limit:
        return []
    if config.pairs is None:
        return tested(judge, seed, config.limit)
    return labelled(load_pairs(config.pairs, config.kind, job.material.beside).pairs, seed, config.limit)


def _said(found: JudgeFigures, job: Job) -> str:
    """What a user should know before hours are spent on this judge's labels."""
    if found.accuracy is None:
        return "judge: not one of its verdicts could be read; see `cai judge`"
    told = f"judge: right on {to_text(found.accuracy)} of {found.accuracy.n} labelled pairs, {found.chance}"
    if found.chance == "better than chance":
        return told
    advice = "another model, `compare.judge.mode`, or more pairs in `compare.preflight.pairs`; `cai judge` says more"
    return f"warning: {told}; what it labels may be noise. Try {advice}"
