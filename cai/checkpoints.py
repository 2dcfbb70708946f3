"""Models that runs have trained, by RUN/STAGE as people name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.config import Recipe, stored_recipe
from cai.errors import InputError
from cai.store import RunFolder, read_json


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk. `recipe`: of the run that trained it; None for a folder of which that isn't known."""

    folder: Path
    recipe: Recipe | None = None


def trained(name: str, runs: Path, stages: Sequence[str], purpose: str) -> Checkpoint | None:
    """The model that RUN/STAGE names; None where a folder has that name, or where there is no such run.

    Raises InputError where the run has left no model of that stage, or where the stage is none of `stages`, those whose
    models are good for `purpose`.
    """
    run, _, stage = name.partition("/")
    if Path(name).is_dir() or not (runs / run / "run.json").is_file():
        return None
    folder = RunFolder(runs, run)
    left = {at: step.path / "model" for at, step in folder.steps.items() if step.done}
    able = {at: left[at] for at in stages if at in left and left[at].is_dir()}
    if stage not in able:
        known = ", ".join(f"{run}/{at}" for at in able) or "none yet"
        raise InputError(f"run {run!r} has no model {stage!r} {purpose}; it has: {known}")
    return Checkpoint(able[stage], stored_recipe(folder.recipe, run))


def preference_model(name: str, runs: Path) -> Checkpoint:
    """A preference model: RUN/preference_model, RUN/helpfulness_model, or a folder.

    Raises InputError where there is none of that name.
    """
    found = trained(name, runs, ["preference_model", "helpfulness_model"], "to score answers with")
    if found:
        return found
    if not (Path(name) / "config.json").is_file():
        raise InputError(
            f"no preference model {name!r}: not a folder that holds a model, and no run of that name in {runs}/; "
            "expected a folder, or RUN/preference_model of an earlier run"
        )
    kinds = [str(kind) for kind in read_json(Path(name) / "config.json").get("architectures") or ["an unknown model"]]
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise InputError(f"{name} holds {', '.join(kinds)}, which gives no score; expected a preference model")
    return Checkpoint(Path(name))
