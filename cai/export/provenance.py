"""What made a run: the models and what each wrote, the stages, and what of it names this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.config import Recipe
from cai.export.source import Source
from cai.models import ModelConfig
from cai.stages.report_caveats import parameters_text
from cai.store import StepFolder
from cai.weights import parameters

_DOES = {
    "assistant": "answers red-team prompts, criticises its answers and revises them",
    "helpful": "answers helpful prompts",
    "pretrained": "is finetuned into the SL-CAI model",
    "feedback": "judges the pairs",
}


@dataclass(frozen=True)
class Player:
    """A model and what it did. `size`: its parameters, in words."""

    part: str
    does: str
    model: str
    size: str
    engine: str


@dataclass(frozen=True)
class Stage:
    """A finished stage. `begun`: when, where its log tells."""

    name: str
    digest: str
    begun: str
    version: str


def players(recipe: Recipe) -> list[Player]:
    """The models of a run by the part they play."""
    played = [part for part in _DOES if part != "feedback" or not recipe.compare.certain]
    return [_player(recipe, part, model) for part, model in recipe.models if part in played]


def stages(source: Source) -> list[Stage]:
    """The finished stages of a run, in their order."""
    return [_stage(name, step) for name, step in source.done.items()]


def public(name: str) -> str:
    """A name that says nothing of this machine: of a path, the last part."""
    return Path(name).name if _tells(name) else name


def private(recipe: Recipe) -> list[str]:
    """Paths and addresses in a recipe, which tell of the machine that it ran on."""
    return sorted({text for text in _texts(recipe.model_dump()) if _tells(text)})


def _player(recipe: Recipe, part: str, model: ModelConfig) -> Player:
    size = parameters_text(parameters(model.model))
    paired = part == "pretrained" and recipe.compare.answers.type in ("samples", "contrastive")
    does = f"{_DOES[part]}, which writes the pairs of answers" if paired else _DOES[part]
    return Player(part, does, public(model.model), size, recipe.engine_of(model).type)


def _stage(name: str, step: StepFolder) -> Stage:
    spec, log = step.spec, step.path / "log.txt"
    begun = log.read_text("utf-8").split(maxsplit=1)[:1] if log.is_file() else []
    return Stage(name, spec["digest"], "".join(begun), spec["versions"]["cai"])


def _tells(text: str) -> bool:
    return "://" in text or text.startswith(("~", "./", "../")) or Path(text).is_absolute()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
