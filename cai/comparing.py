"""Stage `compare` of a recipe: whose answers are paired, and in which way."""

from __future__ import annotations

from collections import defaultdict

from cai.engines.base import Speaker
from cai.feedback_config import ContrastiveAnswers, ModelAnswers, RoundAnswers
from cai.job import Job
from cai.judge.judge import Judge
from cai.judge.of_recipe import judge_of
from cai.models import ModelConfig
from cai.records import Revision
from cai.stages.compare import Compare
from cai.stages.pairs import Answers, Contrastive, Rounds, Samples, TwoModels


def policies(job: Job) -> dict[str, ModelConfig]:
    """The models whose answers are compared, by the names that the recipe gives them."""
    config = job.material.recipe.compare.answers
    if isinstance(config, RoundAnswers):
        return {}
    names = config.models if isinstance(config, ModelAnswers) else ("sft",)
    return {name: job.checkpoint("sft") if name == "sft" else job.material.paired[name] for name in names}


def comparing(job: Job, seed: int) -> tuple[Compare, list[Speaker]]:
    """The stage as the recipe has it, and whom it asks: those whose answers are compared, and the judge."""
    recipe, named = job.material.recipe, policies(job)
    *asked, feedback = job.speakers(*named.values(), recipe.models.feedback)
    judge = judge_of(job.material, feedback, seed)
    answers = answers_of(job, dict(zip(named, asked, strict=True)), judge, seed)
    return Compare(answers, judge, recipe.compare.certain), [*asked, feedback]


def answers_of(job: Job, speakers: dict[str, Speaker], judge: Judge, seed: int) -> Answers:
    """The one place that knows which ways to come by pairs there are."""
    sampling = job.material.recipe.compare
    config = sampling.answers
    if isinstance(config, RoundAnswers):
        return Rounds(_chains(job), config.rounds)
    if isinstance(config, ModelAnswers):
        return TwoModels(speakers, sampling, seed)
    if isinstance(config, ContrastiveAnswers):
        return Contrastive(speakers["sft"], judge, sampling, seed)
    return Samples(speakers["sft"], judge, config, sampling, seed)


def _chains(job: Job) -> dict[str, list[list[Revision]]]:
    """The chains of each prompt, round by round."""
    found: dict[str, dict[int, list[Revision]]] = defaultdict(lambda: defaultdict(list))
    for revision in job.steps["revise"].folder.records(Revision):
        found[revision.prompt.id][revision.sample].append(revision)
    ordered = {name: [chains[sample] for sample in sorted(chains)] for name, chains in found.items()}
    return {name: [sorted(chain, key=lambda one: one.round) for chain in chains] for name, chains in ordered.items()}
