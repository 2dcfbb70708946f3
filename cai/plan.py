"""What a recipe will run: its stages in order, each with its parents and the digest that is its address.

A digest covers the settings that change results, the texts and models that go in, and the digests of the parents; it
covers no knob, no path and no version of this program. The report's covers what it shows beside that, knobs included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cai.addressed import engine_of_checkpoints, model_of, names, spoken
from cai.constitution import Use, seen
from cai.contestants import POLICIES
from cai.functions import fingerprint_of
from cai.human import Pair
from cai.identity import digest, digest_all, identity_of
from cai.material import Material
from cai.prompts import Step as PromptStep
from cai.reward_config import FunctionReward, JudgeReward, Llama2Reward, PreferenceModelReward, RewardConfig
from cai.reward_material import facts, own, rules, scorer
from cai.sampling import DrawConfig
from cai.spool import ids_of
from cai.stages.ablate import variants
from cai.store import RunFolder, StepFolder
from cai.suite_inputs import SUITES

FORMAT = 3
"""Raised when a stage begins to yield something else from the same settings."""


@dataclass(frozen=True)
class Step:
    """One stage of a plan. `identity` is what its digest covers beside its parents."""

    stage: str
    parents: tuple[str, ...]
    identity: dict[str, Any]
    digest: str
    folder: StepFolder


Inputs = Callable[[Material], dict[str, Any]]


def plan(material: Material, run: RunFolder) -> dict[str, Step]:
    """All steps of a recipe, by stage, in the order in which they run; an optional one only where it is asked for."""
    steps: dict[str, Step] = {}
    for stage, (able, inputs) in STAGES.items():
        if not material.recipe.runs(stage):
            continue
        parents = tuple(parent for parent in able if parent in steps)
        identity = {"format": FORMAT, "seed": material.recipe.seed, **inputs(material)}
        if "sft" in able and "sft" not in steps:
            identity |= _trained(material)
        name = digest([stage, identity, {parent: steps[parent].digest for parent in parents}])
        steps[stage] = Step(stage, parents, identity, name, run.step(stage, name))
    return steps


def differences(old: Any, new: Any, at: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Where two identities differ: (field, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    elif old != new:
        yield at, old, new


def _respond(material: Material) -> dict[str, Any]:
    recipe = material.recipe
    return {
        "settings": identity_of(recipe.respond),
        **spoken(material, "helpful", recipe.models.helpful, "respond"),
        "prompts": names(material.prompts["helpful"].train),
        "language": material.constitution.language,
    }


def _revise(material: Material) -> dict[str, Any]:
    config = material.recipe.revise
    use: Use = "revision" if config.critique else "direct"
    asked: tuple[PromptStep, ...] = ("critique", "revise") if config.critique else ("direct",)
    checked: tuple[PromptStep, ...] = ("check",) if config.stop is not None else ()
    return {
        "settings": _settings(config),
        **spoken(material, "assistant", material.assistant, "respond", *asked, *checked),
        "prompts": names(material.prompts["harmful"].train),
        "constitution": seen(material.pools(use), use),
        "language": material.constitution.language,
        "few_shot": digest([example.model_dump() for example in material.revision_examples]),
    }


def _ablate(material: Material) -> dict[str, Any]:
    """What the chains share with those of `revise` stands in the digest of that parent."""
    config = material.recipe.ablate
    assert config
    variants(config, material.recipe.revise, material.constitution_for(material.assistant))
    direct = material.templates(material.assistant).digest("direct") if config.direct else None
    return {"settings": identity_of(config), "templates": direct}


def _distill(material: Material) -> dict[str, Any]:
    config = material.recipe.distill
    assert config
    found = ("preference_model", "preamble")
    return {
        "settings": {key: value for key, value in identity_of(config).items() if key not in found},
        "assistant": model_of(material.assistant),
        **spoken(material, "guarded", material.guarded, "respond"),
        "prompts": names(material.prompts["harmful"].train),
        "language": material.constitution.language,
        "scorer": {**model_of(material.scorer), "templates": material.scoring.digest("respond")},
    }


def _ghost(material: Material) -> dict[str, Any]:
    config = material.recipe.ghost
    assert config
    return {
        "settings": {key: value for key, value in identity_of(config).items() if key not in ("instructions", "limit")},
        **spoken(material, "assistant", material.assistant, "respond"),
        "dialogues": digest_all([one.id, one.instruction, *one.questions] for one in material.dialogues),
        "language": material.constitution.language,
    }


def _sft(material: Material) -> dict[str, Any]:
    recipe, settings = material.recipe, identity_of(material.recipe.sft)
    read = [digest_all(digest([prompt.id, answer]) for prompt, answer in one) for one in material.demonstrations]
    settings["demonstrations"] = read
    return {"settings": settings, "select": identity_of(recipe.select), **_trained(material)}


def _compare(material: Material) -> dict[str, Any]:
    recipe = material.recipe
    config, examples = identity_of(recipe.compare), material.comparison_examples
    config["judge"].pop("few_shot_file", None)  # what the file holds counts, and not where it lies
    return {
        "settings": config,
        **spoken(material, "feedback", recipe.models.feedback, *recipe.compare.judge.steps),
        "paired": {name: model_of(model) for name, model in material.paired.items()},
        "sampler": engine_of_checkpoints(material),
        "prompts": names(material.prompts["harmful"].train),
        "constitution": [seen(material.pools(use), use) for use in material.judged_by],
        "opening": material.constitution.opening,
        "few_shot": digest([example.model_dump() for example in examples]),
    }


def _preference_model(material: Material, stage: str = "preference_model") -> dict[str, Any]:
    """Whose comparisons count by what they say, and not by where they lie."""
    config = identity_of(material.recipe.preference_models[stage])
    read = [_told(pairs.pairs[: source.limit]) for source, pairs in material.human_pairs[stage]]
    human = [{**source, "pairs": told} for source, told in zip(config["human"], read, strict=True)]
    return {"settings": {**config, "human": human}}


def _told(pairs: Iterable[Pair]) -> str:
    """Names labelled pairs by their texts and labels."""
    return digest_all(digest([one.prompt.id, one.chosen, one.rejected, one.rating, one.p]) for one in pairs)


def _dpo(material: Material) -> dict[str, Any]:
    assert material.recipe.dpo
    return {"settings": identity_of(material.recipe.dpo)}


def _rl(material: Material) -> dict[str, Any]:
    config = material.recipe.rl
    prompts = {kind: digest_all(ids_of(asked)) for kind, asked in material.rl_prompts.items()}
    elsewhere = {"rewards", "prompts", *(() if config.panel else ("panel",))}
    settings = {key: value for key, value in identity_of(config).items() if key not in elsewhere}
    rewards = [{**identity_of(one), **_reward(material, one)} for one in config.rewards]
    texts = {"pretraining": digest_all(material.pretraining)} if material.pretraining else {}
    panel = {"panel": digest_all(prompt.id for prompt in material.panel)} if config.panel else {}
    return {"settings": settings, "rewards": rewards, "prompts": prompts, **texts, **panel}


def _reward(material: Material, config: RewardConfig) -> dict[str, Any]:
    """What a reward depends on, wherever it lies; a model of this run stands in the digest of that parent."""
    if isinstance(config, PreferenceModelReward):
        return {"model": _scorer(material, config.model)}
    if isinstance(config, Llama2Reward):
        return {"safety": _scorer(material, config.safety), "helpfulness": _scorer(material, config.helpfulness)}
    if isinstance(config, FunctionReward):
        code = fingerprint_of(config.function, material.beside)
        return {"code": code, "facts": digest(list(facts(material).values()))}
    if isinstance(config, JudgeReward):
        told = spoken(material, "feedback", material.recipe.models.feedback, *config.judge.steps)
        return {**told, "constitution": seen([rules(material, config)[1]], config.use)}
    return {}


def _scorer(material: Material, name: str) -> str | dict[str, Any]:
    if own(material, name):
        return name
    found = scorer(material, name)
    return {**model_of(found.model), "templates": found.templates.digest("respond")}


def _score_rounds(material: Material) -> dict[str, Any]:
    return {}


def _evaluate(material: Material) -> dict[str, Any]:
    prompts = {kind: names(split.held_out) for kind, split in material.prompts.items()}
    settings, engine = identity_of(material.recipe.evaluate), engine_of_checkpoints(material)
    return {"settings": settings, "engine": engine, "prompts": prompts}


def _report(material: Material) -> dict[str, Any]:
    recipe = material.recipe
    knobs = {"report": recipe.report.model_dump(), "bootstrap": recipe.evaluate.bootstrap}
    shown = {"name": recipe.name, "description": recipe.description, **knobs}
    return {"shown": shown, "constitution": digest(material.constitution.model_dump())}


STAGES: dict[str, tuple[tuple[str, ...], Inputs]] = {
    "respond": ((), _respond),
    "revise": ((), _revise),
    "ablate": (("revise",), _ablate),
    "distill": ((), _distill),
    "ghost": ((), _ghost),
    "sft": (("respond", "revise", "distill", "ghost"), _sft),
    "compare": (("revise", "sft"), _compare),
    "preference_model": (("sft", "compare"), _preference_model),
    "helpfulness_model": (("sft",), partial(_preference_model, stage="helpfulness_model")),
    "dpo": (("sft", "compare"), _dpo),
    "rejection_sampling": (("sft", "preference_model", "helpfulness_model"), lambda material: _rl(material.sampled)),
    "rl": (("sft", "preference_model", "helpfulness_model", "rejection_sampling"), _rl),
    "score_rounds": (("revise", "ablate", "sft", "preference_model"), _score_rounds),
    "evaluate": ((*POLICIES, "preference_model"), _evaluate),
    **SUITES,
    "report": (
        ("respond", "revise", "distill", "ablate", "compare", "helpfulness_model", "score_rounds", "evaluate", *SUITES),
        _report,
    ),
}
"""The stages of a run: what each is made from, and which settings and texts go into it."""


def _settings(config: DrawConfig) -> dict[str, Any]:
    """The settings of a stage with examples: what the file holds counts, and not where it lies."""
    return {key: value for key, value in identity_of(config).items() if key != "few_shot_file"}


def _trained(material: Material) -> dict[str, Any]:
    """The model that is finetuned: its dialect is that of every model made from it."""
    model = material.recipe.models.pretrained
    return {"pretrained": model_of(model), "templates": material.templates(model).digest("respond")}
