"""What each stage does with its job: one function a stage, from what its parents left to a summary for DONE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cai.comparing import answers_of, policies
from cai.errors import InputError, needing
from cai.identity import seed_of
from cai.job import Job
from cai.judge.of_recipe import judge_of
from cai.learned_pairs import ai_groups, human_groups
from cai.plan import STAGES
from cai.preference_figures import evaluate_preference
from cai.preferences import Group, split_held_out
from cai.preflight import preflight
from cai.records import Answer, Comparison, Distilled, Kind, Measurement, Revision, RoundScore
from cai.reward_config import PreferenceModelReward
from cai.reward_material import own
from cai.rewarding import rewarded, tasks
from cai.rl_config import BestOfNConfig, PpoConfig
from cai.selection import Selection, answer_of, select
from cai.stages.ablate import Ablate, variants
from cai.stages.compare import Compare
from cai.stages.distill import Distill
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.store import write_json
from cai.trainers.mixing import Task
from cai.walk import walk

MODELS = {"SL-CAI": "sft", "DPO": "dpo", "RL-CAI": "rl"}
"""What is evaluated beside the model that all start from, in the order in which they come to be, and its stage."""


def _respond(job: Job) -> dict[str, Any]:
    recipe = job.material.recipe
    (helpful,) = job.speakers(recipe.models.helpful)
    stage = Respond(helpful, recipe.respond, job.material.constitution.language, job.seed)
    return walk(job, stage, job.material.prompts["helpful"].train, Answer, [helpful])


def _revise(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    (assistant,) = job.speakers(material.assistant)
    rules = material.constitution_for(material.assistant)
    stage = Revise(assistant, rules, material.revision_examples, recipe.revise, job.seed)
    return walk(job, stage, material.prompts["harmful"].train, Revision, [assistant])


def _ablate(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    assert recipe.ablate
    (assistant,) = job.speakers(material.assistant)
    rules = material.constitution_for(material.assistant)
    chains = [
        Revise(assistant, one.constitution, material.revision_examples, one.config, job.seed, one.name)
        for one in variants(recipe.ablate, recipe.revise, rules)
    ]
    first = _first_answers(job)
    asked = material.prompts["harmful"].train[: recipe.ablate.limit]
    whole = [prompt for prompt in asked if len(first[prompt.id]) == recipe.revise.samples]  # others failed
    return walk(job, Ablate(tuple(chains), first), whole, Revision, [assistant])


def _first_answers(job: Job) -> dict[str, list[Revision]]:
    """By prompt id."""
    found: dict[str, list[Revision]] = defaultdict(list)
    for revision in job.steps["revise"].folder.records(Revision):
        if revision.round == 0:
            found[revision.prompt.id].append(revision)
    return found


def _distill(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    assert recipe.distill
    plain, guarded = job.speakers(material.assistant, material.guarded, beside=1)  # the preference model
    with job.preference(material.scorer) as preference:
        language = material.constitution.language
        stage = Distill(plain, guarded, material.scoring, preference, recipe.distill, language, job.seed)
        return walk(job, stage, material.prompts["harmful"].train, Distilled, [plain])


def _sft(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.sft import train_sft
    chosen = _selected(job)
    prompts = job.rendered(row.prompt for row in chosen.rows)
    rows = [(prompt, answer_of(row)) for prompt, row in zip(prompts, chosen.rows, strict=True)]
    config, start = job.material.recipe.sft, job.material.recipe.models.pretrained.model
    with job.training() as watch:
        figures = train_sft(rows, start, job.folder.path, config, seed_of(job.seed, "sft"), watch)
    return {**figures, "left_out": chosen.counts}


def _selected(job: Job) -> Selection:
    revisions, answers = job.records("revise", Revision), job.records("respond", Answer)
    distilled = job.records("distill", Distilled)
    chosen = select(revisions, answers, distilled, job.material.recipe.select, job.seed)
    if not chosen.rows:
        raise InputError(f"sft: `select` leaves no row to learn from ({chosen.counts}); drop fewer flags")
    return chosen


def _compare(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    named = policies(job)
    *asked, feedback = job.speakers(*named.values(), recipe.models.feedback)
    judge = judge_of(material, feedback)
    measured = {} if recipe.compare.certain else preflight(job, judge)
    stage = Compare(answers_of(job, dict(zip(named, asked, strict=True)), judge), judge, recipe.compare.certain)
    counts = walk(job, stage, material.prompts["harmful"].train, Comparison, [*asked, feedback])
    return {**counts, **measured}


def _preference_model(job: Job) -> dict[str, Any]:
    comparisons = job.records("compare", Comparison)
    groups = ai_groups(comparisons, job.render, job.material.recipe.preference_model.ai_weight)
    return {**_learned(job, groups), "not_parsed": _not_parsed(comparisons)}


def _helpfulness_model(job: Job) -> dict[str, Any]:
    return _learned(job, [])


def _learned(job: Job, groups: list[Group]) -> dict[str, Any]:
    """Trains the preference model of the job's stage on these groups and on what people compared."""
    with needing("train"):
        from cai.trainers.preference import train_preference_model
    stage, start = job.step.stage, job.checkpoint("sft").model
    config = job.material.recipe.preference_models[stage]
    learned, held_out = split_held_out([*groups, *_people(job)], config.held_out)
    with job.training() as watch:
        figures = train_preference_model(learned, start, job.folder.path, config, seed_of(job.seed, stage), watch)
    return {**figures, "held_out": _held_out(job, held_out)}


