"""What training holds in memory, in copies of the model's weights, counted by hand."""

from __future__ import annotations

import pytest

from cai.config import load_recipe
from cai.material import Material
from cai.memory_plan import copies, memory_needed

ADAPTER = "{rank: 8}"


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
        ("rejection_sampling", ["rejection_sampling={}"], 4 + 1),
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
