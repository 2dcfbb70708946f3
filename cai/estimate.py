"""What a step would still cost: calls, tokens, time, disk.

Times come from the rates of finished steps of this stage, with the same engines and models, below the runs folder;
without one, as for the first run on a machine, from `cai.rates` for a laptop and the size of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cai.config import TRAINING, Recipe
from cai.costs import COUNTS, records
from cai.evaluation_config import Asking
from cai.feedback_config import ModelAnswers, RoundAnswers
from cai.material import Material
from cai.models import ModelConfig
from cai.plan import Step
from cai.rates import LAPTOP, tokens_per_second
from cai.store import StepFolder, read_json
from cai.suite_costs import SUITE_COSTS
from cai.weights import parameters

_START = 5.0
"""Seconds until a trainer or a scorer is loaded."""

_BYTES = 4
"""Of a float32 weight."""
_STORED = 16
"""Bytes a token in items.jsonl, about: a reply stands there as text and raw, beside its prompt."""


@dataclass(frozen=True)
class Work:
    """What is left of a step. `seconds` and `disk` (bytes kept) are None where the model's size is not known.

    `measured`: the seconds come from an earlier run, and not from the built-in rates.
    """

    calls: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    seconds: float | None = 0.0
    disk: int | None = 0
    measured: bool = False


def estimate(step: Step, material: Material, runs: Path) -> Work:
    """The work that is left of one step; nothing where it is done."""
    if step.folder.done:
        return Work()
    calls, prompt_tokens, tokens = COUNTS[step.stage](material)
    left = _left(step, material)
    calls, prompt_tokens, tokens = (round(count * left) for count in (calls, prompt_tokens, tokens))
    rate = _measured(step.stage, material.recipe, runs)
    seconds = _seconds(step.stage, material.recipe, rate, calls, tokens)
    return Work(calls, prompt_tokens, tokens, seconds, _disk(step.stage, tokens, material), rate is not None)


def checkpoints_needed(material: Material) -> int | None:
    """Bytes on disk while a stage trains, given back at its end: two checkpoints of weights and optimizer moments."""
    size = parameters(material.recipe.models.pretrained.model)
    return None if size is None else 2 * 3 * size * _BYTES


_ASKED = {
    "respond": ("helpful",),
    "revise": ("assistant",),
    "ablate": ("assistant",),
    "distill": ("assistant",),
    "ghost": ("assistant",),
}
"""The parts that a stage asks; `compare` asks as its settings say, any other stage the finetuned model alone."""


def _left(step: Step, material: Material) -> float:
    """The share of a data stage's records that are not stored yet."""
    total = records(step.stage, material)
    return max(0.0, 1 - step.folder.count() / total) if total else 1.0


def _seconds(stage: str, recipe: Recipe, rate: float | None, calls: int, tokens: int) -> float | None:
    """None where nothing tells: rates are of tokens written, and a judge of answers that are there writes none."""
    if stage not in TRAINING and all(recipe.engine_of(model).type == "scripted" for model in _models(stage, recipe)):
        return 0.0
    if not tokens:
        return None if calls else _START
    if rate:
        return tokens / rate
    assumed = _assumed(stage, recipe)
    return assumed and tokens / assumed + (_START if stage in TRAINING else 0)


def _measured(stage: str, recipe: Recipe, runs: Path) -> float | None:
    """Tokens a second of the newest finished step of this stage with the same engines and models."""
    done = sorted(runs.glob(f"*/{stage}-*/DONE"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in done:
        summary = read_json(path)
        if summary.get("tokens") and summary["seconds"] and _like(stage, recipe, StepFolder(path.parent).spec):
            return summary["tokens"] / summary["seconds"]
    return None


def _like(stage: str, recipe: Recipe, spec: dict[str, Any]) -> bool:
    """Whether a finished step ran what this recipe would run; no where another version of cai wrote it."""
    try:
        other = Recipe.model_validate(spec.get("recipe"))
    except ValidationError:
        return False
    return _machinery(stage, other) == _machinery(stage, recipe)


def _machinery(stage: str, recipe: Recipe) -> list[tuple[str, str]]:
    """What a stage's speed depends on: models, the engines through which they are asked, and how a judge is."""
    engines = [recipe.engine_of(model).type if stage not in TRAINING else "" for model in _models(stage, recipe)]
    judged = [(recipe.compare.judge.mode, recipe.compare.answers.type)] if stage == "compare" else []
    return [(engine, model.model) for engine, model in zip(engines, _models(stage, recipe), strict=True)] + judged


def _models(stage: str, recipe: Recipe) -> list[ModelConfig]:
    parts = _compared(recipe) if stage == "compare" else _ASKED.get(stage, ("pretrained",))
    return [getattr(recipe.models, part) for part in parts] if stage not in SUITE_COSTS else _of_suite(stage, recipe)


def _of_suite(stage: str, recipe: Recipe) -> list[ModelConfig]:
    """Those that answer, then those that judge."""
    asking, further = getattr(recipe, stage), list((recipe.guests or {}).values())
    if stage == "guests":
        return further
    judges = [asking.by or recipe.models.feedback] if isinstance(asking, Asking) else [recipe.models.feedback]
    return [*([recipe.models.pretrained, *further] if stage in ("over_refusal", "hhh") else []), *judges]


def _compared(recipe: Recipe) -> list[str]:
    """The parts that answer and judge; a trained model counts as the one that it was made from."""
    answers = recipe.compare.answers
    judges = [] if recipe.compare.certain else ["feedback"]
    if isinstance(answers, RoundAnswers):
        return judges
    named = answers.models if isinstance(answers, ModelAnswers) else ("sft",)
    parts = dict(recipe.models)
    return [name if name in parts else "pretrained" for name in named] + judges


def _assumed(stage: str, recipe: Recipe) -> float | None:
    """The built-in rate of the largest model that the stage uses."""
    sizes = [parameters(model.model) for model in _models(stage, recipe)]
    known = [size for size in sizes if size]
    if len(known) < len(sizes):
        return None
    return tokens_per_second("train" if stage in TRAINING else "write", max(known), LAPTOP)


def _disk(stage: str, tokens: int, material: Material) -> int | None:
    """What a stage leaves: a training stage its model, any other its records."""
    if stage not in TRAINING:
        return tokens * _STORED
    size = parameters(material.recipe.models.pretrained.model)
    return None if size is None else size * _BYTES
