"""Engines' settings: which there are, what `auto` stands for, and what must never stand in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from cai import engine_config
from cai.config import Recipe, load_recipe
from cai.engine_config import AutoEngine, EngineConfig, OpenAIEngine, ScriptedEngine, TransformersEngine, VllmEngine
from cai.errors import InputError
from cai.identity import identity_of

KINDS = get_args(get_args(EngineConfig)[0])
MODELS = "name: t\nmodels:\n  assistant: a\n"
"""Three lines, so that what is added begins in line 4."""


def load(path: Path, more: str, *overrides: str, models: str = MODELS) -> Recipe:
    recipe = path / "r.yaml"
    recipe.write_text(models + more)
    return load_recipe(str(recipe), list(overrides))


def complaint(path: Path, more: str, *overrides: str, models: str = MODELS) -> str:
    with pytest.raises(InputError) as caught:
        load(path, more, *overrides, models=models)
    return str(caught.value).replace(f"{path}/", "")


@pytest.fixture(params=[True, False], ids=["with vllm", "without vllm"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """The engine that `auto` stands for."""
    monkeypatch.setattr(engine_config, "find_spec", lambda name: name if request.param and name == "vllm" else None)
    return VllmEngine if request.param else TransformersEngine


def test_a_recipe_without_an_engine_gets_the_best_that_is_installed(tmp_path: Path, installed: type) -> None:
    assert load(tmp_path, "").engine == installed()


def test_auto_is_settled_when_the_recipe_is_read_and_keeps_what_it_was_given(tmp_path: Path, installed: type) -> None:
    found = load(tmp_path, "engine: {type: auto, dtype: bfloat16, cache: c.sqlite}\n")
    assert found.engine == installed(dtype="bfloat16", cache="c.sqlite")


def test_auto_of_one_model_is_settled_too(tmp_path: Path, installed: type) -> None:
    found = load(tmp_path, "  feedback: {use: assistant, engine: {type: auto}}\nengine: {type: scripted}\n")
    assert found.models.feedback.engine == installed()
    assert found.engine_of(found.models.feedback) == installed()
    assert found.engine_of(found.models.assistant) == ScriptedEngine()


def test_a_stored_recipe_keeps_the_engine_it_was_run_with(
    tmp_path: Path, installed: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = load(tmp_path, "").model_dump()
    monkeypatch.setattr(engine_config, "find_spec", lambda name: None if installed is VllmEngine else name)
    assert Recipe.model_validate(written).engine == installed()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_changes_no_result(kind: Any) -> None:
    needed: dict[str, Any] = {"base_url": "http://h"} if kind is OpenAIEngine else {}
    engine = kind(**needed)
    assert identity_of(engine.model_copy(update={"cache": "c.sqlite"})) == identity_of(engine)
    assert identity_of(engine)["type"] == engine.type


def test_where_a_server_is_changes_no_result_and_what_it_is_sent_does() -> None:
    one = OpenAIEngine(base_url="http://one/v1/")
    assert one.base_url == "http://one/v1"
    assert identity_of(OpenAIEngine(base_url="https://two:1", key_env="K", timeout=1, retries=0)) == identity_of(one)
    assert identity_of(one) != identity_of(OpenAIEngine(base_url="http://one/v1", extra={"min_p": 0.1}))


@pytest.mark.parametrize("kind", [TransformersEngine, VllmEngine, AutoEngine])
def test_the_format_of_the_weights_changes_results(kind: Any) -> None:
    assert identity_of(kind(dtype="float16")) != identity_of(kind())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("{type: openai}", "engine.base_url: required and missing"),
        ("{type: openai, base_url: localhost:8000}", "engine.base_url: expected an address such as http://localhost"),
        ("{type: openai, base_url: 'ftp://h'}", "engine.base_url: expected an address such as http://localhost"),
        ("{type: openai, base_url: 'http://'}", "engine.base_url: expected an address such as http://localhost"),
        ("{type: openai, base_url: 'http://h', extra: {api_key: x}}", "engine.extra.api_key: holds a key, a token"),
        ("{type: openai, base_url: 'http://h', extra: {Authorization: x}}", "engine.extra.Authorization: holds a key"),
        ("{type: openai, base_url: 'http://h', retrys: 2}", "engine.retrys: unknown key; did you mean 'retries'?"),
        ("{type: vllm, tensor_paralel_size: 2}", "engine.tensor_paralel_size: unknown key; did you mean 'tensor_par"),
        ("{type: vllm, dtype: int8}", "engine.dtype: input should be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ("{type: vllm, gpu_memory_utilization: 0}", "engine.gpu_memory_utilization: input should be greater than 0"),
        ("{type: transformers, quantization: 3bit}", "engine.quantization: input should be '4bit' or '8bit'"),
        ("{type: auto, batch_size: 4}", "engine.batch_size: unknown key; did you mean"),
        ("{type: vlm}", "engine.type: expected one of 'auto', 'vllm', 'openai', 'transformers', 'scripted'"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_engine_is_told_with_its_line(tmp_path: Path, settings: str, told: str) -> None:
    said = complaint(tmp_path, f"engine: {settings}\n")
    assert said.startswith("r.yaml:4: engine.") and told in said
    assert told in complaint(tmp_path, "", f"engine={settings}")
    assert complaint(tmp_path, "", f"engine={settings}").startswith("override ")


def test_a_mistake_in_an_engine_of_one_model_is_told_once_with_its_line(tmp_path: Path) -> None:
    models = "name: t\nmodels:\n  assistant:\n    model: a\n    engine:\n      type: vllm\n      sedes: true\n"
    said = complaint(tmp_path, "", models=models)
    assert said == "r.yaml:7: models.assistant.engine.sedes: unknown key; did you mean 'seeds'?"


def test_a_bad_type_is_blamed_on_the_override_that_brought_it(tmp_path: Path) -> None:
    said = complaint(tmp_path, "engine:\n  type: scripted\n", "engine.type=vlm")
    assert said.startswith("override 'engine.type=vlm': engine.type: expected one of 'auto', 'vllm'")
    said = complaint(tmp_path, "", "models.assistant.engine.type=vlm")
    assert said.startswith("override 'models.assistant.engine.type=vlm': models.assistant.engine.type: expected one of")
    assert "\n" not in said


@pytest.mark.parametrize("url", ["http://me:hunter2@h/v1", "http://hunter2@h", "https://h/v1?key=hunter2"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    said = complaint(tmp_path, f"engine:\n  type: openai\n  base_url: '{url}'\n")
    assert said.startswith("r.yaml:6: engine.base_url: an address holds no user, password or query; keys come from")
    assert "hunter2" not in said
