"""How much memory each stage takes at its peak: the models that it holds at once, and what training adds to them.

A model whose every weight is trained comes with a gradient and two optimizer moments; one beside which an adapter is
trained with next to nothing. On a GPU, which a recipe names by `train.gpu_gb`, frozen weights rest in bfloat16, and
weights that are trained are multiplied as bfloat16 copies. Activations and key-value caches are not counted but for a
gigabyte: they depend on `micro_batch`, lengths and `gradient_checkpointing`.
"""

from __future__ import annotations

from typing import Any

from cai.config import Recipe
from cai.contestants import TRAINED
from cai.engine_config import TransformersEngine, VllmEngine
from cai.material import Material
from cai.models import ModelConfig
from cai.reward_config import JudgeReward, Llama2Reward, PreferenceModelReward
from cai.rl_config import BestOfNConfig, PpoConfig
from cai.weights import parameters

HUB = {
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
}
"""Parameters of the hub's models that the recipes name: a plan is made before anything is fetched."""

_BYTES = 4
"""Of a float32 weight."""
_ROOM = 1e9
_TRAINED, _HELD = 4.0, 1.0
"""Copies of a model's weights: itself, gradient and two moments; or itself alone."""
_ADAPTED = 0.05
"""What an adapter of the usual rank adds, with gradient and moments, at most."""
_CAST = 0.5
"""The copy in bfloat16 that mixed precision keeps of weights that are trained, through a forward pass."""
_ENGINE = 1.2
"""Memory that an engine takes, as a multiple of its weights."""


def memory_needed(material: Material) -> int | None:
    """Bytes at the peak of the run; None where the size of the model that is trained is not known."""
    return max(memory_by_stage(material).values(), default=None)


def memory_by_stage(material: Material) -> dict[str, int]:
    """Bytes at the peak of each stage that trains, and of `evaluate`; nothing where the model's size is not known."""
    recipe, size = material.recipe, _size(material.recipe.models.pretrained)
    if size is None:
        return {}
    held = {stage: copies(stage, recipe) * size * _BYTES for stage in _COPIES if recipe.runs(stage)}
    for stage in ("rejection_sampling", "rl"):
        if stage in held:
            held[stage] += _judge(recipe)
    held["evaluate"] = size * _BYTES + _evaluated(recipe)
    return {stage: round(count + _ROOM) for stage, count in held.items()}


def too_large(material: Material) -> dict[str, int]:
    """Of `memory_by_stage` what the GPU that the recipe names can't hold; nothing where it names none."""
    most = material.recipe.train.gpu_gb
    return {stage: need for stage, need in memory_by_stage(material).items() if most and need > most * 1e9}


def copies(stage: str, recipe: Recipe) -> float:
    """How many times the float32 weights of the model that is finetuned a stage holds, a judge's not counted."""
    return _COPIES[stage](recipe)


def _size(model: ModelConfig) -> int | None:
    return parameters(model.model) or HUB.get(model.model)


def _judge(recipe: Recipe) -> float:
    """The feedback model, where it rewards answers: beside the policy and the model that it is held to."""
    judged = any(isinstance(one, JudgeReward) for one in recipe.rl.rewards)
    return _asked(recipe, recipe.models.feedback, 1 / 3) if judged else 0.0


def _evaluated(recipe: Recipe) -> float:
    """The engines of all models of the run, which are open at once beside the preference model."""
    count = 1 + sum(recipe.runs(stage) for stage in TRAINED.values())
    return count * _asked(recipe, recipe.models.pretrained, 1 / (count + 1))


def _asked(recipe: Recipe, model: ModelConfig, share: float) -> float:
    """Bytes of an engine that may take this share of a GPU. vLLM takes all of it; 0: the model runs elsewhere."""
    engine, gpu = recipe.engine_of(model), recipe.train.gpu_gb
    if not isinstance(engine, TransformersEngine | VllmEngine):
        return 0.0
    wide = engine.dtype == "float32" or (engine.dtype == "auto" and not gpu)
    weights = (_size(model) or 0) * (4 if wide else 2) * _ENGINE
    if isinstance(engine, VllmEngine) and gpu:
        return max(weights, (engine.gpu_memory_utilization or 0.9 * share) * gpu * 1e9)
    return weights


def _whole(recipe: Recipe) -> float:
    """A model whose every weight is trained."""
    return _TRAINED + (_CAST if recipe.train.gpu_gb else 0.0)


def _learner(config: Any, recipe: Recipe) -> float:
    """The model that is trained."""
    if config.adapter is None:
        return _whole(recipe)
    return _HELD * (config.adapter.bits or (16 if recipe.train.gpu_gb else 32)) / 32 + _ADAPTED


def _reference(config: Any) -> float:
    """What the trained model is held to: a copy of its start, or itself without its adapter."""
    return _HELD if config.adapter is None else 0.0


def _dpo(recipe: Recipe) -> float:
    """The reference is read before training begins, by the model itself."""
    return _learner(recipe.dpo, recipe)


def _rl(recipe: Recipe) -> float:
    config = recipe.rl
    if isinstance(config, BestOfNConfig):
        return _whole(recipe) + _scorers(recipe)
    beside = _beside(config, recipe) if isinstance(config, PpoConfig) else 0.0
    return _learner(config, recipe) + _reference(config) + beside + _scorers(recipe)


def _beside(config: PpoConfig, recipe: Recipe) -> float:
    """A critic of its own, and the running mean of all weights; that of an adapter is next to nothing."""
    critic = _whole(recipe) if config.critic == "separate" else 0.0
    return critic + (_HELD if config.ema and config.adapter is None else 0.0)


def _scorers(recipe: Recipe) -> float:
    """The preference models among the rewards, taken to be as large as the policy."""
    asked = [one for one in recipe.rl.rewards if isinstance(one, PreferenceModelReward | Llama2Reward)]
    return _HELD * sum(len(one.models) for one in asked)


_COPIES = {
    "sft": lambda recipe: _learner(recipe.sft, recipe),
    "preference_model": lambda recipe: _learner(recipe.preference_model, recipe),
    "helpfulness_model": lambda recipe: _learner(recipe.helpfulness_model, recipe),
    "dpo": _dpo,
    "rejection_sampling": lambda recipe: _rl(recipe.sampled),
    "rl": _rl,
}
"""Of each stage that trains."""
