"""How much memory training takes at its peak: the models that a stage holds at once, and what training adds to them.

A model whose every weight is trained comes with a gradient and two optimizer moments; one beside which an adapter is
trained with next to nothing. Activations are not counted but for a gigabyte: they depend on `micro_batch` and lengths.
"""

from __future__ import annotations

from typing import Any

from cai.config import Recipe
from cai.material import Material
from cai.reward_config import Llama2Reward, PreferenceModelReward
from cai.rl_config import BestOfNConfig, PpoConfig
from cai.weights import parameters

_BYTES = 4
"""Of a float32 weight."""
_ROOM = 1e9
_TRAINED, _HELD = 4.0, 1.0
"""Copies of a model's weights: itself, gradient and two moments; or itself alone."""
_ADAPTED = 0.05
"""What an adapter of the usual rank adds, with gradient and moments, at most."""


def memory_needed(material: Material) -> int | None:
    """Bytes at the peak of the stages that train; None where the model's size is not known."""
    size = parameters(material.recipe.models.pretrained.model)
    held = max(copies(stage, material.recipe) for stage in _COPIES if material.recipe.runs(stage))
    return None if size is None else round(size * _BYTES * held + _ROOM)


def copies(stage: str, recipe: Recipe) -> float:
    """How many times the weights of the model that is finetuned a stage holds."""
    return _COPIES[stage](recipe)


def _learner(config: Any) -> float:
    """The model that is trained."""
    if config.adapter is None:
        return _TRAINED
    return _HELD * (config.adapter.bits or 32) / 32 + _ADAPTED


def _reference(config: Any) -> float:
    """What the trained model is held to: a copy of its start, or itself without its adapter."""
    return _HELD if config.adapter is None else 0.0


def _dpo(recipe: Recipe) -> float:
    """The reference is read before training begins, by the model itself."""
    return _learner(recipe.dpo)


def _rl(recipe: Recipe) -> float:
    config = recipe.rl
    if isinstance(config, BestOfNConfig):
        return _TRAINED + _scorers(recipe)
    critic = (_TRAINED if config.critic == "separate" else 0.0) if isinstance(config, PpoConfig) else 0.0
    return _learner(config) + _reference(config) + critic + _scorers(recipe)


def _scorers(recipe: Recipe) -> float:
    """The preference models among the rewards, taken to be as large as the policy."""
    asked = [one for one in recipe.rl.rewards if isinstance(one, PreferenceModelReward | Llama2Reward)]
    return _HELD * sum(len(one.models) for one in asked)


_COPIES = {
    "sft": lambda recipe: _learner(recipe.sft),
    "preference_model": lambda recipe: _learner(recipe.preference_model),
    "helpfulness_model": lambda recipe: _learner(recipe.helpfulness_model),
    "dpo": _dpo,
    "rejection_sampling": lambda recipe: _rl(recipe.sampled),
    "rl": _rl,
}
"""Of each stage that trains."""
