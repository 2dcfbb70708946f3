"""The parts that models play: each may have an engine, an adapter and a system prompt of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.config import Recipe, load_recipe
from cai.engine_config import OpenAIEngine, ScriptedEngine, TransformersEngine
from cai.errors import InputError

SERVER = "{type: openai, base_url: 'http://h/v1'}"


def load(path: Path, models: str, engine: str = "{type: scripted}") -> Recipe:
    recipe = path / "r.yaml"
    recipe.write_text(f"name: t\nmodels: {models}\nengine: {engine}\n")
    return load_recipe(str(recipe))


def complaint(path: Path, models: str, engine: str = "{type: scripted}") -> str:
    with pytest.raises(InputError) as caught:
        load(path, models, engine)
    return str(caught.value).replace(f"{path}/", "")


def test_every_part_is_the_assistant_unless_it_is_named(tmp_path: Path) -> None:
    models = load(tmp_path, "{assistant: {model: a, system: Be kind., thinking: false, dialect: transcript}}").models
    assert models.helpful == models.feedback == models.pretrained == models.assistant
    assert (models.assistant.system, models.assistant.thinking) == ("Be kind.", False)


@pytest.mark.parametrize("part", ["helpful", "feedback", "pretrained"])
def test_one_part_may_be_another_model(tmp_path: Path, part: str) -> None:
    models = load(tmp_path, f"{{assistant: a, {part}: b}}").models
    named = {name: model.model for name, model in models}
    assert named == {name: "b" if name == part else "a" for name in named}
    assert set(named) == {"assistant", "helpful", "feedback", "pretrained"}


def test_an_engine_of_its_own_stands_before_the_recipes(tmp_path: Path) -> None:
    recipe = load(tmp_path, f"{{assistant: a, feedback: {{model: big, engine: {SERVER}}}}}")
    assert recipe.engine_of(recipe.models.feedback) == OpenAIEngine(base_url="http://h/v1")
    assert recipe.engine_of(recipe.models.assistant) == ScriptedEngine()


def test_a_part_that_uses_another_takes_its_engine_unless_it_has_one(tmp_path: Path) -> None:
    written = f"{{assistant: {{model: a, engine: {SERVER}}}, feedback: {{use: assistant}}, "
    models = load(tmp_path, written + "pretrained: {use: assistant, engine: {type: transformers}}}").models
    assert models.helpful.engine == models.feedback.engine == OpenAIEngine(base_url="http://h/v1")
    assert models.pretrained.engine == TransformersEngine()
    assert models.pretrained.model == "a"


def test_an_adapter_lies_on_any_model_that_is_not_finetuned(tmp_path: Path) -> None:
    models = load(tmp_path, "{assistant: {model: a, adapter: laid/on}, pretrained: {model: a}}").models
    assert (models.assistant.adapter, models.feedback.adapter, models.pretrained.adapter) == ("laid/on",) * 2 + (None,)


@pytest.mark.parametrize(
    ("models", "line"),
    [
        ("{assistant: {model: a, adapter: b}}", 2),
        ("\n  assistant: a\n  pretrained: {use: assistant, adapter: b}", 4),
        ("\n  assistant: a\n  pretrained:\n    model: c\n    adapter: b", 4),
    ],
)
def test_a_model_with_an_adapter_cannot_be_finetuned(tmp_path: Path, models: str, line: int) -> None:
    said = complaint(tmp_path, models)
    assert said == (
        f"r.yaml:{line}: models.pretrained: this model is finetuned as a whole and can have no adapter; merge it into "
        "the weights first"
    )


@pytest.mark.parametrize(
    ("models", "engine", "line"),
    [
        ("{assistant: a}", SERVER, 2),
        ("\n  assistant: a\n  pretrained: b", SERVER, 4),
        (f"\n  assistant: a\n  pretrained: {{use: assistant, engine: {SERVER}}}", "{type: scripted}", 4),
    ],
)
def test_a_model_on_a_server_cannot_be_finetuned(tmp_path: Path, models: str, engine: str, line: int) -> None:
    said = complaint(tmp_path, models, engine)
    assert said.startswith(f"r.yaml:{line}: models.pretrained: this model is finetuned on this machine and cannot be ")
    assert "give it an engine of its own that runs here" in said


def test_the_others_may_all_be_on_a_server(tmp_path: Path) -> None:
    recipe = load(tmp_path, "{assistant: a, pretrained: {model: b, engine: {type: transformers}}}", SERVER)
    assert recipe.engine_of(recipe.models.helpful).type == "openai"
    assert recipe.engine_of(recipe.models.pretrained).type == "transformers"


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("{assistant: a, helpful: {engine: {type: scripted}}}", "the part 'helpful' names no model"),
        ("{assistant: a, helpfull: b}", "models.helpfull: unknown key; did you mean 'helpful'?"),
        ("{assistant: a, helpful: {use: helper}}", "expected one of assistant, feedback, pretrained"),
        ("{assistant: {model: a, sistem: b}}", "models.assistant.sistem: unknown key; did you mean 'system'?"),
        ("{assistant: {model: a, thinking: perhaps}}", "models.assistant.thinking: input should be a valid boolean"),
        ("{assistant: {model: a, engine: 3}}", "models.assistant.engine: expected a mapping of settings"),
        ("{assistant: {model: a, engine: {}}}", "models.assistant.engine: the key 'type' is required here and missing"),
        (
            "{assistant: {model: a, engine: {type: scripted, latncy: 1}}}",
            "models.assistant.engine.latncy: unknown key; did you mean 'latency'?",
        ),
    ],
)
def test_a_mistake_in_a_part_is_told_once(tmp_path: Path, models: str, told: str) -> None:
    said = complaint(tmp_path, models)
    assert said.startswith("r.yaml:2: models") and told in said
    assert "\n" not in said
