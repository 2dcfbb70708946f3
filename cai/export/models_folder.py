"""Writes the models that a run trained into a folder, each with a card, ready to be uploaded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cai.config import TRAINING
from cai.errors import InputError
from cai.export.model_card import figures, model_card
from cai.export.place import CARD, made_whole
from cai.export.provenance import private
from cai.export.rules import write_rules
from cai.export.source import Source
from cai.store import write_text
from cai.weights import resolve


@dataclass(frozen=True)
class ModelsExport:
    """What was written. `models`: the stages that trained them; `private`: what tells of this machine."""

    models: tuple[str, ...]
    notes: tuple[str, ...]
    private: tuple[str, ...]


def export_models(source: Source, to: Path) -> ModelsExport:
    """Copies every trained model to a folder that is empty or not there yet; half of it is never left there.

    The folders of the run stay as they are: their files have checksums. Raises InputError where `to` holds something or
    no model was trained, StoreError where a model is not as its stage left it, or the disk will not take it.
    """
    models = {stage: path for stage in TRAINING if stage in source.done and (path := _model(source, stage)).is_dir()}
    if not models:
        raise InputError(f"run {source.name!r} has trained no model yet; `cai show {source.name}` says how far it is")
    with made_whole(to) as folder:
        notes = _fill(source, models, folder)
    return ModelsExport(tuple(models), notes, tuple(private(source.recipe)))


def _model(source: Source, stage: str) -> Path:
    return source.done[stage].path / "model"


def _fill(source: Source, models: dict[str, Path], folder: Path) -> tuple[str, ...]:
    """Returns what a reader of the constitution must know."""
    measured, notes = figures(source), dict[str, None]()
    for stage, model in models.items():
        place = folder / stage
        shutil.copytree(resolve(str(model)), place)
        constitution, changes = write_rules(source, place)
        write_text(place / CARD, model_card(source, stage, measured, constitution, changes))
        notes |= dict.fromkeys(changes)
    return tuple(notes)
