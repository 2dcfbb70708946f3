"""GRPO: its KL is on, and holds the policy; what a recipe says of the algorithm reaches TRL."""

from pathlib import Path
from typing import Any

import pytest
from rl_data import Letters, Log, rise, tasks
from trl.trainer.grpo_config import GRPOConfig

from cai.rl_config import GrpoConfig
from cai.trainers.rl import _arguments, train_rl

SETTINGS: dict[str, Any] = {"steps": 10, "prompts_per_step": 4, "samples": 4, "max_tokens": 8, "learning_rate": 4e-3}


def train(folder: Path, **settings: Any) -> Log:
    log = Log()
    harmful, helpful = tasks("harmful", 8), tasks("helpful", 8)
    config = GrpoConfig(**{**SETTINGS, **settings})
    train_rl(harmful, helpful, "tiny-random", Letters(), folder, config, 3, log)
    return log


def test_a_huge_weight_of_the_kl_holds_the_policy_where_it_began(tmp_path: Path) -> None:
    """TRL's own default, no KL at all, would climb with each of these."""
    free, held = train(tmp_path / "free", kl=0.0), train(tmp_path / "held", kl=1000.0)
    assert rise(free.of("reward")) > 0.1
    assert rise(held.of("reward")) < rise(free.of("reward")) / 2
    assert free.of("kl") == [] and max(held.of("kl")[-5:]) < 0.02


def test_by_default_the_kl_counts(tmp_path: Path) -> None:
    log = train(tmp_path, steps=3)
    assert len(log.of("kl")) == 3 and log.of("kl")[0] == pytest.approx(0, abs=1e-6) and log.of("kl")[2] > 1e-6


def test_what_the_recipe_says_reaches_trl(tmp_path: Path) -> None:
    config = GrpoConfig(
        kl=0.3, epsilon=0.1, scale_rewards="none", loss_type="dr_grpo", samples=3, prompts_per_step=4, micro_batch=6
    )
    found = GRPOConfig(**_arguments(config, tmp_path, 1))
    assert (found.beta, found.epsilon, found.scale_rewards, found.loss_type) == (0.3, 0.1, "none", "dr_grpo")
    assert (found.num_generations, found.generation_batch_size, found.use_vllm) == (3, 12, False)
    assert GRPOConfig(**_arguments(GrpoConfig(), tmp_path, 1)).beta == 0.04
