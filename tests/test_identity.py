"""Digests, seeds, and the declaration of every config field."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cai.config import Recipe
from cai.identity import canonical_json, digest, digest_all, identity, identity_of, knob, role_of, seed_of

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Inner(BaseModel):
    width: int = identity(3, "Width.")
    batch: int = knob(8, "Batch.")


class Outer(BaseModel):
    name: str = identity(..., "Name.")
    inner: Inner = identity(Inner, "Inner.")
    several: tuple[Inner, ...] = identity((), "Several.")
    by_name: dict[str, Inner] = identity(dict, "By name.")
    log: Inner = knob(Inner, "Log.")


class Undeclared(BaseModel):
    width: int = 3


def configs(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """`model` and every config class that its fields reach."""
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for kind in classes(field.annotation):
            yield from configs(kind, seen)


def classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes(part)


FIELDS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}") for model in configs(Recipe) for name in model.model_fields
]


def test_the_walk_over_configs_finds_unions_and_nested_groups() -> None:
    names = {model.__name__ for model in configs(Recipe)}
    assert names >= {"Recipe", "ModelConfig", "TransformersEngine", "ScriptedEngine", "RlooConfig", "PpoConfig"}


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_setting_is_identity_or_knob_and_says_what_it_means(model: type[BaseModel], name: str) -> None:
    assert role_of(model, name) in ("identity", "knob")
    description = model.model_fields[name].description or ""
    assert len(description.strip()) > 10
    assert description.strip().endswith((".", ")", "`"))


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=3), PLAIN, min_size=2, max_size=4))
def test_a_digest_is_blind_to_the_order_of_keys(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert list(backwards) != list(value)
    assert digest({"nested": [backwards]}) == digest({"nested": [value]})


@settings(max_examples=40)
@given(st.lists(PLAIN, min_size=2, max_size=2, unique_by=repr))
def test_values_that_differ_have_digests_that_differ(pair: list[Any]) -> None:
    if canonical_json(pair[0]) != canonical_json(pair[1]):
        assert digest(pair[0]) != digest(pair[1])


def test_the_digest_of_a_known_value_never_changes() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_half_a_surrogate_pair_has_a_digest() -> None:
    assert digest("\ud800") != digest("\ud801")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ({"a": {1, 2}}, TypeError),
        (b"bytes", TypeError),
        (object(), TypeError),
        ({("a",): 1}, TypeError),
        (Inner(), TypeError),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        digest(value)


@given(st.lists(st.integers() | st.text(), max_size=4))
def test_a_seed_is_in_range_and_depends_on_its_parts_alone(parts: list[str | int]) -> None:
    assert 0 <= seed_of(*parts) < 2**63
    assert seed_of(*parts) == seed_of(*parts)


def test_parts_of_a_seed_do_not_run_together() -> None:
    seeds = {seed_of("a", "bc"), seed_of("ab", "c"), seed_of("abc"), seed_of(1, 2), seed_of(12), seed_of("1", 2)}
    assert len(seeds) == 6


def test_knobs_are_no_part_of_identity_at_any_depth() -> None:
    config = Outer(name="n", several=(Inner(width=1), Inner(batch=9)), by_name={"x": Inner(batch=7)})
    assert identity_of(config) == {
        "name": "n",
        "inner": {"width": 3},
        "several": [{"width": 1}, {"width": 3}],
        "by_name": {"x": {"width": 3}},
    }


def test_a_knob_of_a_recipe_leaves_its_digest_alone_and_a_setting_does_not() -> None:
    def recipe(**rl: Any) -> str:
        settings = {"name": "x", "models": {"assistant": "m"}, "rl": rl}
        return digest(identity_of(Recipe.model_validate(settings)))

    assert recipe(micro_batch=8) == recipe(micro_batch=4) == recipe(save_every=7)
    assert recipe(steps=3) != recipe(steps=4)


def test_an_undeclared_field_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"Undeclared\.width must be declared"):
        identity_of(Undeclared())


@given(st.lists(st.text() | st.integers() | st.lists(st.text(), max_size=3), max_size=6))
def test_the_digest_of_values_that_come_one_by_one_is_that_of_their_list(values: list[Any]) -> None:
    assert digest_all(iter(values)) == digest(values)
