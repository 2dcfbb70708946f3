"""Recipes: overrides, typos with their line, parts that use other parts, sizes that must divide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.config import Recipe, load_recipe
from cai.engine_config import ScriptedEngine, default_engine
from cai.errors import InputError
from cai.resources import shipped

BASE = "name: test\nmodels:\n  assistant: tiny\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(BASE)
    return path


def load(path: Path, *overrides: str, more: str = "") -> Recipe:
    path.write_text(path.read_text() + more)
    return load_recipe(str(path), list(overrides))


def complaint(path: Path, *overrides: str, more: str = "") -> str:
    with pytest.raises(InputError) as caught:
        load(path, *overrides, more=more)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_recipe_of_three_lines_has_all_defaults(recipe: Path) -> None:
    found = load(recipe)
    assert (found.seed, found.constitution, found.revise.rounds) == (0, "harmless", 4)
    assert found.engine == default_engine()
    models = found.models
    assert models.helpful == models.feedback == models.pretrained == models.assistant


@pytest.mark.parametrize("path", sorted(shipped("recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path: Path) -> None:
    assert load_recipe(path.stem).name


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=7", 7),
        ("rl.steps=20", 20),
        ("rl.learning_rate=2e-5", 2e-5),
        ("prompts.limit=~", None),
        ("constitution=no", "no"),
        ("description='a=b: [c'", "a=b: [c"),
        ("description=''", ""),
        ("models.assistant.dialect=transcript", "transcript"),
        ("models.feedback.model=other", "other"),
        ("models.assistant=other", {"model": "other"}),
        ("engine.type=scripted", "scripted"),
    ],
)
def test_an_override_sets_one_value(recipe: Path, override: str, value: Any) -> None:
    found: Any = load(recipe, override).model_dump(exclude_unset=True)
    for part in override.partition("=")[0].split("."):
        found = found[part]
    assert found == value


def test_later_overrides_win_and_the_file_is_kept_below_them(recipe: Path) -> None:
    found = load(recipe, "rl.steps=5", "rl.steps=6", more="rl: {steps: 4, samples: 3}\n")
    assert (found.rl.steps, found.rl.samples) == (6, 3)


def test_an_override_of_a_group_replaces_it(recipe: Path) -> None:
    found = load(recipe, "engine={type: scripted, latency: 0.5}", more="engine: {type: transformers, dtype: float16}\n")
    assert found.engine == ScriptedEngine(latency=0.5)


def test_an_override_keeps_the_other_settings_of_a_part(recipe: Path) -> None:
    found = load(recipe, "models.assistant.dialect=transcript", "models.feedback={use: assistant, dialect: chat}")
    assert (found.models.assistant.model, found.models.assistant.dialect) == ("tiny", "transcript")
    assert (found.models.feedback.model, found.models.feedback.dialect) == ("tiny", "chat")
    assert found.models.pretrained.dialect == "transcript"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rl.stepz=20", "override 'rl.stepz=20': rl.stepz: unknown key; did you mean 'steps'?"),
        ("engin.type=x", "engin: unknown key; did you mean 'engine'?"),
        ("rl.steps=0", "override 'rl.steps=0': rl.steps: input should be greater than or equal to 1 (found 0)"),
        ("rl.steps=many", "override 'rl.steps=many': rl.steps: input should be a valid integer"),
        ("engine={type: scripted, latncy: 1}", "engine.latncy: unknown key; did you mean 'latency'?"),
        ("rl.steps", "override 'rl.steps': expected key=value, such as rl.steps=20"),
        ("=20", "override '=20': expected key=value, such as rl.steps=20"),
        ("name.x=1", "override 'name.x=1': name is not a group of settings"),
        ("rl.steps=[", "override 'rl.steps=[':1: not valid YAML"),
        ("name=a/b", "override 'name=a/b': name: a name may hold letters"),
    ],
)
def test_a_bad_override_is_blamed_on_itself(recipe: Path, override: str, message: str) -> None:
    assert message in complaint(recipe, override)


@settings(max_examples=20)
@given(st.text(max_size=6))
def test_any_override_is_taken_or_refused_by_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, override: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "r.yaml"
    path.write_text(BASE)
    for text in (override, f"rl.steps={override}", f"models.feedback={override}", f"{override}=1"):
        try:
            load_recipe(str(path), [text])
        except InputError:
            continue


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("rl:\n  stepz: 4\n", "r.yaml:5: rl.stepz: unknown key; did you mean 'steps'?"),
        ("constituton: x\n", "r.yaml:4: constituton: unknown key; did you mean 'constitution'?"),
        ("engine: {type: scripted, batch_size: 3}\n", "r.yaml:4: engine.batch_size: unknown key"),
        ("engine: {batch_size: 3}\n", "r.yaml:4: engine: the key 'type' is required here and missing"),
        ("engine: {type: vlm}\n", "r.yaml:4: engine.type: expected one of 'auto', 'vllm', 'openai', 'transformers', "),
        ("seed: true\n", "r.yaml:4: seed: input should be a valid integer (found True)"),
        ("sft: {epochs: .inf}\n", "r.yaml:4: sft.epochs: input should be a finite number (found inf)"),
        ("rl: {kl: .nan}\n", "r.yaml:4: rl.kl: input should be a finite number (found nan)"),
        ("prompts: {held_out: 1}\n", "r.yaml:4: prompts.held_out: input should be less than 1 (found 1)"),
        ("rl: {samples: 1}\n", "r.yaml:4: rl.samples: input should be greater than or equal to 2 (found 1)"),
        ("rl:\n", "r.yaml:4: rl: expected a mapping of settings (found None)"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_place(recipe: Path, more: str, message: str) -> None:
    assert complaint(recipe, more=more).startswith(message)


@pytest.mark.parametrize(
    ("models", "feedback"),
    [
        ("{assistant: a}", "a"),
        ("{assistant: a, feedback: b}", "b"),
        ("{assistant: a, feedback: {use: assistant}}", "a"),
        ("{assistant: a, feedback: {use: pretrained}, pretrained: c}", "c"),
        ("{assistant: {use: feedback}, feedback: {model: b}}", "b"),
        ("{assistant: a, feedback: {use: assistant, model: d}}", "d"),
        ("{assistant: a, feedback: {use: pretrained}}", "a"),
    ],
)
def test_a_part_can_use_another(recipe: Path, models: str, feedback: str) -> None:
    recipe.write_text(f"name: x\nmodels: {models}\n")
    assert load(recipe).models.feedback.model == feedback


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("{feedback: a}", "the part 'assistant' is required"),
        ("{assistant: a, feedback: {use: nobody}}", "'feedback' uses 'nobody'; expected one of assistant, helpful, "),
        ("{assistant: a, feedback: {use: feedback}}", "the parts feedback -> feedback use each other; let one"),
        ("{assistant: {use: feedback}}", "the parts assistant -> feedback -> assistant use each other; let one"),
        ("{assistant: a, feedback: {use: pretrained}, pretrained: {use: feedback}}", "use each other"),
        ("{assistant: a, feedback: {use: [assistant]}}", "expected one of assistant, helpful, pretrained"),
        ("{assistant: a, feedback: {use: nobody}, pretrained: 3}", "expected one of assistant, helpful, pretrained"),
        ("{assistant: a, feedback: {use: pretrained}, pretrained: 3}", "uses 'pretrained', which names no model"),
        ("{assistant: a, feedback: {dialect: chat}}", "the part 'feedback' names no model"),
        ("{assistant: ''}", "the part 'assistant' names no model"),
        ("{assistant: a, judge: b}", "models.judge: unknown key; known here: assistant, feedback, helpful, pretrained"),
        ("{assistant: {model: a, dialekt: chat}}", "models.assistant.dialekt: unknown key; did you mean 'dialect'?"),
        ("{assistant: a, feedback: 3}", "models.feedback: expected a mapping of settings"),
        ("[a]", "models: expected a mapping of settings"),
    ],
)
def test_parts_that_lead_nowhere(recipe: Path, models: str, message: str) -> None:
    recipe.write_text(f"name: x\nmodels: {models}\n")
    said = complaint(recipe)
    assert said.startswith("r.yaml:2: models")
    assert message in said


@pytest.mark.parametrize(
    ("batch", "micro", "fits"), [(32, 8, True), (32, 32, True), (4, 8, True), (30, 8, False), (9, 8, False)]
)
def test_micro_batches_divide_the_batch(recipe: Path, batch: int, micro: int, fits: bool) -> None:
    more = f"sft: {{batch_size: {batch}, micro_batch: {micro}}}\n"
    if fits:
        assert load(recipe, more=more).sft.batch_size == batch
    else:
        said = complaint(recipe, more=more)
        assert said == f"r.yaml:4: sft: batch_size {batch} is not a multiple of micro_batch {micro}"


@pytest.mark.parametrize(("prompts", "samples", "micro", "fits"), [(4, 3, 6, True), (4, 3, 64, True), (4, 3, 5, False)])
def test_micro_batches_divide_the_samples_of_rl(
    recipe: Path, prompts: int, samples: int, micro: int, fits: bool
) -> None:
    more = f"rl: {{prompts_per_step: {prompts}, samples: {samples}, micro_batch: {micro}}}\n"
    if fits:
        assert load(recipe, more=more).rl.micro_batch == micro
    else:
        expected = "r.yaml:4: rl.rloo: micro_batch 5 does not divide 12 = prompts_per_step x samples"
        assert complaint(recipe, more=more) == expected


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", ".hidden", "a b", "x\n", "é"])
def test_a_name_is_a_folder_below_runs(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Recipe.model_validate({"name": name, "models": {"assistant": "m"}})


def test_a_recipe_is_frozen(recipe: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(recipe).seed = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_an_unknown_recipe_is_met_by_the_ones_that_ship() -> None:
    with pytest.raises(InputError, match="no file 'nonesuch' and nothing of that name ships in recipes/"):
        load_recipe("nonesuch")


def test_another_engine_starts_with_its_own_settings() -> None:
    """The quickstart's batch size means nothing to an engine that has none."""
    engine = load_recipe("quickstart", ["engine.type=scripted"]).engine
    assert engine.type == "scripted"
    kept = load_recipe("quickstart", ["engine.type=transformers"]).engine
    assert kept == load_recipe("quickstart").engine


def test_a_misspelled_group_is_the_override_s_mistake() -> None:
    told = r"^override 'engin\.type=scripted': engin: unknown key; did you mean 'engine'"
    with pytest.raises(InputError, match=told):
        load_recipe("quickstart", ["engin.type=scripted"])
