"""YAML in, checked values out, with the file and line of every mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cai.errors import InputError

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

MAX_NODES = 200_000


class _Loader(yaml.SafeLoader):
    """Scalars by YAML 1.2's core schema: `2e-5` is a number, `no` and `on` are words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


@dataclass(frozen=True)
class YamlFile:
    """Plain data with the line (from 1) on which each value stands."""

    name: str
    data: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """The line of the deepest part of `location` that the file holds."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def error(self, location: Location, message: str) -> InputError:
        """An InputError that begins `file:line: where: `."""
        return InputError(self._at(location, message))

    def _at(self, location: Location, message: str) -> str:
        where = ".".join(str(part) for part in location)
        return f"{self.name}:{self.line(location)}: {where + ': ' if where else ''}{message}"

    def check(self, model: type[Model]) -> Model:
        """The data as `model`. Raises InputError with every mistake, one a line."""
        if not isinstance(self.data, dict):
            raise self.error((), f"expected a mapping of settings, found {_kind(self.data)}")
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            found = [self._explain(model, details) for details in error.errors(include_url=False)]
            raise InputError("\n".join(dict.fromkeys(found))) from None

    def _explain(self, model: type[BaseModel], details: Any) -> str:
        location = self._in_file(details["loc"])
        if details["type"] == "extra_forbidden":
            return self._at(location, _unknown_key(str(location[-1]), _known_keys(model, details["loc"])))
        if details["type"] == "missing":
            return self._at(location, "required and missing")
        message = details["msg"].removeprefix("Value error, ")
        found = details.get("input")
        shown = f" (found {found!r})" if isinstance(found, str | int | float | bool | type(None)) else ""
        return self._at(location, message[:1].lower() + message[1:] + shown)

    def _in_file(self, location: Location) -> Location:
        """Drops the union tags that pydantic puts into a location and the file does not have."""
        kept: Location = ()
        for index, part in enumerate(location):
            last = index == len(location) - 1
            if (*kept, part) in self.lines or last:
                kept = (*kept, part)
        return kept


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"unknown key; {hint}"


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys allowed beside the last part of `location`, found by walking the JSON schema."""
    schema = model.model_json_schema()
    nodes = [schema]
    for part in location[:-1]:
        nodes = [child for node in nodes for child in _children(schema, node, part)] or nodes
    return sorted({key for node in nodes for leaf in _expand(schema, node) for key in leaf.get("properties", {})})


def _children(schema: dict[str, Any], node: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    for leaf in _expand(schema, node):
        if isinstance(part, int) and "items" in leaf:
            yield leaf["items"]
        elif part in leaf.get("properties", {}):
            yield leaf["properties"][part]
        elif isinstance(leaf.get("additionalProperties"), dict):
            yield leaf["additionalProperties"]


def _expand(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in node:
        yield from _expand(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        return
    yield node
    for union in ("anyOf", "oneOf", "allOf"):
        for branch in node.get(union, ()):
            yield from _expand(schema, branch)


def read_text(path: Path) -> str:
    """The file as UTF-8. Raises InputError where it is absent, unreadable or not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def read_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Loads one document. Raises InputError on bad YAML, a duplicate key, or a file that unfolds without end."""
    return parse_yaml(read_text(path), name or str(path))


def parse_yaml(text: str, name: str) -> YamlFile:
    """As `read_yaml`, from text; `name` is what errors call it."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            lines: dict[Location, int] = {}
            data = _build(loader, root, (), lines, name) if root is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from None
    return YamlFile(name, data, lines)


def _build(loader: _Loader, node: yaml.Node, at: Location, lines: dict[Location, int], name: str) -> Any:
    lines[at] = node.start_mark.line + 1
    if len(lines) > MAX_NODES:
        raise InputError(f"{name}:{lines[at]}: unfolds to more than {MAX_NODES} values; are aliases nested?")
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*at, i), lines, name) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        return _build_mapping(loader, node, at, lines, name)
    return loader.construct_object(node)


def _build_mapping(
    loader: _Loader, node: yaml.MappingNode, at: Location, lines: dict[Location, int], name: str
) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(f"{name}:{line}: a key must be a single word, not a list or mapping")
        key = key_node.value
        if key in built:
            raise InputError(f"{name}:{line}: the key {key!r} stands twice in this mapping; keep one")
        built[key] = _build(loader, value_node, (*at, key), lines, name)
        lines[(*at, key)] = line
    return built


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
