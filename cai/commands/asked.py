"""The recipe behind a command that asks a model without being a run."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cai.config import Recipe, load_recipe, recipe_file
from cai.material import Material

DEFAULT = "quickstart"
"""A recipe whose model runs on any machine."""


def asked(model: str | None, recipe: str | None, overrides: Sequence[str], **settings: object) -> Material:
    """What a recipe names, with `model` playing every part, and `settings` laid over it by key.

    Raises InputError as `load_recipe`.
    """
    name = recipe or DEFAULT
    laid = {**({"models": {"assistant": model}} if model else {}), **settings}
    settled = [*(f"{key}={json.dumps(value)}" for key, value in laid.items()), *overrides]
    loaded: Recipe = load_recipe(name, settled, trains=False)
    return Material(loaded, recipe_file(name).parent)
