"""The command on evaluations: their figures, further models and suites, another run beside, lm-eval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from shlex import join
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from cai.against import allowances, falls
from cai.commands.evaluation_tables import print_evaluation
from cai.config import Recipe, stored_recipe
from cai.contestants import TRAINED, in_order
from cai.errors import InputError
from cai.evaluated import SUITES, evaluation_of
from cai.evaluation import Evaluation
from cai.lm_eval import command
from cai.lm_eval import run as run_harness
from cai.material import Material
from cai.models import ModelConfig
from cai.plan import plan
from cai.store import RunFolder
from cai.suite_inputs import SUITES as ADDED
from cai.terminal import say
from cai.weights import resolve

FELL = 6
"""The exit code where a figure fell by more than is allowed."""


def evaluate(
    console: Console,
    run: str,
    runs: Path,
    models: Sequence[str],
    suites: Sequence[str],
    pairs: str | None,
    against: str | None,
    drops: Sequence[str],
    as_json: bool,
) -> int:
    """Prints the figures of a run, once the models and suites that are asked for have joined. Returns the exit code.

    Raises InputError, EngineError.
    """
    allowed = allowances(drops)
    if allowed and not against:
        raise InputError("--max-drop: says how far a figure may fall below that of another run; give it --against RUN")
    aside = Console(stderr=True) if as_json else console
    if models or suites:
        _join(aside, RunFolder(runs, run), _joined(RunFolder(runs, run), models, suites, pairs))
    found = _read(runs, run)
    compared = _compared(runs, found, against, allowed) if against else []
    if as_json:
        told = [{"metric": one.metric, "model": one.model, "said": one.sentence, **_values(one)} for one in compared]
        console.print_json(json.dumps({**found.as_json(), **({"against": told} if against else {})}))
    else:
        print_evaluation(console, found)
        for one in compared:
            say(console, one.sentence)
    return FELL if any(one.too_far for one in compared) else 0


def lm_eval(console: Console, run: str, runs: Path, tasks: str, model: str | None, dry: bool) -> None:
    """Prints the command line that runs tasks on a model of the run, and runs it. Raises InputError, EngineError."""
    folder = RunFolder(runs, run)
    name, config = _checkpoint(folder, model)
    line = command(config, tasks, folder.path / "lm_eval" / name)
    say(console, join(line))
    if not dry:
        resolve(config.model)
        run_harness(line)


def _checkpoint(folder: RunFolder, asked: str | None) -> tuple[str, ModelConfig]:
    """A model that the run trained, by name or stage; the last one where none is asked for."""
    base, steps = stored_recipe(folder.recipe, folder.name).models.pretrained, folder.steps
    left = {
        name: steps[stage].path / "model" for name, stage in TRAINED.items() if stage in steps and steps[stage].done
    }
    found = {"base": base, **{name: base.model_copy(update={"model": str(path)}) for name, path in left.items()}}
    stages = {stage: name for name, stage in TRAINED.items()}
    name = stages.get(asked, asked) if asked else list(found)[-1]
    if name not in found:
        raise InputError(f"--model {asked}: run {folder.name!r} has no such model; it has {', '.join(found)}")
    return name, found[name]


def _values(one: Any) -> dict[str, Any]:
    estimate = one.change.estimate
    return {
        "change": estimate.value,
        "interval": [estimate.low, estimate.high],
        "n": estimate.n,
        "allowed": one.allowed,
        "fell_too_far": one.too_far,
    }


def _read(runs: Path, run: str) -> Evaluation:
    folder = RunFolder(runs, run)
    steps, recipe = folder.steps, stored_recipe(folder.recipe, run)
    if "evaluate" not in steps or not steps["evaluate"].done:
        raise InputError(f"run {run!r} has no evaluation yet; end it first: cai run RECIPE")
    return evaluation_of(steps, recipe.evaluate.bootstrap)


def _compared(runs: Path, ours: Evaluation, other: str, allowed: dict[str, float]) -> list[Any]:
    theirs = _read(runs, other)
    both = _models(ours) & _models(theirs)
    return falls(ours, theirs, in_order(both), allowed, ours.resamples)


def _models(found: Evaluation) -> set[str]:
    return {one.model for one in found.measurements}


def _joined(folder: RunFolder, models: Sequence[str], suites: Sequence[str], pairs: str | None) -> Recipe:
    """The recipe of the run with what is asked for. Raises InputError."""
    settings = dict(stored_recipe(folder.recipe, folder.name).model_dump())
    if models:
        settings["guests"] = {**(settings["guests"] or {}), **dict(map(_named, models))}
    for suite in suites:
        if suite not in SUITES:
            raise InputError(f"--suite {suite}: expected one of {', '.join(SUITES)}")
        settings[suite] = settings[suite] or _default(suite, pairs)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _named(given: str) -> tuple[str, str]:
    name, _, model = given.partition("=")
    if not name or not model:
        raise InputError(f"--model {given}: expected NAME=MODEL, such as mistral=mistralai/Mistral-7B-Instruct-v0.3")
    return name, model


def _default(suite: str, pairs: str | None) -> dict[str, Any]:
    if suite != "hhh":
        return {}
    if pairs is None:
        raise InputError("--suite hhh: needs comparisons that people made; give it --pairs FILE")
    return {"pairs": pairs}


def _join(console: Console, folder: RunFolder, recipe: Recipe) -> None:
    """Runs what is new of the evaluation, and the report. Raises InputError where the run itself is not done."""
    from cai.pipeline import run
    from cai.progress import Reporter

    material = Material(recipe, None, folder.root)
    steps = plan(material, folder)
    lacking = [stage for stage, step in steps.items() if stage not in (*ADDED, "report") and not step.folder.done]
    if lacking:
        raise InputError(
            f"run {folder.name!r} has not done {', '.join(lacking)} as its recipe now stands (another version of cai, "
            "or files that changed?); run its recipe first: cai run RECIPE"
        )
    run(material, folder, Reporter(console))
