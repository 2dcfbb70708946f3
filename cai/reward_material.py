"""What the rewards of a recipe name, found and checked: preference models, principles, and what prompts' files say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.checkpoints import preference_model
from cai.constitution import Constitution, Principle
from cai.errors import InputError
from cai.material import Material
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.questions import COLUMNS, rows
from cai.reward_config import OWN, FunctionReward, JudgeReward, PreferenceModelReward


@dataclass(frozen=True)
class Scorer:
    """A preference model that another run trained, and what it is shown a prompt by."""

    model: ModelConfig
    templates: Templates


def own(material: Material, name: str) -> bool:
    """Whether a preference model is one that this run trains. Raises InputError where the run has no such stage."""
    if name in OWN and name not in material.recipe.preference_models:
        raise InputError(
            f"rl.rewards: this run trains no {name}; give the recipe `{name}: {{human: [...]}}`, or name a model of an "
            "earlier run, such as old-run/preference_model"
        )
    return name in OWN


def critic(material: Material) -> str | None:
    """The stage of the preference model of this run that PPO's critic begins as: the first that rewards the answers.

    One of weight 0 only watches, and one below 0 is a penalty: values that began as that would foresee another reward.
    """
    rewards = [one for one in material.recipe.rl.rewards if isinstance(one, PreferenceModelReward) and one.weight > 0]
    return next((one.model for one in rewards if own(material, one.model)), None)


def scorer(material: Material, name: str) -> Scorer:
    """A preference model of another run, spoken to as it was trained; one of an unknown folder as the model here.

    Raises InputError where there is none of that name.
    """
    if name.partition("/")[0] == material.recipe.name and not Path(name).is_dir():
        raise InputError(f"rl.rewards: {name} is of this very run; name it by its stage alone: {' or '.join(OWN)}")
    found = preference_model(name, material.runs)
    known = found.recipe or material.recipe
    model = known.models.pretrained.model_copy(update={"model": str(found.folder)})
    if found.recipe is None:
        return Scorer(model, material.templates(model))
    return Scorer(model, Templates(model.dialect, Path(known.templates) if known.templates else None, model.system))


def rules(material: Material, config: JudgeReward) -> tuple[Constitution, tuple[Principle, ...]]:
    """The rules in the judge's words, and the principles that can be drawn. Raises InputError where there is none."""
    found = material.constitution_for(material.recipe.models.feedback)
    found.draw(config.use, 0, tags=config.tags)
    return found, found.able(config.use, tags=config.tags)


def facts(material: Material) -> dict[str, dict[str, Any]]:
    """What the prompts' files say beside each prompt, by its source; nothing where no function asks for it.

    These are all columns but those that can hold a prompt.
    """
    config, own = material.recipe.rl, material.recipe.prompts
    if not any(isinstance(one, FunctionReward) for one in config.rewards):
        return {}
    files = dict.fromkeys((own.harmful, own.helpful, *(source.prompts for source in config.prompts)))
    return {
        f"{spec}{where}": {key: row[key] for key in row if key not in COLUMNS}
        for spec in files
        for where, row in rows(spec, material.beside)[1]
    }
