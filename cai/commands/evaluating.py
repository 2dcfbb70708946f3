"""The command on evaluations: their figures, another run beside, lm-eval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join as command_line
from typing import Any

from rich.console import Console

from cai.against import Fall, allowances, falls
from cai.commands.evaluation_tables import print_evaluation
from cai.commands.joining import join, joined
from cai.config import stored_recipe
from cai.contestants import MODELS, TRAINED, in_order
from cai.differences import differences
from cai.errors import InputError
from cai.evaluated import SUITES, evaluation_of
from cai.evaluation import Evaluation
from cai.lm_eval import command
from cai.lm_eval import run as run_harness
from cai.models import ModelConfig
from cai.store import RunFolder
from cai.terminal import say
from cai.weights import resolve

FELL = 6
"""The exit code where a figure fell by more than is allowed."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks of an evaluation."""

    models: Sequence[str] = ()
    suites: Sequence[str] = ()
    pairs: str | None = None
    against: str | None = None
    drops: Sequence[str] = ()
    lm_eval: str | None = None
    dry: bool = False
    as_json: bool = False

    def check(self) -> None:
        """Raises InputError for an option that would do nothing."""
        beside = {
            "--suite": self.suites,
            "--pairs": self.pairs,
            "--against": self.against,
            "--max-drop": self.drops,
            "--json": self.as_json,
        }
        if self.lm_eval and (unused := [name for name, given in beside.items() if given]):
            raise InputError(f"--lm-eval: runs tasks on a checkpoint and nothing else; leave out {', '.join(unused)}")
        if self.lm_eval and len(self.models) > 1:
            raise InputError(f"--lm-eval: takes one --model, found {len(self.models)}")
        if self.dry and not self.lm_eval:
            raise InputError("--dry: goes with --lm-eval, whose command line it prints")
        if self.pairs and "hhh" not in self.suites:
            raise InputError("--pairs: goes with --suite hhh, which asks about them")
        if self.drops and not self.against:
            raise InputError(
                "--max-drop: says how far a figure may fall below that of another run; give it --against RUN"
            )


def evaluate(console: Console, run: str, runs: Path, asked: Asked) -> int:
    """Prints the figures of a run, once the models and suites that are asked for have joined. Returns the exit code.

    Raises InputError, also where a figure can't be held against its allowance, and EngineError.
    """
    asked.check()
    allowed = allowances(asked.drops)
    if asked.lm_eval:
        _lm_eval(console, run, runs, asked.lm_eval, asked.models[0] if asked.models else None, asked.dry)
        return 0
    aside = Console(stderr=True) if asked.as_json else console
    if asked.models or asked.suites:
        folder = RunFolder(runs, run)
        join(aside, folder, joined(folder, asked.models, asked.suites, asked.pairs))
    found = _read(runs, run)
    compared = _compared(runs, run, found, asked.against, allowed) if asked.against else []
    _print(console, found, compared, asked)
    if any(one.too_far for one in compared):
        return FELL
    if unmade := [one for one in compared if one.unmade]:
        raise InputError(*(f"--max-drop {one.metric}: can't be checked: {one.model}: {one.unmade}" for one in unmade))
    return 0


def _print(console: Console, found: Evaluation, compared: Sequence[Fall], asked: Asked) -> None:
    if asked.as_json:
        told = [{"metric": one.metric, "model": one.model, "said": one.sentence, **_values(one)} for one in compared]
        between = [one.as_json() for suite in SUITES for one in differences(found, suite)]
        shown = {**found.as_json(), "differences": between, **({"against": told} if asked.against else {})}
        console.print_json(json.dumps(shown))
        return
    print_evaluation(console, found)
    for one in compared:
        say(console, one.sentence)


def _lm_eval(console: Console, run: str, runs: Path, tasks: str, model: str | None, dry: bool) -> None:
    """Prints the command line that runs tasks on a model of the run, and runs it. Raises InputError, EngineError."""
    folder = RunFolder(runs, run)
    name, config = _checkpoint(folder, model)
    line = command(config, tasks, folder.path / "lm_eval" / name)
    say(console, command_line(line))
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


def _values(one: Fall) -> dict[str, Any]:
    estimate = one.change.estimate
    return {
        "change": estimate.value,
        "interval": [estimate.low, estimate.high],
        "n": estimate.n,
        "allowed": one.allowed,
        "fell_too_far": one.too_far,
        "unchecked": one.unmade or None,
    }


def _read(runs: Path, run: str) -> Evaluation:
    folder = RunFolder(runs, run)
    steps, recipe = folder.steps, stored_recipe(folder.recipe, run)
    if "evaluate" not in steps or not steps["evaluate"].done:
        raise InputError(f"run {run!r} has no evaluation yet; end it first: cai run RECIPE")
    return evaluation_of(steps, recipe.evaluate.bootstrap)


def _compared(runs: Path, run: str, ours: Evaluation, other: str, allowed: Mapping[str, float]) -> list[Fall]:
    """On the models that both have. Raises InputError where one of the other's own is to be checked and gone here."""
    theirs = _read(runs, other)
    lost = [name for name in in_order(_models(theirs) - _models(ours)) if name in MODELS]
    if allowed and lost:
        raise InputError(
            f"--max-drop: run {other!r} has {', '.join(lost)} and run {run!r} has not, so their figures can't be "
            "checked; compare with a run that trained the same models"
        )
    return falls(ours, theirs, in_order(_models(ours) & _models(theirs)), allowed, ours.resamples)


def _models(found: Evaluation) -> set[str]:
    return {one.model for one in found.measurements}
