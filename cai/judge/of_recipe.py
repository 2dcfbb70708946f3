"""The judge that a recipe names."""

from __future__ import annotations

from cai.engines.base import Speaker
from cai.judge.judge import Judge
from cai.material import Material


def judge_of(material: Material, feedback: Speaker) -> Judge:
    """The judge of stage `compare`, in the words that the feedback model is shown."""
    config, rules = material.recipe.compare, material.constitution_for(material.recipe.models.feedback)
    return Judge(feedback, rules, material.comparison_examples, config.judge, config.tags, material.recipe.seed)
