"""What each stage does with its job: one function a stage, from what its parents left to a summary for DONE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
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
from cai.records import Answer, Comparison, Distilled, Measurement, Revision, RoundScore
from cai.selection import Selection, answer_of, select
from cai.stages.ablate import Ablate, variants
from cai.stages.compare import Compare
from cai.stages.distill import Distill
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.store import write_json
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
    with needing("train"):
        from cai.trainers.preference import train_preference_model
    config, start = job.material.recipe.preference_model, job.checkpoint("sft").model
    comparisons = job.records("compare", Comparison)
    learned, held_out = split_held_out(_groups(job, comparisons), config.held_out)
    with job.training() as watch:
        seed = seed_of(job.seed, "preference_model")
        figures = train_preference_model(learned, start, job.folder.path, config, seed, watch)
    return {**figures, "not_parsed": _not_parsed(comparisons), "held_out": _held_out(job, held_out)}


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


def _groups(job: Job, comparisons: list[Comparison]) -> list[Group]:
    """What the preference model learns from: the AI's comparisons, and people's."""
    config, render = job.material.recipe.preference_model, job.render
    people = [
        group
        for source, pairs in job.material.human_pairs
        for group in human_groups(pairs.pairs[: source.limit], render, source.weight, config.margins)
    ]
    return [*ai_groups(comparisons, render, config.ai_weight), *people]


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
    with needing("train"):
        from cai.trainers.rl import train_rl
    prompts = job.material.prompts
    harmful, helpful = (job.rendered(prompts[kind].train) for kind in ("harmful", "helpful"))
    start, judge = job.checkpoint("sft").model, job.checkpoint("preference_model").model
    with job.training() as watch:
        config, seed = job.material.recipe.rl, seed_of(job.seed, "rl")
        return train_rl(harmful, helpful, start, judge, job.folder.path, config, seed, watch)


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
    "dpo": _dpo,
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    "report": _report,
}
assert RUNNERS.keys() == STAGES.keys()
