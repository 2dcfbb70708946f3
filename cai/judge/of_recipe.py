"""The judge that a recipe names: of stage `compare`, and of the suites of an evaluation."""

from __future__ import annotations

from typing import Any

from cai.engines.base import Speaker
from cai.evaluation_config import HhhConfig, WinRatesConfig
from cai.evaluation_material import examples, judge_model, rules, tags_of
from cai.judge.judge import Judge
from cai.material import Material
from cai.models import ModelConfig
from cai.records import Kind


def judge_of(material: Material, feedback: Speaker, seed: int | None = None) -> Judge:
    """The judge of stage `compare`, in the words that the feedback model is shown; `seed`: none: the run's."""
    config, shown = material.recipe.compare, material.constitution_for(material.recipe.models.feedback)
    drawn_by = material.recipe.seed if seed is None else seed
    return Judge(feedback, shown, material.comparison_examples, config.judge, config.tags, drawn_by)


def suite_judge(
    material: Material, config: WinRatesConfig | HhhConfig, model: ModelConfig, speaker: Speaker, kind: Kind
) -> Judge:
    """The judge that compares answers to prompts of one kind in a suite."""
    shown = rules(material, config, model)
    worked = examples(material, config, shown)
    return Judge(speaker, shown, worked, config.judge, tags_of(config)[kind], material.recipe.seed)


def silent(material: Material, model: ModelConfig) -> Speaker:
    """A model to look at: what it would be shown can be rendered, and nobody is there to be asked."""
    nobody: Any = None
    return Speaker(nobody, material.templates(model))


def silent_judge(material: Material) -> Judge:
    """The judge of stage `compare` to look at: it shows what it was asked."""
    return judge_of(material, silent(material, material.recipe.models.feedback))


def silent_suite_judge(material: Material, config: WinRatesConfig, kind: Kind) -> Judge:
    """The judge of suite `win_rates` to look at."""
    model = judge_model(material, config)
    return suite_judge(material, config, model, silent(material, model), kind)
