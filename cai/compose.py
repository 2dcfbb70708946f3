"""Lays a constitution over those that it extends, value by value, with the file and line that each came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cai.resources import find
from cai.yamlfile import Location, YamlFile, read_yaml

_INHERITED = ("language", "system", "opening", "few_shot")
"""What a constitution takes from those it extends, beside their principles."""


def composed(file: YamlFile, folder: Path, via: tuple[str, ...] = ()) -> YamlFile:
    """The file with everything that it extends.

    Principles come in the order of the constitutions that bring them. One that is given again under its id is changed
    where it stands, key by key; a key without a value takes the inherited value away. Raises InputError for a
    constitution that extends itself and for a name in `without` that nothing inherits.
    """
    if not isinstance(file.data, dict) or not file.data.get("extends"):
        return file
    lines = {at: line for at, line in file.lines.items() if at[:1] != ("principles",) or len(at) == 1}
    built = YamlFile(file.name, dict(file.data), lines, dict(file.origins))
    own = built.data.pop("principles", None)
    built.data["principles"] = []
    for place, name in enumerate(_names(file)):
        _inherit(built, _parent(file, place, name, folder, via))
    _leave_out(built)
    for index, principle in enumerate(own if isinstance(own, list) else []):
        _lay(built, file, ("principles", index), principle)
    return built


def _names(file: YamlFile) -> list[Any]:
    names = file.data["extends"]
    return names if isinstance(names, list) else [names]


def _parent(file: YamlFile, place: int, name: Any, folder: Path, via: tuple[str, ...]) -> YamlFile:
    at = ("extends", place)
    if not isinstance(name, str):
        raise file.error(at, f"expected the name or path of a constitution, found {name!r}")
    beside = folder / name
    path = beside if beside.is_file() else find("constitutions", name, ".yaml", folder)
    above = (*via, str(Path(file.name).resolve()))
    if str(path.resolve()) in above:
        raise file.error(at, f"{name} extends this constitution in its turn; let one of them stand alone")
    return composed(read_yaml(path), path.parent, above)


def _inherit(built: YamlFile, parent: YamlFile) -> None:
    """What stands in the parent and not here: its principles, and what else is taken from it."""
    if not isinstance(parent.data, dict):
        return
    for key in _INHERITED:
        if key in parent.data and key not in built.data:
            built.data[key] = parent.data[key]
            _note(built, (key,), parent, (key,))
    principles = parent.data.get("principles")
    for index, principle in enumerate(principles if isinstance(principles, list) else []):
        _lay(built, parent, ("principles", index), principle)


def _lay(built: YamlFile, source: YamlFile, at: Location, principle: Any) -> None:
    """Adds a principle, or lays it over the one of the same id that is there."""
    principles = built.data["principles"]
    known = {one.get("id"): place for place, one in enumerate(principles) if isinstance(one, dict)}
    name = principle.get("id") if isinstance(principle, dict) else None
    if not isinstance(name, str) or name not in known or _own(built, known[name], source):
        principles.append(principle)
        _note(built, ("principles", len(principles) - 1), source, at)
        return
    place = known[name]
    merged = {**principles[place], **principle}
    principles[place] = {key: value for key, value in merged.items() if value is not None}
    for key in principle:
        _note(built, ("principles", place, key), source, (*at, key))


def _own(built: YamlFile, place: int, source: YamlFile) -> bool:
    """Whether this very file gave the principle before, so that giving its id again is a mistake."""
    return built.origins.get(("principles", place, "id"), "").rpartition(":")[0] == source.name


def _leave_out(built: YamlFile) -> None:
    without = built.data.get("without") or []
    inherited = {one.get("id") for one in built.data["principles"] if isinstance(one, dict)}
    for place, name in enumerate(without if isinstance(without, list) else []):
        if name not in inherited:
            known = ", ".join(sorted(str(one) for one in inherited))
            raise built.error(("without", place), f"no inherited principle has the id {name!r}; there are: {known}")
    kept = [index for index, one in enumerate(built.data["principles"]) if _id(one) not in without]
    origins = {at: origin for at, origin in built.origins.items() if at[:1] == ("principles",)}
    for at in origins:
        del built.origins[at]
    for new, old in enumerate(kept):
        moved = {at: origin for at, origin in origins.items() if at[1:2] == (old,)}
        built.origins.update({("principles", new, *at[2:]): origin for at, origin in moved.items()})
    built.data["principles"] = [built.data["principles"][index] for index in kept]


def _id(principle: Any) -> Any:
    return principle.get("id") if isinstance(principle, dict) else None


def _note(built: YamlFile, new: Location, source: YamlFile, at: Location) -> None:
    """Says of a value and all within it where it stands."""
    for key in [key for key in built.origins if key[: len(new)] == new]:
        del built.origins[key]
    inside = [key for key in source.lines if key[: len(at)] == at]
    for key in inside:
        built.origins[(*new, *key[len(at) :])] = source.place(key)
        built.lines[(*new, *key[len(at) :])] = source.lines[key]
