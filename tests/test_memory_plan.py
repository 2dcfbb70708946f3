"""What training holds in memory, in copies of the model's weights, counted by hand."""

from __future__ import annotations

import pytest

from cai.config import TRAINING, load_recipe
from cai.material import Material
from cai.memory_plan import HUB, copies, memory_by_stage, memory_needed, too_large
from cai.resources import shipped

ADAPTER = "{rank: 8}"
GPU = "train={gpu_gb: 80}"
FOR_GPUS = sorted(
    path.stem for path in shipped("recipes").glob("*.yaml") if path.stem not in ("smoke", "quickstart", "ablation")
)
ENGINES = ("transformers", "vllm")
MISTRAL = HUB["mistralai/Mistral-7B-v0.3"] * 4


@pytest.mark.parametrize(
    ("stage", "overrides", "held"),
    [
        ("sft", [], 4),  # weights, gradient, two moments
        ("sft", [f"sft.adapter={ADAPTER}"], 1.05),
        ("sft", ["sft.adapter={bits: 4}"], 0.125 + 0.05),
        ("preference_model", [], 4),
        ("dpo", ["dpo={}"], 4),
        ("rl", [], 4 + 1 + 1),  # policy, reference, preference model
        ("rl", [f"rl.adapter={ADAPTER}"], 1.05 + 1),  # no reference
        ("rl", ["rl={algorithm: ppo}"], 4 + 1 + 4 + 1),  # and a critic that is trained
        ("rl", ["rl={algorithm: ppo, critic: head}"], 4 + 1 + 1),
        ("rl", [f"rl={{algorithm: ppo, critic: head, adapter: {ADAPTER}}}"], 1.05 + 1),
        ("rl", ["rl={rewards: [{type: length, target: 9}]}"], 4 + 1),
        ("rl", ["rl={rewards: [{type: llama2}]}", "helpfulness_model={human: [{pairs: x}]}"], 4 + 1 + 2),
        ("rl", ["rl={algorithm: ppo, ema: 0.9}"], 4 + 1 + 4 + 1 + 1),
        ("rl", [f"rl={{algorithm: ppo, ema: 0.9, adapter: {ADAPTER}}}"], 1.05 + 4 + 1),
        ("rejection_sampling", ["rejection_sampling={}"], 4 + 1),
        ("sft", [GPU], 4.5),  # and bfloat16 to multiply by
        ("sft", [GPU, f"sft.adapter={ADAPTER}"], 0.5 + 0.05),
        ("sft", [GPU, "sft.adapter={bits: 4}"], 0.125 + 0.05),
        ("rl", [GPU, "rl={algorithm: ppo}"], 4.5 + 1 + 4.5 + 1),
    ],
)
def test_copies_of_the_weights(stage: str, overrides: list[str], held: float) -> None:
    assert copies(stage, load_recipe("smoke", overrides)) == pytest.approx(held)


def test_the_peak_is_that_of_the_largest_stage_that_is_run() -> None:
    def needed(*overrides: str) -> float:
        found = memory_needed(Material(load_recipe("smoke", ["models.assistant=smollm2-135m", *overrides])))
        assert found is not None
        return found

    assert needed("without=[rl]") < needed() < needed("rl={algorithm: ppo}")


def test_of_an_unknown_model_nothing_is_said() -> None:
    assert memory_needed(Material(load_recipe("smoke", ["models.assistant=nobody/knows-this"]))) is None


def plan(name: str, *overrides: str) -> Material:
    return Material(load_recipe(name, list(overrides)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FOR_GPUS)
def test_a_recipe_fits_the_gpu_that_it_names(name: str, engine: str) -> None:
    material = plan(name, f"engine={{type: {engine}, dtype: bfloat16}}")
    recipe, found = material.recipe, memory_by_stage(material)
    assert recipe.train.gpu_gb and recipe.train.processes == 1
    assert set(found) == {stage for stage in TRAINING if recipe.runs(stage)} | {"evaluate"}
    assert {
        stage: need for stage, need in found.items() if stage != "evaluate" and need > 0.9e9 * recipe.train.gpu_gb
    } == {}
    assert too_large(material) == {}


@pytest.mark.parametrize("name", FOR_GPUS)
def test_a_recipe_for_a_gpu_keeps_few_activations(name: str) -> None:
    recipe = load_recipe(name)
    assert {
        stage for stage in TRAINING if recipe.runs(stage) and not getattr(recipe, stage).gradient_checkpointing
    } == set()


def test_what_recipes_say_of_other_gpus_and_settings_is_so() -> None:
    for name in ("paper", "paper-cot", "dpo", "direct-rlaif"):
        smaller = plan(name, "engine={type: vllm, dtype: bfloat16}", "train.gpu_gb=80")
        assert set(too_large(smaller)) == {"evaluate"}
    whole = memory_by_stage(plan("paper", "sft.adapter=~", "rl.critic=separate"))
    assert whole["sft"] == pytest.approx(131e9, rel=0.01)
    assert whole["rl"] - memory_by_stage(plan("paper"))["rl"] == pytest.approx(131e9, rel=0.01)
    assert too_large(plan("rlhf", "rl.critic=head", "train.gpu_gb=80")) == {}
    assert set(too_large(plan("rlhf", "train.gpu_gb=80"))) == {"rl"}
    larger = plan("llama2", "models.assistant=mistralai/Mistral-7B-v0.3")
    assert memory_by_stage(larger)["rejection_sampling"] == pytest.approx(189e9, rel=0.01)


def test_a_judge_that_rewards_is_held_beside_the_policy() -> None:
    def held(*overrides: str) -> float:
        return memory_by_stage(plan("direct-rlaif", *overrides))["rl"]

    climbed = "rl.rewards=[{type: preference_model}]"
    for engine, extra in (("transformers", 1.2 * MISTRAL / 2), ("vllm", 0.3 * 141e9)):
        asked = f"engine={{type: {engine}, dtype: bfloat16}}"
        assert held(asked) - held(asked, climbed) == pytest.approx(extra, rel=1e-6)
    served = "models.feedback.engine={type: openai, base_url: 'http://localhost:1/v1'}"
    assert held(served) == pytest.approx(held(served, climbed))


def test_evaluation_holds_all_models_of_the_run_beside_the_preference_model() -> None:
    found = memory_by_stage(plan("paper", "engine={type: transformers, dtype: bfloat16}"))
    assert found["evaluate"] == pytest.approx(3 * 1.2 * MISTRAL / 2 + MISTRAL + 1e9)
    assert memory_by_stage(plan("smoke", "models.assistant=nobody/knows-this")) == {}
