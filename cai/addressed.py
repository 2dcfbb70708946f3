"""What of a model, an engine or a list of prompts is part of a stage's address."""

from __future__ import annotations

from typing import Any

from cai.identity import digest_all, identity_of
from cai.material import Material
from cai.models import ModelConfig
from cai.prompts import Step as PromptStep
from cai.spool import Prompts
from cai.weights import fingerprint


def spoken(material: Material, part: str, model: ModelConfig, *steps: PromptStep) -> dict[str, Any]:
    """A model, what it is asked by, and through which engine."""
    return {
        part: model_of(model),
        "templates": material.templates(model).digest(*steps),
        "engine": identity_of(material.recipe.engine_of(model)),
    }


def engine_of_checkpoints(material: Material) -> dict[str, Any]:
    """SL-CAI and RL-CAI are asked through the engine of the model they come from."""
    return identity_of(material.recipe.engine_of(material.recipe.models.pretrained))


def model_of(model: ModelConfig) -> dict[str, Any]:
    """A model by its weights, wherever they lie, and how it is spoken to."""
    adapter = model.adapter and fingerprint(model.adapter)
    told = {"dialect": model.dialect, "system": model.system, "thinking": model.thinking}
    return {"weights": fingerprint(model.model), "adapter": adapter, **told}


def names(prompts: Prompts) -> str:
    """Prompts by their content and order."""
    return digest_all(prompts.ids)
