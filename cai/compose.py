"""Lays a constitution over those that it extends, value by value, with the file and line that each came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from cai.errors import InputError
from cai.resources import find, is_file
from cai.yamlfile import Location, YamlFile, read_yaml

Value = TypeVar("Value")

_OWN = ("name", "description", "source", "extends", "without")
"""What is not inherited."""


def composed(file: YamlFile, folder: Path, via: tuple[str, ...] = ()) -> YamlFile:
    """The file with everything that it extends; `folder` is where it lies.

    Settings and principles are laid over each other key by key: a later constitution over an earlier one, the file
    itself over all. A principle keeps the place where it first comes; a key without a value takes the inherited value
    away. Raises InputError for a constitution that extends itself and for an id in `without` that nothing inherits.
    """
    if not isinstance(file.data, dict):
        return file
    parents = _names(file)
    if not parents:
        if file.data.get("without"):
            raise file.error(("without",), "nothing is inherited here; give 'extends', or leave this out")
        return file
    own = {key: file.data[key] for key in _OWN if key in file.data}
    lines = {at: line for at, line in file.lines.items() if not at or at[0] in _OWN}
    lines["principles",] = file.line(("principles",) if "principles" in file.data else ("extends",))
    built = YamlFile(file.name, {**own, "principles": []}, lines, dict(file.origins))
    for at, name in parents:
        _lay(built, _parent(file, at, name, folder, via))
    _leave_out(built)
    _lay(built, file)
    return built


def _names(file: YamlFile) -> list[tuple[Location, Any]]:
    """What the file extends, and where each stands."""
    names = file.data.get("extends")
    if isinstance(names, list):
        return [(("extends", place), name) for place, name in enumerate(names)]
    return [] if names is None else [(("extends",), names)]


def _parent(file: YamlFile, at: Location, name: Any, folder: Path, via: tuple[str, ...]) -> YamlFile:
    if not isinstance(name, str):
        raise file.error(at, f"expected the name or path of a constitution, found {name!r}")
    path = folder / name
    if not is_file(path):
        try:
            path = find("constitutions", name, ".yaml", folder)
        except InputError as error:
            raise file.error(at, str(error)) from None
    above = (*via, str(Path(file.name).resolve()))
    if str(path.resolve()) in above:
        raise file.error(at, f"{name} extends this constitution in its turn; let one of them stand alone")
    parent = composed(read_yaml(path), path.parent, above)
    if not isinstance(parent.data, dict):
        raise parent.error((), "expected a constitution: a mapping of settings")
    _anchor(parent, path.parent)
    return parent


def _anchor(parent: YamlFile, folder: Path) -> None:
    """Makes the names of files beside the parent hold from anywhere."""
    few_shot = parent.data.get("few_shot")
    for key, name in few_shot.items() if isinstance(few_shot, dict) else ():
        if isinstance(name, str) and is_file(folder / name):
            few_shot[key] = str((folder / name).resolve())


def _lay(built: YamlFile, source: YamlFile) -> None:
    """Lays all that a constitution hands on over what is there."""
    for key in [key for key in source.data if key not in _OWN and key != "principles"]:
        _lay_setting(built, source, key)
    laid: list[Any] = []
    for index, principle in enumerate(_principles(source)):
        name = _id(principle)
        _lay_principle(built, source, index, None if name in laid else name)
        laid.append(name)


def _lay_setting(built: YamlFile, source: YamlFile, key: str) -> None:
    value, before = source.data[key], built.data.get(key)
    if isinstance(value, dict) and isinstance(before, dict):
        built.data[key] = {**before, **value}
        for inner in value:
            _note(built, (key, inner), source, (key, inner))
    else:
        built.data[key] = value
        _note(built, (key,), source, (key,))


def _lay_principle(built: YamlFile, source: YamlFile, index: int, name: Any) -> None:
    """Adds a principle, or lays it over the one that has its name; a name that a file gives twice is given as None."""
    principles, principle = built.data["principles"], source.data["principles"][index]
    place = next((at for at, one in enumerate(principles) if name is not None and _id(one) == name), None)
    if place is None:
        principles.append(principle)
        _note(built, ("principles", len(principles) - 1), source, ("principles", index))
        return
    merged = {**principles[place], **principle}
    principles[place] = {key: value for key, value in merged.items() if value is not None}
    for key in principle:
        _note(built, ("principles", place, key), source, ("principles", index, key))


def _principles(file: YamlFile) -> list[Any]:
    found = file.data.get("principles")
    if found is not None and not isinstance(found, list):
        raise file.error(("principles",), f"expected a list of principles, found {found!r}")
    return found or []


def _leave_out(built: YamlFile) -> None:
    without = built.data.get("without")
    names = without if isinstance(without, list) else []
    inherited = [_id(one) for one in built.data["principles"]]
    for place, name in enumerate(names):
        if name not in inherited:
            known = ", ".join(sorted(one for one in inherited if isinstance(one, str)))
            raise built.error(("without", place), f"no inherited principle has the id {name!r}; there are: {known}")
    kept = [index for index, name in enumerate(inherited) if name not in names]
    built.data["principles"] = [built.data["principles"][index] for index in kept]
    _keep(built.lines, kept)
    _keep(built.origins, kept)


def _keep(values: dict[Location, Value], kept: list[int]) -> None:
    """What is known of the principles that are kept, at their new places."""
    inside = {at: values.pop(at) for at in list(values) if at[:1] == ("principles",) and len(at) > 1}
    places = {old: new for new, old in enumerate(kept)}
    values.update({("principles", places[at[1]], *at[2:]): v for at, v in inside.items() if at[1] in places})


def _id(principle: Any) -> Any:
    return principle.get("id") if isinstance(principle, dict) else None


def _note(built: YamlFile, new: Location, source: YamlFile, at: Location) -> None:
    """Says of a value and all within it where it stands."""
    for known in (built.origins, built.lines):
        for key in [key for key in known if key[: len(new)] == new]:
            del known[key]
    for key in [key for key in source.lines if key[: len(at)] == at]:
        built.origins[(*new, *key[len(at) :])] = source.place(key)
        built.lines[(*new, *key[len(at) :])] = source.lines[key]
