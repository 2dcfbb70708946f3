"""Commands on recipes and runs: run, plan, show, diff, config."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cai.config import Recipe, load_recipe, recipe_file, stored_recipe
from cai.errors import InputError
from cai.executor_config import RayExecutor
from cai.material import Material
from cai.plan import STAGES, differences
from cai.plan import plan as make_plan
from cai.store import RunFolder, StepFolder, free_bytes
from cai.terminal import say


def run_recipe(console: Console, name: str, overrides: list[str], runs: Path, until: str | None) -> None:
    """Runs a recipe and prints where the time went and what changed."""
    from cai.pipeline import run
    from cai.progress import Reporter
    from cai.timings import estimates, hindsight, timings

    if until is not None and until not in STAGES:
        raise InputError(f"no stage {until!r}; expected one of {', '.join(STAGES)}")
    recipe = load_recipe(name, overrides)
    started = time.monotonic()
    material, folder = Material(recipe, recipe_file(name).parent, runs), RunFolder(runs, recipe.name)
    planned = estimates(material, folder)
    steps = run(material, folder, Reporter(console), until)
    console.print(timings(steps, planned))
    if said := hindsight(steps, planned):
        console.print(said, highlight=False, markup=False)
    console.print(f"this command took {time.monotonic() - started:.1f} s", highlight=False)
    if steps["report"].folder.done:
        _print_results(console, recipe, steps["evaluate"].folder)
        path = steps["report"].folder.path / "report.html"
        say(console, f"report: {path}")


def show_plan(console: Console, name: str, overrides: list[str], runs: Path) -> None:
    """Prints the stages of a recipe with what is left to do."""
    from cai.estimate import checkpoints_needed, estimate

    recipe = load_recipe(name, overrides)
    material = Material(recipe, recipe_file(name).parent, runs)
    material.load()
    steps = make_plan(material, RunFolder(runs, recipe.name))
    table = Table("stage", "state", "calls left", "tokens to read", "tokens to write", "time", "disk")
    total_seconds: float | None = 0.0
    total_disk: int | None = 0
    for stage, step in steps.items():
        work = estimate(step, material, runs)
        total_seconds = None if total_seconds is None or work.seconds is None else total_seconds + work.seconds
        total_disk = None if total_disk is None or work.disk is None else total_disk + work.disk
        counts = (f"{work.calls:,}", f"{work.prompt_tokens:,}", f"{work.tokens:,}")
        table.add_row(stage, _state(step.folder), *counts, _duration(work.seconds), _size(work.disk))
    console.print(table)
    console.print(f"time left: {_duration(total_seconds)} (from this machine's earlier runs where there are any)")
    for line in _memory(material):
        say(console, line)
    beside = _size(checkpoints_needed(material))
    console.print(f"disk: {_size(total_disk)} more, and {beside} while training; {_size(free_bytes(runs))} free")
    if isinstance(recipe.executor, RayExecutor):
        say(console, f"data stages: {recipe.executor.said()}")
    for line in _parts(recipe):
        say(console, line)


def _memory(material: Material) -> list[str]:
    """The peak, that of each stage, and a warning for each that the GPU of the recipe can't hold."""
    from cai.memory_plan import memory_by_stage, memory_needed, too_large

    said = [f"memory: {_size(memory_needed(material))}"]
    if stages := memory_by_stage(material):
        said.append(f"memory by stage: {', '.join(f'{stage} {_size(count)}' for stage, count in stages.items())}")
    ways = {"rl": "an `adapter`, `critic: head` with PPO, ", "evaluate": "", "rejection_sampling": ""}
    return said + [
        f"warning: {stage} takes {_size(count)}, and train.gpu_gb is {material.recipe.train.gpu_gb:g}; take "
        f"{ways.get(stage, 'an `adapter`, ')}a smaller model or a larger GPU"
        for stage, count in too_large(material).items()
    ]


