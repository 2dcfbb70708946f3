"""The documented schema of recipes and constitutions: for editors as JSON Schema, for people as commented YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cai.config import TOLD_APART, Recipe
from cai.constitution import Constitution
from cai.feedback_config import AnswersConfig, JudgeConfig
from cai.identity import role_of
from cai.models import ModelConfig
from cai.reward_config import RewardConfig
from cai.rl_config import RlConfig


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe as it is written: a part may be a name, or refer to another part by `use`."""
    schema = Recipe.model_json_schema()
    models = schema["$defs"]["ModelsConfig"]
    part = schema["$defs"][ModelConfig.__name__]
    part["properties"]["use"] = {"type": "string", "description": "Another part, whose settings this one starts from."}
    for name, field in models["properties"].items():
        written = {"anyOf": [{"type": "string"}, {"$ref": f"#/$defs/{ModelConfig.__name__}"}]}
        models["properties"][name] = {**written, "description": field["description"]}
    models["required"] = ["assistant"]
    for kinds in (AnswersConfig, JudgeConfig, RlConfig):
        _told_apart(schema["$defs"], kinds)
    _told_apart(schema["$defs"], RewardConfig, unnamed=0)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _told_apart(found: dict[str, Any], kinds: Any, unnamed: int = 1) -> None:
    """Of groups that are told apart by a field, only the first may leave it out, where it is the default."""
    union, field = get_args(kinds)
    for kind in get_args(union)[unnamed:]:
        found[kind.__name__]["required"] = [field.discriminator, *found[kind.__name__].get("required", [])]


def constitution_schema() -> dict[str, Any]:
    """JSON Schema of a constitution as it is written: one that it extends may stand without a list."""
    schema = Constitution.model_json_schema()
    many = schema["properties"]["extends"]
    listed = {key: many.pop(key) for key in ("type", "items")}
    many["anyOf"] = [{"type": "string"}, listed]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {"recipe": recipe_schema, "constitution": constitution_schema}


def documented(config: type[BaseModel]) -> str:
    """Every setting with its default and meaning, as YAML that can be copied from. Knobs are marked so."""
    return "\n".join(_lines(config, 0))


def _lines(config: type[BaseModel], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in sorted(config.model_fields.items(), key=lambda one: one[0] not in TOLD_APART):
        nested = list(_models(field.annotation))
        mark = " [knob]" if role_of(config, name) == "knob" else ""
        yield f"{indent}# {field.description}{mark}"
        if not nested or _optional(field):
            yield f"{indent}{name}: {_default(field)}{_bounds(field)}"
            if len(nested) == 1 or _listed(field):  # several are engines, which stand in full elsewhere
                yield from (f"{indent}#   {line[2 * depth + 2 :]}" for line in _groups(nested, depth))
            continue
        yield f"{indent}{name}:"
        yield from _groups(nested, depth)


def _groups(kinds: Sequence[type[BaseModel]], depth: int) -> Iterator[str]:
    """The settings of each kind; of several, a recipe has one."""
    for index, kind in enumerate(kinds):
        if len(kinds) > 1:
            yield f"{'  ' * depth}  # {'either' if index == 0 else 'or'}: {_first_line(kind)}"
        yield from _lines(kind, depth + 1)


def _optional(field: FieldInfo) -> bool:
    """Whether a group may be left out, as it is by default, or is a list of any length."""
    return type(None) in get_args(field.annotation) or _listed(field)


def _listed(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The config classes a field's type names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _models(inner)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "<required>"
    return json.dumps(field.get_default(call_default_factory=True), default=BaseModel.model_dump)


def _bounds(field: FieldInfo) -> str:
    """Allowed values, where the type or its constraints name them."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [f"{sign} {getattr(m, key)}" for m in field.metadata for key, sign in signs.items() if hasattr(m, key)]
    choices = [json.dumps(value) for value in get_args(field.annotation) if isinstance(value, str)]
    shown = ", ".join(limits) or " | ".join(choices)
    return f"  # {shown}" if shown else ""


def _first_line(kind: type[BaseModel]) -> str:
    return (kind.__doc__ or "").splitlines()[0]