def _held_out(job: Job, groups: list[Group]) -> dict[str, Any]:
    """What pairs that it did not learn from say of the model; every pair's scores go to held_out.json."""
    if not groups:
        return {}
    with needing("train"):
        from cai.trainers.scorer import PreferenceScorer
    scorer = PreferenceScorer(job.folder.path / "model")
    told = evaluate_preference(scorer, groups)
    scorer.close()
    write_json(job.folder.path / "held_out.json", {"pairs": told.pop("pairs")})
    return told


def _people(job: Job) -> list[Group]:
    """People's comparisons, for the preference model of the job's stage."""
    config = job.material.recipe.preference_models[job.step.stage]
    return [
        group
        for source, pairs in job.material.human_pairs[job.step.stage]
        for group in human_groups(pairs.pairs[: source.limit], job.render, source.weight, config.margins)
    ]


def _not_parsed(comparisons: list[Comparison]) -> int:
    return sum(one.verdict.p_a is None for one in comparisons)


def _dpo(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.dpo import train_dpo
    config = job.material.recipe.dpo
    assert config
    comparisons = job.records("compare", Comparison)
    groups, start = ai_groups(comparisons, job.render), job.checkpoint("sft").model
    with job.training() as watch:
        figures = train_dpo(groups, start, job.folder.path, config, seed_of(job.seed, "dpo"), watch)
    return {**figures, "not_parsed": _not_parsed(comparisons)}


def _rl(job: Job) -> dict[str, Any]:
    config, start, asked = job.material.recipe.rl, job.checkpoint("sft").model, tasks(job)
    if isinstance(config, PpoConfig):
        return _ppo(job, config, start, _mixed(job, asked))
    if isinstance(config, BestOfNConfig):
        return _best_of_n(job, config, start, _mixed(job, asked))
    with needing("train"):
        from cai.trainers.rl import train_rl
    with job.training() as watch, rewarded(job) as reward:
        seed, folder = seed_of(job.seed, "rl"), job.folder.path
        return train_rl(asked["harmful"], asked["helpful"], start, reward, folder, config, seed, watch)


def _mixed(job: Job, asked: Mapping[Kind, Sequence[Task]]) -> list[Task]:
    """The prompts of all steps, in order."""
    with needing("train"):
        from cai.trainers.mixing import mix
    config = job.material.recipe.rl
    count = config.steps * config.prompts_per_step
    return mix(asked["harmful"], asked["helpful"], config.helpful_share, count, seed_of(job.seed, "rl"))


def _best_of_n(job: Job, config: BestOfNConfig, start: str, mixed: Sequence[Task]) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.best_of_n import train_best_of_n
    with job.training() as watch, rewarded(job) as reward:
        return train_best_of_n(mixed, start, reward, job.folder.path, config, seed_of(job.seed, "rl"), watch)


def _ppo(job: Job, config: PpoConfig, start: str, mixed: Sequence[Task]) -> dict[str, Any]:
    """The critic begins as the preference model of this run that rewards the answers, if one does."""
    with needing("train"):
        from cai.trainers.ppo import train_ppo
    material, seed = job.material, seed_of(job.seed, "rl")
    scorers = [reward.model for reward in config.rewards if isinstance(reward, PreferenceModelReward)]
    critic = next((job.checkpoint(stage).model for stage in scorers if own(material, stage)), None)
    with job.training() as watch, rewarded(job) as reward:
        return train_ppo(
            [task.prompt for task in mixed],
            start,
            reward,
            job.folder.path,
            config,
            seed,
            watch,
            critic_start=critic,
            kinds=[task.kind for task in mixed],
            pretraining=material.pretraining,
            facts=[task.facts for task in mixed],
        )


def _score_rounds(job: Job) -> dict[str, Any]:
    templates = job.material.templates(job.material.recipe.models.pretrained)
    rounds = [*job.records("revise", Revision), *job.records("ablate", Revision)]
    with job.preference(job.checkpoint("preference_model")) as preference:
        return walk(job, ScoreRounds(templates, preference), rounds, RoundScore, [])


def _evaluate(job: Job) -> dict[str, Any]:
    recipe, splits = job.material.recipe, job.material.prompts
    prompts = [prompt for split in splits.values() for prompt in split.held_out]
    trained = {name: job.checkpoint(stage) for name, stage in MODELS.items() if stage in job.steps}
    models = {"base": recipe.models.pretrained, **trained}
    summaries = []
    speakers = dict(zip(models, job.speakers(*models.values(), beside=1), strict=True))  # the preference model
    with job.preference(job.checkpoint("preference_model")) as preference:
        for model, policy in speakers.items():
            base = speakers["base"] if model != "base" else None
            sl = speakers["SL-CAI"] if model not in ("base", "SL-CAI") else None
            stage = Evaluate(model, policy, base, sl, preference, recipe.evaluate, job.seed)
            asked = list(speakers.values())
            summaries.append(walk(job, stage, prompts, Measurement, asked, f"evaluate {model}"))
    return {key: sum(summary[key] for summary in summaries) for key in summaries[0]}


def _report(job: Job) -> dict[str, Any]:
    from cai.findings import findings
    from cai.stages.report import write_report

    files = write_report(findings(job.material, job.steps), job.folder.path)
    return {"html": files.html.name, "markdown": files.markdown.name}


RUNNERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "respond": _respond,
    "revise": _revise,
    "ablate": _ablate,
    "distill": _distill,
    "sft": _sft,
    "compare": _compare,
    "preference_model": _preference_model,
    "helpfulness_model": _helpfulness_model,
    "dpo": _dpo,
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    "report": _report,
}
assert RUNNERS.keys() == STAGES.keys()
