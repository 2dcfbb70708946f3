"""YAML in, checked values out, with the file and line of every mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cai.errors import InputError, Mistake

Location = tuple[str | int, ...]
Entries = dict[str, tuple[yaml.ScalarNode, yaml.Node]]
Model = TypeVar("Model", bound=BaseModel)

MAX_NODES = 200_000

MAX_CHARACTERS = 2**26
"""In a file's words once its aliases are unfolded: an alias is short, and what it stands for need not be."""

MAX_NUMBER = 1000
"""Characters of a number. Python writes none of more than 4300 decimal digits, and a hexadecimal one grows."""

MOST_MISTAKES = 200
"""That are told of one file; each is held against all others, and nobody mends more at once."""

SECRET = "secret"
"""The type of a mistake whose value is not to be shown."""


class _Loader(yaml.SafeLoader):
    """Scalars by YAML 1.2's core schema: `2e-5` is a number, `no` and `on` are words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.entries: dict[int, Entries] = {}
        self.characters = 0

    def unfold(self, text: str, where: str) -> None:
        """Counts the characters of a key or scalar. Raises InputError where there are too many of them."""
        self.characters += len(text)
        if self.characters > MAX_CHARACTERS:
            message = f"holds more than {MAX_CHARACTERS} characters with its aliases unfolded; is a long text repeated?"
            raise InputError(Mistake(message, where))


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """`010` is ten in YAML 1.2, and eight in PyYAML."""
    text = loader.construct_scalar(node)
    return int(text, 16 if text.startswith("0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class _Dumper(yaml.SafeDumper):
    """Quotes each text that YAML 1.1 or 1.2 would read as something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Several lines as a block; escapes where a character would be read as a line's end or not at all."""
    plain = text.replace("\n", "").isprintable()
    style = ("|" if "\n" in text else None) if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)

for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    for kind in (_Loader, _Dumper):
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


@dataclass(frozen=True)
class YamlFile:
    """Plain data with the line (from 1) on which each value stands.

    `origins`: what errors call the values that came from elsewhere, such as an override.
    """

    name: str
    data: Any
    lines: dict[Location, int]
    origins: dict[Location, str] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """The line of the deepest part of `location` that the file holds."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def error(self, location: Location, message: str) -> InputError:
        """An InputError that begins `file:line: where: `."""
        return InputError(self.mistake(location, message))

    def mistake(self, location: Location, message: str) -> Mistake:
        """What is wrong with a value, and where it stands."""
        return Mistake(message, self.place(location), ".".join(str(part) for part in location))

    def place(self, location: Location) -> str:
        """`file:line` of a value, or what it came from where that is no file."""
        parts = (location[:end] for end in range(len(location), 0, -1))
        origin = next((self.origins[part] for part in parts if part in self.origins), None)
        return origin or f"{self.name}:{self.line(location)}"

    def graft(self, location: Location, other: YamlFile) -> None:
        """Notes that the value at `location` now is the one in `other`."""
        for end in range(1, len(location)):
            if location[:end] not in self.lines:
                self.origins[location[:end]] = other.name
            self.lines.setdefault(location[:end], self.line(location[:end]))
        self.lines.update({(*location, *at): line for at, line in other.lines.items()})
        self.origins[location] = other.name

    def check(self, model: type[Model]) -> Model:
        """The data as `model`. Raises InputError with every mistake, one a line."""
        if not isinstance(self.data, dict):
            raise self.error((), f"expected a mapping of settings, found {_kind(self.data)}")
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)[:MOST_MISTAKES]
            own = [details for details in mistakes if not self._inherited(details, mistakes)]
            found = [self._explain(model, details) for details in own if not _follows(details, mistakes)]
            raise InputError(*dict.fromkeys(found), *self._untold(error.error_count() - len(mistakes))) from None

    def _untold(self, count: int) -> list[Mistake]:
        return [self.mistake((), f"and {count} mistakes more; mend these first")] if count else []

    def _explain(self, model: type[BaseModel], details: Any) -> Mistake:
        location = self._in_file(details["loc"])
        if details["type"] == "union_tag_invalid":
            return self._unknown_tag(location, details["ctx"])
        if details["type"] == "extra_forbidden":
            return self.mistake(location, _unknown_key(str(location[-1]), _known_keys(model, details["loc"])))
        if details["type"] == "missing":
            return self.mistake(location, "required and missing")
        if details["type"] == "union_tag_not_found":
            return self.mistake(location, f"the key {details['ctx']['discriminator']} is required here and missing")
        message = details["msg"].removeprefix("Value error, ")
        if details["type"] in ("model_type", "model_attributes_type", "dict_type"):
            message = "expected a mapping of settings"
        found = details.get("input")
        plain = isinstance(found, str | int | float | bool | type(None)) and details["type"] != SECRET
        shown = f" (found {found!r})" if plain else ""
        return self.mistake(location, message[:1].lower() + message[1:] + shown)

    def _unknown_tag(self, location: Location, context: dict[str, Any]) -> Mistake:
        tag = context["discriminator"].strip("'")
        return self.mistake((*location, tag), f"expected one of {context['expected_tags']} (found {context['tag']!r})")

    def _inherited(self, details: Any, mistakes: list[Any]) -> bool:
        """Whether a mistake is that of a value which stands elsewhere in the file, and was copied from there."""
        same = [other for other in mistakes if all(other[key] == details[key] for key in ("type", "msg", "input"))]
        return not self._stands(details) and any(self._stands(other) for other in same)

    def _stands(self, details: Any) -> bool:
        return self._in_file(details["loc"]) in self.lines

    def _in_file(self, location: Location) -> Location:
        """Drops what pydantic puts into a location and the file does not have: union tags, and the mark of a key."""
        kept: Location = ()
        location = location[:-1] if location[-1:] == ("[key]",) else location
        for index, part in enumerate(location):
            last = index == len(location) - 1
            if (*kept, part) in self.lines or last:
                kept = (*kept, part)
        return kept


def _follows(details: Any, mistakes: list[Any]) -> bool:
    """Whether a list is only too short because what it holds did not pass."""
    inside = (other["loc"][: len(details["loc"])] == details["loc"] for other in mistakes if other is not details)
    return details["type"] == "too_short" and any(inside)


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
        tagged = leaf.get("discriminator", {}).get("mapping", {})
        if part in tagged:
            yield {"$ref": tagged[part]}
        elif isinstance(part, int) and "items" in leaf:
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
        raise InputError(Mistake(f"byte {error.start} is not UTF-8; save the file as UTF-8", str(path))) from None
    except OSError as error:
        raise InputError(Mistake(f"cannot be read ({error.strerror})", str(path))) from None


def read_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Loads one document. Raises InputError on bad YAML, a duplicate key, or a file that unfolds to too much."""
    return parse_yaml(read_text(path), name or str(path))


