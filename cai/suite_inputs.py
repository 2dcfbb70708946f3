"""What goes into each suite of an evaluation: its settings, texts and models, for the digest of its stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cai.addressed import engine_of_checkpoints, names, spoken
from cai.constitution import seen
from cai.contestants import POLICIES
from cai.evaluation_config import HhhConfig, WinRatesConfig
from cai.evaluation_material import (
    asked,
    examples,
    guests,
    hhh_pairs,
    judge_model,
    labelled_answers,
    rules,
    tags_of,
)
from cai.identity import digest, digest_all, identity_of
from cai.material import Material
from cai.models import ModelConfig
from cai.prompts import Step

_FOUND = ("by", "constitution", "tags", "pairs", "prompts", "limit")
"""Settings that name what counts by what it holds."""


def _guests(material: Material) -> dict[str, Any]:
    recipe = material.recipe
    prompts = {kind: names(split.held_out) for kind, split in material.prompts.items()}
    return {"settings": identity_of(recipe.evaluate), "prompts": prompts, "guests": _answering(material, "respond")}


def _answering(material: Material, *steps: Step) -> dict[str, Any]:
    """The guests, by what they are and what they are asked."""
    return {name: spoken(material, "model", model, *steps) for name, model in guests(material).items()}


def _win_rates(material: Material) -> dict[str, Any]:
    config = material.recipe.win_rates
    assert config
    model = judge_model(material, config)
    return {**judged(material, config, model), **spoken(material, "judge", model, *config.judge.steps)}


def judged(material: Material, config: WinRatesConfig | HhhConfig, model: ModelConfig) -> dict[str, Any]:
    """How a judge is asked: what the files hold counts, and not where they lie."""
    settings = identity_of(config)
    settings["judge"].pop("few_shot_file", None)
    shown = rules(material, config, model)
    use = config.judge.use
    pools = [seen([shown.able(use, tags=tags)], use) for tags in tags_of(config).values()]
    return {
        "settings": {
            key: value for key, value in settings.items() if key not in ("by", "constitution", "tags", "pairs")
        },
        "constitution": pools,
        "opening": shown.opening,
        "few_shot": digest([example.model_dump() for example in examples(material, config, shown)]),
    }


def _harmfulness(material: Material) -> dict[str, Any]:
    config = material.recipe.harmfulness
    assert config
    return spoken(material, "judge", judge_model(material, config), "harm")


def _refusals(material: Material) -> dict[str, Any]:
    config = material.recipe.refusals
    assert config
    labelled = digest_all([one.id, one.truth] for one in labelled_answers(material))
    model = judge_model(material, config)
    return {**spoken(material, "judge", model, "refusal", "evasion"), "labelled": labelled}


def _over_refusal(material: Material) -> dict[str, Any]:
    config = material.recipe.over_refusal
    assert config
    settings = {key: value for key, value in identity_of(config).items() if key not in _FOUND}
    return {
        **spoken(material, "judge", judge_model(material, config), "refusal", "evasion"),
        "settings": settings,
        "sampler": engine_of_checkpoints(material),
        "guests": _answering(material, "respond"),
        "prompts": digest([[one.prompt.id, one.safe, one.type] for one in asked(material)]),
    }


def _hhh(material: Material) -> dict[str, Any]:
    """Each model chooses for itself, the judge of the run among them."""
    config, recipe = material.recipe.hhh, material.recipe
    assert config
    pairs = digest_all(
        [one.prompt.id, one.chosen, one.rejected, one.category, one.p] for one in hhh_pairs(material).pairs
    )
    pretrained = recipe.models.pretrained
    return {
        **judged(material, config, pretrained),
        **spoken(material, "pretrained", pretrained, *config.judge.steps),
        "feedback": spoken(material, "model", recipe.models.feedback, *config.judge.steps),
        "guests": _answering(material, *config.judge.steps),
        "scored": material.templates(pretrained).digest("respond"),
        "pairs": pairs,
        "limit": config.limit,
    }


SUITES: dict[str, tuple[tuple[str, ...], Callable[[Material], dict[str, Any]]]] = {
    "guests": (("preference_model",), _guests),
    "win_rates": (("evaluate", "guests"), _win_rates),
    "harmfulness": (("evaluate", "guests"), _harmfulness),
    "refusals": (("evaluate", "guests"), _refusals),
    "over_refusal": (POLICIES, _over_refusal),
    "hhh": ((*POLICIES, "preference_model", "helpfulness_model"), _hhh),
}
"""The suites, each with its parents; all of them run only where the recipe has settings for them."""
