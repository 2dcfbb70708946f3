"""What each stage does with its job: one function a stage, from what its parents left to a summary for DONE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from cai.errors import InputError, needing
from cai.identity import seed_of
from cai.job import Job
from cai.plan import STAGES
from cai.records import Answer, Comparison, Distilled, Measurement, Revision, RoundScore
from cai.selection import Selection, answer_of, select
from cai.stages.ablate import Ablate, variants
from cai.stages.compare import Compare
from cai.stages.distill import Distill
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.walk import walk

MODELS = ("base", "SL-CAI", "RL-CAI")
"""What is evaluated, in the order in which they come to be."""


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
    policy, feedback = job.speakers(job.checkpoint("sft"), recipe.models.feedback)
    rules = material.constitution_for(recipe.models.feedback)
    stage = Compare(policy, feedback, rules, material.comparison_examples, recipe.compare, job.seed)
    return walk(job, stage, material.prompts["harmful"].train, Comparison, [policy, feedback])


def _preference_model(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.preference import train_preference_model
    comparisons = job.records("compare", Comparison)
    parsed = [(c, c.verdict.p_a) for c in comparisons if c.verdict.p_a is not None]
    prompts = job.rendered(comparison.prompt for comparison, _ in parsed)
    rows = [(prompt, c.a.text, c.b.text, p) for prompt, (c, p) in zip(prompts, parsed, strict=True)]
    config, start = job.material.recipe.preference_model, job.checkpoint("sft").model
    with job.training() as watch:
        seed = seed_of(job.seed, "preference_model")
        figures = train_preference_model(rows, start, job.folder.path, config, seed, watch)
    return {**figures, "not_parsed": len(comparisons) - len(parsed)}


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
    models = (recipe.models.pretrained, job.checkpoint("sft"), job.checkpoint("rl"))
    summaries = []
    base, sl, rl = job.speakers(*models, beside=1)  # the preference model
    with job.preference(job.checkpoint("preference_model")) as preference:
        past = {"base": (base, None, None), "SL-CAI": (sl, base, None), "RL-CAI": (rl, base, sl)}
        for model in MODELS:
            policy, *references = past[model]
            stage = Evaluate(model, policy, references[0], references[1], preference, recipe.evaluate, job.seed)
            summaries.append(walk(job, stage, prompts, Measurement, [base, sl, rl], f"evaluate {model}"))
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
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    "report": _report,
}
assert RUNNERS.keys() == STAGES.keys()