def to_yaml(data: dict[str, Any]) -> str:
    """Plain data as YAML for people, keys in their order; `parse_yaml` gives the same data back, every character."""
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)


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
        raise InputError(Mistake(f"not valid YAML: {error.problem or error.context}", f"{name}:{line}")) from None
    except InputError:
        raise
    except RecursionError:
        raise InputError(Mistake("nested too deeply; does an alias stand inside its own anchor?", name)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(Mistake(f"not valid YAML: {str(error).splitlines()[0]}", name)) from None
    return YamlFile(name, data, lines)


def _build(loader: _Loader, node: yaml.Node, at: Location, lines: dict[Location, int], name: str) -> Any:
    lines[at] = node.start_mark.line + 1
    if len(lines) > MAX_NODES:
        message = f"unfolds to more than {MAX_NODES} values; are aliases nested?"
        raise InputError(Mistake(message, f"{name}:{lines[at]}"))
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*at, i), lines, name) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(loader, node, at, lines, name)
    return _build_scalar(loader, node, f"{name}:{lines[at]}")


def _build_mapping(
    loader: _Loader, node: yaml.MappingNode, at: Location, lines: dict[Location, int], name: str
) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, (key_node, value_node) in _entries(loader, node, name).items():
        loader.unfold(key, f"{name}:{key_node.start_mark.line + 1}")
        built[key] = _build(loader, value_node, (*at, key), lines, name)
        lines[(*at, key)] = key_node.start_mark.line + 1
    return built


def _build_scalar(loader: _Loader, node: yaml.Node, where: str) -> Any:
    loader.unfold(node.value, where)
    _check_storable(node.value, where)
    _check_number(node, where)
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError, AttributeError):
        # PyYAML's constructors do not check a value whose tag is written out, as in `!!bool maybe`.
        found, kind = repr(node.value), node.tag.rsplit(":", 1)[-1]
        raise InputError(Mistake(f"{found[:60]} cannot be read as {kind}; quote it if it is text", where)) from None


def _check_number(node: yaml.Node, where: str) -> None:
    """Raises InputError where a number is so long that it could not be told, stored or counted with."""
    kind, length = node.tag.rsplit(":", 1)[-1], len(node.value)
    if kind in ("int", "float") and length > MAX_NUMBER:
        told = f"{repr(node.value[:60])[:-1]}... cannot be read as {kind}: it has {length} characters"
        raise InputError(Mistake(f"{told}, expected at most {MAX_NUMBER}; quote it if it is text", where))


def _check_storable(text: str, where: str) -> None:
    """Raises InputError where a text holds half a surrogate pair, as an escape can make it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(Mistake("half a surrogate pair, which UTF-8 cannot store; delete it", where)) from None


def _entries(loader: _Loader, node: yaml.MappingNode, name: str) -> Entries:
    """Keys and values, those merged by `<<` first; a key of the mapping itself wins.

    Each mapping is unfolded once, so that nested merges cost no more than the text is long.
    """
    if id(node) in loader.entries:
        return loader.entries[id(node)]
    own: Entries = {}
    loader.entries[id(node)] = own
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(Mistake("a key must be a single word, not a list or mapping", f"{name}:{line}"))
        _check_storable(key_node.value, f"{name}:{line}")
        if key_node.value in own:
            message = f"the key {key_node.value!r} stands twice in this mapping; keep one"
            raise InputError(Mistake(message, f"{name}:{line}"))
        own[key_node.value] = key_node, value_node
    if "<<" in own:
        _, merge = own.pop("<<")
        loader.entries[id(node)] = own = {**_merged(loader, merge, name), **own}
    return own


def _merged(loader: _Loader, node: yaml.Node, name: str) -> Entries:
    """The entries that `<<: node` brings; of several mappings, the first that has a key gives its value."""
    entries: Entries = {}
    for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(part, yaml.MappingNode):
            line = part.start_mark.line + 1
            message = "<< merges a mapping or a list of mappings; give an alias such as *base"
            raise InputError(Mistake(message, f"{name}:{line}"))
        entries = {**_entries(loader, part, name), **entries}
    return entries


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
