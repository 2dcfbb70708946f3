"""Size `tiny`: a shipped recipe keeps what it is about, and loses what takes time, a GPU or a network."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from cai.config import Recipe, load_recipe
from cai.resources import shipped
from cai.sizes import CAPS, tiny

BIG = sorted(path.stem for path in shipped("recipes").glob("*.yaml") if path.stem not in ("smoke", "quickstart"))


def numbers(config: BaseModel) -> dict[str, float]:
    """Every number of a tree of settings by its name, the largest of those that share one."""
    found: dict[str, float] = {}
    for name, value in config:
        several = value if isinstance(value, tuple) else (value,)
        for one in several:
            inner = numbers(one) if isinstance(one, BaseModel) else {}
            own = {name: one} if isinstance(one, int | float) and not isinstance(one, bool) else {}
            for key, number in (inner | own).items():
                found[key] = max(found.get(key, number), number)
    return found


def texts(config: BaseModel) -> str:
    return config.model_dump_json()


@pytest.mark.parametrize("name", BIG)
def test_no_number_is_larger_than_its_cap(name: str) -> None:
    small = numbers(load_recipe(name, ["size=tiny"]))
    assert {key: number for key, number in small.items() if key in CAPS and number > CAPS[key]} == {}


@pytest.mark.parametrize("name", BIG)
def test_nothing_comes_from_a_hub_or_runs_on_a_gpu(name: str) -> None:
    recipe = load_recipe(name, ["size=tiny"])
    assert '"hf:' not in texts(recipe)
    assert {model.model for _, model in recipe.models} == {"tiny-random"}
    assert recipe.engine.type == "scripted" and not any(model.engine for _, model in recipe.models)


@pytest.mark.parametrize("name", BIG)
def test_what_a_recipe_is_about_stays(name: str) -> None:
    full, small = load_recipe(name), load_recipe(name, ["size=tiny"])
    assert small.name == f"{name}-tiny"
    assert small.without == full.without
    assert small.rl.algorithm == full.rl.algorithm
    assert [reward.type for reward in small.rl.rewards] == [reward.type for reward in full.rl.rewards]
    assert small.compare.judge.mode == full.compare.judge.mode
    assert [model.dialect for _, model in small.models] == [model.dialect for _, model in full.models]


def test_overrides_are_cut_too_and_other_names_stay_theirs() -> None:
    recipe = load_recipe("paper", ["size=tiny", "name=mine", "rl.steps=500", "rl.kl=0.5"])
    assert (recipe.name, recipe.rl.steps, recipe.rl.model_dump()["kl"]) == ("mine-tiny", CAPS["steps"], 0.5)


def test_a_tiny_recipe_as_a_run_stores_it_is_read_as_it_is() -> None:
    recipe = load_recipe("paper", ["size=tiny"])
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_a_limit_that_is_absent_is_one() -> None:
    settings = tiny(load_recipe("smoke", ["prompts.limit=~", "evaluate.limit=2"]).model_dump())
    assert (settings["prompts"]["limit"], settings["evaluate"]["limit"]) == (CAPS["limit"], 2)
