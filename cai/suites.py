"""What each suite of an evaluation does with its job: who is asked about which answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cai.contestants import TRAINED
from cai.engines.base import Speaker
from cai.evaluation_config import Asking
from cai.evaluation_material import (
    asked,
    guests,
    hhh_pairs,
    judge_model,
    labelled_answers,
)
from cai.job import Job
from cai.judge.judge import Judge
from cai.judge.of_recipe import suite_judge
from cai.models import ModelConfig
from cai.records import (
    KINDS,
    Borderline,
    Classified,
    Harm,
    Kind,
    Match,
    Measurement,
    OverRefusal,
    Prompt,
    Said,
)
from cai.stages.classify import Classifier, Classify, OverRefuse
from cai.stages.evaluate import Evaluate
from cai.stages.harm import RateHarm
from cai.stages.matches import PlayMatches
from cai.trials.choosing import ByLanguageModel, ByPreferenceModel, Choice, to_choose
from cai.trials.measuring import Examine, labelled
from cai.walk import walk

Summary = dict[str, Any]


def own_models(job: Job) -> dict[str, ModelConfig]:
    """The models of the run itself, by name."""
    trained = {name: job.checkpoint(stage) for name, stage in TRAINED.items() if stage in job.steps}
    return {"base": job.material.recipe.models.pretrained, **trained}


def summed(summaries: Iterable[Summary]) -> Summary:
    """Several walks as one."""
    found: dict[str, int] = defaultdict(int)
    for summary in summaries:
        for key, value in summary.items():
            found[key] += value
    return dict(found)


def _guests(job: Job) -> Summary:
    """Guests are scored as the run's own models are: as the preference model was shown prompts when it was trained."""
    recipe, found = job.material.recipe, guests(job.material)
    prompts = [prompt for split in job.material.prompts.values() for prompt in split.held_out]
    scored = job.material.templates(recipe.models.pretrained)
    summaries = []
    with job.preference(job.checkpoint("preference_model")) as preference:
        for name, model in found.items():
            (speaker,) = job.speakers(model, beside=1)
            stage = Evaluate(name, speaker, None, None, preference, recipe.evaluate, job.seed, scored, guest=True)
            summaries.append(walk(job, stage, prompts, Measurement, [speaker], f"guest {name}"))
    return summed(summaries)


def _measurements(job: Job) -> list[Measurement]:
    """All answers to held-out prompts, model by model."""
    return [*job.records("evaluate", Measurement), *job.records("guests", Measurement)]


def _judging(job: Job, config: Asking) -> Speaker:
    (speaker,) = job.speakers(judge_model(job.material, config))
    return speaker


def _win_rates(job: Job) -> Summary:
    config = job.material.recipe.win_rates
    assert config
    answers = _answers(job)
    speaker = _judging(job, config)
    model = judge_model(job.material, config)
    judges: dict[Kind, Judge] = {kind: suite_judge(job.material, config, model, speaker, kind) for kind in KINDS}
    prompts = [found[0].prompt for found in answers.values()]
    return walk(job, PlayMatches(judges, answers), prompts, Match, [speaker])


def _answers(job: Job) -> dict[str, list[Measurement]]:
    """By prompt id, each model's answer, in the order of the models."""
    order = [*own_models(job), *guests(job.material)]
    found: dict[str, list[Measurement]] = defaultdict(list)
    for one in _measurements(job):
        found[one.prompt.id].append(one)
    return {name: sorted(some, key=lambda one: order.index(one.model)) for name, some in sorted(found.items())}


def _harmfulness(job: Job) -> Summary:
    config = job.material.recipe.harmfulness
    assert config
    harmful = [one for one in _measurements(job) if one.prompt.kind == "harmful"]
    speaker = _judging(job, config)
    return walk(job, RateHarm(speaker), harmful, Harm, [speaker])


def _refusals(job: Job) -> Summary:
    config = job.material.recipe.refusals
    assert config
    said = [Said(id=one.id, model=one.model, prompt=one.prompt, answer=one.response.text) for one in _measurements(job)]
    speaker = _judging(job, config)
    return walk(job, Classify(Classifier(speaker)), [*said, *labelled_answers(job.material)], Classified, [speaker])


def _over_refusal(job: Job) -> Summary:
    config, found = job.material.recipe.over_refusal, asked(job.material)
    assert config
    models = {**own_models(job), **guests(job.material)}
    summaries = []
    for name, model in models.items():
        policy, judge = job.speakers(model, judge_model(job.material, config))
        items = [_borderline(name, one.prompt, one.safe, one.type) for one in found]
        stage = OverRefuse(policy, Classifier(judge), config, job.seed)
        summaries.append(walk(job, stage, items, OverRefusal, [policy, judge], f"over_refusal {name}"))
    return summed(summaries)


def _borderline(model: str, prompt: Prompt, safe: bool, kind: str) -> Borderline:
    return Borderline(id=f"{model}/{prompt.id}", model=model, prompt=prompt, safe=safe, type=kind)


def _hhh(job: Job) -> Summary:
    config, found = job.material.recipe.hhh, hhh_pairs(job.material)
    assert config
    pairs = labelled(found.pairs, job.seed, config.limit)
    summaries = []
    for name, model in _choosing(job).items():
        (speaker,) = job.speakers(model)
        stage = ByLanguageModel(Examine(suite_judge(job.material, config, model, speaker, config.kind)))
        summaries.append(walk(job, stage, to_choose(pairs, name), Choice, [speaker], f"hhh {name}"))
    templates = job.material.templates(job.material.recipe.models.pretrained)
    for stage in ("preference_model", "helpfulness_model"):
        if stage in job.steps:
            with job.preference(job.checkpoint(stage)) as preference:
                chosen = ByPreferenceModel(templates, preference)
                summaries.append(walk(job, chosen, to_choose(pairs, SCORERS[stage]), Choice, [], f"hhh {stage}"))
    return {**summed(summaries), "left_out": found.left_out}


SCORERS = {"preference_model": "preference model", "helpfulness_model": "helpfulness model"}
JUDGE = "judge"
"""What models that answer nobody are called among those that choose."""


def _choosing(job: Job) -> dict[str, ModelConfig]:
    """The language models that choose: those of the run, its judge where that is another one, and the guests."""
    own, feedback = own_models(job), job.material.recipe.models.feedback
    judge: Mapping[str, ModelConfig] = {} if feedback in own.values() else {JUDGE: feedback}
    return {**own, **judge, **guests(job.material)}


SUITE_RUNNERS: dict[str, Callable[[Job], Summary]] = {
    "guests": _guests,
    "win_rates": _win_rates,
    "harmfulness": _harmfulness,
    "refusals": _refusals,
    "over_refusal": _over_refusal,
    "hhh": _hhh,
}
