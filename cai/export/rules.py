"""The constitution and the recipe of a run as files that can be run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cai.constitution import Constitution, Use, seen
from cai.errors import InputError
from cai.export.provenance import public
from cai.export.source import Source
from cai.few_shot import comparison_examples, reasoning_examples, revision_examples
from cai.material import Material
from cai.resources import find, shipped
from cai.yamlfile import to_yaml

CONSTITUTION = "constitution.yaml"
RECIPE = "recipe.yaml"

_EXAMPLES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "revision": revision_examples,
    "comparison": comparison_examples,
    "reasoning": reasoning_examples,
}


def write_rules(source: Source, folder: Path) -> tuple[Constitution | None, list[str]]:
    """Writes the recipe and, where it is found, the constitution with all that it extends.

    A run keeps its constitution's name, so the file is read again. Returns it, and what a reader must know of it.
    """
    material = Material(source.recipe)
    settings = source.recipe.model_dump(mode="json")
    try:
        constitution = material.constitution
        text = to_yaml(_standalone(constitution, source.recipe.constitution))
    except InputError:
        name = public(source.recipe.constitution)
        constitution, notes = None, [f"{CONSTITUTION} is missing: {name!r} can't be read now (`cai lint` says why)"]
    else:
        (folder / CONSTITUTION).write_text(text, "utf-8")
        notes = _changes(source, material)
        settings["constitution"] = CONSTITUTION
    (folder / RECIPE).write_text(to_yaml(settings), "utf-8")
    return constitution, notes


def _standalone(constitution: Constitution, name: str) -> dict[str, Any]:
    """The constitution as composed: what it extends is in it, and so are examples from files of its own."""
    folder = find("constitutions", name, ".yaml").parent
    written = constitution.model_dump(mode="json", exclude_defaults=True, exclude={"extends", "without"})
    given = written.get("few_shot", {})
    for use, read in _EXAMPLES.items():
        file = given.get(use)
        if isinstance(file, str) and not _ships(file, folder):
            examples = read(file, None, folder)
            given[use] = [one.model_dump(mode="json", exclude_defaults=True) for one in examples]
    return written


def _ships(name: str, folder: Path) -> bool:
    return find("prompts", name, ".yaml", folder).is_relative_to(shipped("prompts"))


def _changes(source: Source, material: Material) -> list[str]:
    """Says of each stage that drew principles whether it drew from other ones than the constitution now has."""
    drawn: dict[str, tuple[Use, ...]] = {
        "revise": ("revision" if source.recipe.revise.critique else "direct",),
        "compare": material.judged_by,
    }
    found = [
        stage for stage, uses in drawn.items() if stage in source.done and not _same(source, stage, material, uses)
    ]
    if not found:
        return []
    return [f"{CONSTITUTION} has changed since the run: {' and '.join(found)} drew from other principles or words"]


def _same(source: Source, stage: str, material: Material, uses: Sequence[Use]) -> bool:
    known = source.done[stage].spec["identity"]["constitution"]
    try:
        found = [seen(material.pools(use), use) for use in uses]
        return found == (known if isinstance(known, list) else [known])
    except InputError:  # nothing is left to draw from
        return False
