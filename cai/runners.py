"""What each stage does with its job: one function a stage, from what its parents left to a summary for DONE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cai.comparing import comparing
from cai.errors import InputError, needing
from cai.identity import seed_of
from cai.job import Job
from cai.learned_pairs import ai_groups, human_groups
from cai.online_dpo import train_online
from cai.plan import STAGES
from cai.preference_figures import evaluate_preference
from cai.preferences import Group, split_held_out
from cai.preflight import preflight
from cai.records import Answer, Comparison, Distilled, Ghost, Kind, Measurement, Revision, RoundScore
from cai.reward_material import critic
from cai.rewarding import tasks, watched
from cai.rl_config import BestOfNConfig, PpoConfig
from cai.selection import Selection, answer_of, select
from cai.stages.ablate import Ablate, variants
from cai.stages.distill import Distill
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.ghost import HaveDialogue
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.store import write_json
from cai.suites import SUITE_RUNNERS, own_models, summed
from cai.trainers.mixing import Task
from cai.walk import walk


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


def _ghost(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    assert recipe.ghost
    (assistant,) = job.speakers(material.assistant)
    stage = HaveDialogue(assistant, recipe.ghost, material.constitution.language, job.seed)
    return walk(job, stage, material.dialogues, Ghost, [assistant])


def _sft(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.sft import train_sft
    chosen = _selected(job)
    shown = [one for source in job.material.demonstrations for one in source]
    learned = [*((row.prompt, answer_of(row)) for row in chosen.rows), *shown]
    rows = [(job.render(prompt), answer) for prompt, answer in learned]
    config, start = job.material.recipe.sft, job.material.recipe.models.pretrained.model
    with job.training() as watch:
        figures = train_sft(rows, start, job.folder.path, config, seed_of(job.seed, "sft"), watch)
    return {**figures, "left_out": chosen.counts, "demonstrations": len(shown)}


def _selected(job: Job) -> Selection:
    revisions, distilled = job.records("revise", Revision), job.records("distill", Distilled)
    answers = [*job.records("respond", Answer), *job.records("ghost", Ghost)]
    chosen = select(revisions, answers, distilled, job.material.recipe.select, job.seed)
    if not (chosen.rows or job.material.demonstrations):
        raise InputError(f"sft: `select` leaves no row to learn from ({chosen.counts}); drop fewer flags")
    return chosen


def _compare(job: Job) -> dict[str, Any]:
    stage, asked = comparing(job, job.seed)
    measured = {} if job.material.recipe.compare.certain else preflight(job, stage.judge)
    return {**walk(job, stage, job.material.prompts["harmful"].train, Comparison, asked), **measured}


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
        from cai.trainers.processes import first
    stage, start = job.step.stage, job.checkpoint("sft").model
    config = job.material.recipe.preference_models[stage]
    learned, held_out = split_held_out([*groups, *_people(job)], config.held_out)
    with job.training() as watch:
        figures = train_preference_model(learned, start, job.folder.path, config, seed_of(job.seed, stage), watch)
    return {**figures, "held_out": _held_out(job, held_out) if first() else {}}


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


def _rejection_sampling(job: Job) -> dict[str, Any]:
    return _rl(replace(job, material=job.material.sampled))


def _rl(job: Job) -> dict[str, Any]:
    begun = "rejection_sampling" if "rejection_sampling" in job.step.parents else "sft"
    config, start, asked = job.material.recipe.rl, job.checkpoint(begun).model, tasks(job)
    if isinstance(config, PpoConfig):
        return _ppo(job, config, start, _mixed(job, asked))
    if isinstance(config, BestOfNConfig):
        return _best_of_n(job, config, start, _mixed(job, asked))
    with needing("train"):
        from cai.trainers.rl import train_rl
    with job.training() as watch, watched(job, watch) as (reward, panel):
        seed, folder = seed_of(job.seed, "rl"), job.folder.path
        return train_rl(asked["harmful"], asked["helpful"], start, reward, folder, config, seed, watch, panel)


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
    with job.training() as watch, watched(job, watch) as (reward, panel):
        return train_best_of_n(mixed, start, reward, job.folder.path, config, seed_of(job.seed, "rl"), watch, panel)


def _ppo(job: Job, config: PpoConfig, start: str, mixed: Sequence[Task]) -> dict[str, Any]:
    """The critic begins as the preference model of this run that rewards the answers, if one does."""
    with needing("train"):
        from cai.trainers.ppo import train_ppo
    material, seed = job.material, seed_of(job.seed, "rl")
    begun = critic(material)
    with job.training() as watch, watched(job, watch) as (reward, panel):
        return train_ppo(
            [task.prompt for task in mixed],
            start,
            reward,
            job.folder.path,
            config,
            seed,
            watch,
            critic_start=job.checkpoint(begun).model if begun else None,
            kinds=[task.kind for task in mixed],
            pretraining=material.pretraining,
            facts=[task.facts for task in mixed],
            panel=panel,
        )


def _score_rounds(job: Job) -> dict[str, Any]:
    templates = job.material.templates(job.material.recipe.models.pretrained)
    rounds = [*job.records("revise", Revision), *job.records("ablate", Revision)]
    with job.preference(job.checkpoint("preference_model")) as preference:
        return walk(job, ScoreRounds(templates, preference), rounds, RoundScore, [])


def _evaluate(job: Job) -> dict[str, Any]:
    recipe, splits = job.material.recipe, job.material.prompts
    prompts = [prompt for split in splits.values() for prompt in split.held_out]
    models = own_models(job)
    summaries = []
    speakers = dict(zip(models, job.speakers(*models.values(), beside=1), strict=True))  # the preference model
    with job.preference(job.checkpoint("preference_model")) as preference:
        for model, policy in speakers.items():
            base = speakers["base"] if model != "base" else None
            sl = speakers.get("SL-CAI") if model not in ("base", "SL-CAI") else None
            stage = Evaluate(model, policy, base, sl, preference, recipe.evaluate, job.seed)
            asked = list(speakers.values())
            summaries.append(walk(job, stage, prompts, Measurement, asked, f"evaluate {model}"))
    return summed(summaries)


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
    "ghost": _ghost,
    "sft": _sft,
    "compare": _compare,
    "preference_model": _preference_model,
    "helpfulness_model": _helpfulness_model,
    "dpo": train_online,
    "rejection_sampling": _rejection_sampling,
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    **SUITE_RUNNERS,
    "report": _report,
}
assert RUNNERS.keys() == STAGES.keys()
