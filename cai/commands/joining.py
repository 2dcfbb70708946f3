"""What joins the evaluation of a run that is done: models and suites from the command line, laid on its recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from cai.config import Recipe, stored_recipe
from cai.credentials import hidden, secrets_in
from cai.errors import InputError
from cai.evaluated import SUITES
from cai.material import Material
from cai.plan import plan
from cai.store import RunFolder
from cai.suite_inputs import SUITES as ADDED
from cai.yamlfile import parse_yaml

_NAMED = (
    "expected NAME=MODEL, such as mistral=mistralai/Mistral-7B-Instruct-v0.3, or of a server "
    "NAME=http://host:8000/v1#MODEL"
)


def joined(folder: RunFolder, models: Sequence[str], suites: Sequence[str], pairs: str | None) -> Recipe:
    """The recipe of the run with what is asked for. Raises InputError."""
    settings = dict(stored_recipe(folder.recipe, folder.name).model_dump())
    if models:
        settings["guests"] = {**(settings["guests"] or {}), **dict(map(_guest, models))}
    for suite in suites:
        if suite not in SUITES:
            raise InputError(f"--suite {suite}: expected one of {', '.join(SUITES)}")
        settings[suite] = _suite(suite, settings[suite], pairs)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])).replace("guests", "--model", 1)
        raise InputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def join(console: Console, folder: RunFolder, recipe: Recipe) -> None:
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
    run(material, folder, Reporter(console), joining=True)


def _suite(name: str, settings: Mapping[str, Any] | None, pairs: str | None) -> dict[str, Any]:
    """What the run has of a suite, or its defaults; on comparisons that are given, where they are."""
    if name == "hhh" and settings is None and pairs is None:
        raise InputError("--suite hhh: needs comparisons that people made; give it --pairs FILE")
    return {**(settings or {}), **({"pairs": pairs} if name == "hhh" and pairs is not None else {})}


def _guest(given: str) -> tuple[str, Any]:
    """The name of a model and its settings, as a recipe's `guests` have them."""
    name, _, model = given.partition("=")
    if not name or not model:
        raise InputError(f"--model {hidden(given)}: {_NAMED}")
    settings = parse_yaml(model, f"--model {name}").data if model.startswith("{") else _plain(name, model)
    if any(at[-1] != "base_url" for at in secrets_in({name: settings})):
        raise InputError(
            f"--model {name}: holds a key, a token or a password, and a run stores its recipe; put it into an "
            "environment variable (OPENAI_API_KEY, or another that `key_env` names)"
        )
    return name, settings


def _plain(name: str, model: str) -> Any:
    """A model by its name alone, or one of a server, whose key is in OPENAI_API_KEY where it wants one."""
    if not re.match(r"https?://", model):
        return model
    address, _, served = model.partition("#")
    if not served:
        raise InputError(f"--model {name}={hidden(address)}: names no model of that server; {_NAMED}")
    return {"model": served, "engine": {"type": "openai", "base_url": address}}
