"""The schemas and the printed settings say what the program itself takes, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import jsonschema
import pytest
from jsonschema.protocols import Validator
from pydantic import BaseModel

from cai.config import DistillConfig, Recipe
from cai.constitution import Constitution
from cai.errors import InputError
from cai.identity import role_of
from cai.resources import shipped
from cai.schemas import SCHEMAS, documented
from cai.yamlfile import parse_yaml, read_yaml

MODELS: dict[str, type[BaseModel]] = {"recipe": Recipe, "constitution": Constitution}
SHIPPED = [(kind, path) for kind in MODELS for path in sorted(shipped(f"{kind}s").glob("*.yaml"))]

SMALL = {"name": "a", "models": {"assistant": "tiny"}}
RULES = {"name": "mine", "principles": [{"id": "a", "comparison": "Which?"}]}


def validator(kind: str) -> Validator:
    return jsonschema.Draft202012Validator(SCHEMAS[kind]())


def agree(kind: str, data: Any) -> bool:
    """Whether the schema takes `data`, which must be what the program says too."""
    by_schema = validator(kind).is_valid(data)
    try:
        parse_yaml(json.dumps(data), "test").check(MODELS[kind])
    except InputError:
        assert not by_schema
    else:
        assert by_schema
    return by_schema


def changed(data: dict[str, Any], at: str, value: Any) -> dict[str, Any]:
    """A copy with the value at `a.b` replaced."""
    new = copy.deepcopy(data)
    node: Any = new
    *parents, last = at.split(".")
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[last] = value
    return new


@pytest.mark.parametrize("kind", MODELS)
def test_a_schema_is_one(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[kind]())
    assert SCHEMAS[kind]()["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_every_shipped_file_fits_its_schema_and_no_longer_with_a_typo(kind: str, path: Path) -> None:
    data = read_yaml(path).data
    validator(kind).validate(data)
    for key in data:
        renamed = {name if name != key else f"{key}x": value for name, value in data.items()}
        assert not validator(kind).is_valid(renamed), key


@pytest.mark.parametrize(
    ("at", "value", "good"),
    [
        ("models.assistant", {"model": "tiny", "dialect": "transcript"}, True),
        ("models.feedback", {"use": "assistant", "dialect": "transcript"}, True),
        ("models.judge", "tiny", False),
        ("models.assistant", {"modle": "tiny"}, False),
        ("models.assistant", 3, False),
        ("models", {"feedback": "tiny"}, False),
        ("engine", {"type": "scripted", "latency": 0.5}, True),
        ("engine", {"type": "scripted", "batch_size": 4}, False),
        ("engine", {"type": "none"}, False),
        ("engine", {"type": "auto"}, True),
        ("engine", {"type": "vllm", "args": {"enforce_eager": True}, "cache": "replies.sqlite"}, True),
        ("engine", {"type": "openai"}, False),
        ("engine", {"type": "vllm", "seeds": "perhaps"}, False),
        ("models.helpful", "tiny", True),
        ("models.feedback", {"use": "assistant", "engine": {"type": "openai", "base_url": "http://h/v1"}}, True),
        ("models.feedback", {"use": "assistant", "engine": {"type": "openai", "base_ur": "http://h/v1"}}, False),
        ("models.assistant", {"model": "tiny", "system": "Be kind.", "thinking": False}, True),
        ("models.feedback", {"model": "tiny", "adapter": "a/b"}, True),
        ("engine", {}, False),
        ("rl.steps", 20, True),
        ("rl.steps", 0, False),
        ("rl.stepz", 20, False),
        ("rl.learning_rate", 2e-5, True),
        ("rl", {"algorithm": "ppo", "kl_target": 6, "critic": "head"}, True),
        ("rl", {"algorithm": "ppo", "ptx": {"texts": "web.jsonl"}}, True),
        ("rl", {"algorithm": "rloo", "kl_target": 6}, False),
        ("rl", {"kl_target": 6}, False),
        ("rl", {"algorithm": "reinforce"}, False),
        ("prompts.limit", None, True),
        ("prompts.held_out", 1, False),
        ("sft.schedule", "cosine", True),
        ("sft.schedule", "cosinus", False),
        ("seed", -1, False),
        ("compare.judge", {"orders": "random", "few_shot": 2}, True),
        ("compare.judge", {"mode": "logprob", "layout": "principle_last"}, True),
        ("compare.judge", {"mode": "cot", "thoughts": 2, "temperature": 1}, True),
        ("compare.judge", {"mode": "contrast", "against": "nothing", "per": "character"}, True),
        ("compare.judge", {"mode": "contrast", "orders": "both"}, False),
        ("compare.judge", {"mode": "guess"}, False),
        ("compare.judge", {"thoughts": 2}, False),
        ("compare.judge", {"principles": "all", "calibration": {"temperature": 2}}, True),
        ("compare.judge", {"principles": 0}, False),
        ("compare.answers", {"samples": 4, "pairs": 3}, True),
        ("compare.answers", {"type": "rounds", "rounds": [1, "last"]}, True),
        ("compare.answers", {"rounds": [1, "last"]}, False),
        ("compare.answers", {"type": "models", "models": ["assistant", "old/rl"]}, True),
        ("compare.answers", {"type": "contrastive", "label": "construction"}, True),
        ("compare.orders", "both", False),
        ("preference_model.human", [{"pairs": "mine.jsonl", "weight": 2}], True),
        ("preference_model.human", [{"weight": 2}], False),
        ("dpo", {}, True),
        ("report", {}, True),
        ("report", [], False),
    ],
)
def test_the_recipe_schema_takes_what_the_program_takes(at: str, value: Any, good: bool) -> None:
    assert agree("recipe", changed(SMALL, at, value)) is good


@pytest.mark.parametrize(
    ("at", "value", "good"),
    [
        ("principles.0.critique", "Say.", True),
        ("principles.0.weight", 2, True),
        ("principles.0.weight", 0, False),
        ("principles.0.weigth", 1, False),
        ("principles.0.id", "A b", False),
        ("principles.0.tags", ["x"], True),
        ("principles.0.comparison", "", False),
        ("extends", "harmless", True),
        ("name", "", False),
        ("titel", "x", False),
    ],
)
def test_the_constitution_schema_takes_what_the_program_takes(at: str, value: Any, good: bool) -> None:
    data = changed(RULES, at, value)
    assert validator("constitution").is_valid(data) is good
    if not good:
        with pytest.raises(InputError):
            parse_yaml(json.dumps(data), "test").check(Constitution)


def test_every_setting_of_a_schema_has_a_meaning() -> None:
    bare = [
        f"{kind}: {where}"
        for kind, make in SCHEMAS.items()
        for where, node in _properties(make())
        if not node.get("description")
    ]
    assert bare == []


def _properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in {"": schema, **schema["$defs"]}.items():
        for field, node in part.get("properties", {}).items():
            yield f"{name}.{field}", node


# The settings as printed.


def fields(config: type[BaseModel], at: str = "") -> Iterator[tuple[str, str, type[BaseModel]]]:
    """(path, field, class) of every setting, those of nested classes and of all engines included.

    A group that is left out by default has no settings of its own, nor has a list of groups. What tells groups apart
    comes first.
    """
    for name in sorted(config.model_fields, key=lambda one: one not in ("type", "mode", "algorithm")):
        field = config.model_fields[name]
        yield f"{at}{name}", name, config
        for kind in (field.annotation, *get_args(field.annotation)):
            left_out = type(None) in get_args(field.annotation) or get_origin(field.annotation) is tuple
            if isinstance(kind, type) and issubclass(kind, BaseModel) and not left_out:
                yield from fields(kind, f"{at}{name}.")


def test_every_setting_is_printed_below_its_meaning() -> None:
    lines = documented(Recipe).splitlines()
    expected = list(fields(Recipe))
    assert len(expected) > 60
    for path, name, config in expected:
        indent = "  " * path.count(".")
        meaning = config.model_fields[name].description
        mark = " [knob]" if role_of(config, name) == "knob" else ""
        at = [number for number, line in enumerate(lines) if line == f"{indent}# {meaning}{mark}"]
        assert any(lines[number + 1].startswith(f"{indent}{name}:") for number in at), path


def test_nothing_is_printed_that_is_not_a_setting() -> None:
    printed = [line for line in documented(Recipe).splitlines() if not line.strip().startswith("#")]
    assert len(printed) == len(list(fields(Recipe)))


def test_a_printed_default_is_the_default() -> None:
    """Every line is read back as YAML; a group has no value on its line."""
    lines = [line for line in documented(Recipe).splitlines() if not line.strip().startswith("#")]
    for line, (path, name, config) in zip(lines, fields(Recipe), strict=True):
        field = config.model_fields[name]
        value = parse_yaml(line.strip(), path).data[name]
        if field.is_required():
            assert value in ("<required>", None), path
        elif value is not None or field.default_factory is None:
            default = field.get_default(call_default_factory=True)
            assert value == json.loads(json.dumps(default, default=BaseModel.model_dump)), path


def test_a_group_that_is_left_out_shows_its_settings_as_comments() -> None:
    lines = documented(Recipe).splitlines()
    start = lines.index("distill: null")
    shown = lines[start + 1 : lines.index("# Stage `ghost`; none: not run.")]
    assert all(line.startswith("#   ") for line in shown)
    for name, field in DistillConfig.model_fields.items():
        assert any(line.startswith(f"#   {name}: ") for line in shown)
        assert f"#   # {field.description}" in shown


@pytest.mark.parametrize(
    "line",
    [
        "name: <required>",
        "  held_out: 0.25  # > 0, < 1",
        "  limit: null  # >= 1",
        '  schedule: "constant"  # "constant" | "cosine" | "linear"',
        "  # or: Generation with transformers, in batches, on the CPU or one GPU.",
        "  # either: vLLM where it is installed, else transformers; settled when the recipe is read.",
        "    engine: null",
        "  args: {}",
        "  # or: Deterministic made-up replies, for tests and dry runs. Not a model.",
        "  human: []",
        "  #   pairs: <required>",
        '    mode: "contrast"  # "contrast"',
    ],
)
def test_bounds_and_choices_are_printed(line: str) -> None:
    assert line in documented(Recipe).splitlines()