def _parts(recipe: Recipe) -> list[str]:
    """Which model plays which part of the paper's, and through what it is asked."""
    lines = []
    for part, model in recipe.models:
        role = type(recipe.models).model_fields[part].description
        same = [other for other, one in recipe.models if one == model and other != part]
        shared = f", the same as {', '.join(same)}" if same else ""
        asked = f"engine: {recipe.engine_of(model).type}, dialect: {model.dialect}{shared}"
        lines.append(f"{part}: {model.model}, {asked}. {role}")
    return lines


def show_run(console: Console, name: str, runs: Path) -> None:
    """Prints the state, counts and results of a run."""
    from cai.findings import timing
    from cai.records import Comparison, Measurement
    from cai.timings import SPENT, cells

    folder = RunFolder(runs, name)
    steps = folder.steps
    table = Table("stage", "state", "records", *SPENT, "folder")
    for stage, step in steps.items():
        spent = cells(timing(stage, step.summary)) if step.done else ("",) * len(SPENT)
        table.add_row(stage, _state(step), str(step.count() or ""), *spent, escape(str(step.path)))
    console.print(table)
    judged = steps["compare"].records(Comparison) if "compare" in steps else ()
    verdicts = Counter(record.verdict.state for record in judged)
    refusals = Counter(record.refusal for record in steps["evaluate"].records(Measurement))
    for state in ("parsed", "unparsed", "refused", "error", "skipped"):
        console.print(f"verdicts {state}: {verdicts[state]}", highlight=False)
    console.print(f"answers that refuse, by rule: {refusals[True]} of {sum(refusals.values())}", highlight=False)
    if steps["evaluate"].done:
        _print_results(console, stored_recipe(folder.recipe, name), steps["evaluate"])


def show_differences(console: Console, name: str, other: str, runs: Path) -> bool:
    """Prints every setting in which two runs differ. Returns whether there is any."""
    ours, theirs = (RunFolder(runs, run).steps for run in (name, other))
    table = Table("stage", "field", name, other)
    begun = [stage for stage in STAGES if all(stage in steps and steps[stage].spec for steps in (ours, theirs))]
    for stage in begun:
        for field, left, right in differences(ours[stage].spec["identity"], theirs[stage].spec["identity"]):
            table.add_row(stage, escape(field), _short(left), _short(right))
    if table.row_count:
        console.print(table)
    else:
        console.print("the runs have the same settings, texts and models in every stage that both have begun")
    if waiting := [stage for stage in STAGES if stage not in begun and (stage in ours or stage in theirs)]:
        console.print(f"not begun in both, so not compared: {', '.join(waiting)}")
    return bool(table.row_count)


def print_config(console: Console, schema: str | None, models: bool) -> None:
    """Prints the settings, a JSON Schema, or the model aliases."""
    from cai import schemas
    from cai.weights import ALIASES

    if models:
        for name, alias in sorted(ALIASES.items()):
            say(console, f"{name}: {alias.about}, {alias.parameters:,} parameters")
    elif schema is not None:
        print_schema = schemas.SCHEMAS.get(schema)
        if print_schema is None:
            raise InputError(f"no schema {schema!r}; expected one of {', '.join(schemas.SCHEMAS)}")
        console.print_json(json.dumps(print_schema()))
    else:
        say(console, schemas.documented(Recipe))


def _print_results(console: Console, recipe: Recipe, folder: StepFolder) -> None:
    from cai.records import Measurement
    from cai.stages.report_effects import HEADINGS, table

    shown = Table(*HEADINGS, title="held-out prompts: mean or rate with 95 % interval")
    for row in table(list(folder.records(Measurement)), recipe.evaluate.bootstrap):
        shown.add_row(*row.cells())
    console.print(shown)


def _state(step: StepFolder) -> str:
    if step.done:
        return "done"
    return "begun" if step.spec else "to do"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _size(count: float | None) -> str:
    if count is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return escape(text if len(text) < 60 else f"{text[:57]}...")
