"""verl's form: prompts as Parquet, and the overrides of its configuration that train on them (checked with 0.9.1)."""

from __future__ import annotations

import json
from typing import Any

from cai.export.openrlhf import UNCLIPPED
from cai.export.rl_settings import OnlineConfig, RlSource, approximated, asked_text
from cai.records import Prompt
from cai.rl_config import GrpoConfig, PpoConfig, RlooConfig

_KL = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}
_LOSSES = {"grpo": "seq-mean-token-mean", "dapo": "token-mean", "dr_grpo": "seq-mean-token-sum-norm"}


def prompt_row(prompt: Prompt, turns: list[dict[str, str]], index: int) -> dict[str, Any]:
    """A row of prompts.parquet: data_source, prompt, ability, reward_model, extra_info, as verl's documents name them.

    There is no ground truth: the reward reads the conversation from `extra_info.asked`.
    """
    asked = {"kind": prompt.kind, "messages": turns}
    return {
        "data_source": asked_text(prompt.kind),
        "prompt": turns,
        "ability": prompt.kind,
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {
            "split": "train",
            "index": index,
            "prompt_id": prompt.id,
            "asked": json.dumps(asked, ensure_ascii=False),
        },
    }


def overrides(source: RlSource, longest: int) -> dict[str, Any]:
    """The overrides of `verl.trainer.main_ppo` that say what the recipe says. `longest`: tokens of a prompt."""
    config = source.config
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    minibatch = _minibatch(config)
    found: dict[str, Any] = {
        "data.prompt_key": "prompt",
        "data.reward_fn_key": "data_source",
        "data.train_batch_size": config.prompts_per_step,
        "data.max_prompt_length": longest,
        "data.max_response_length": config.max_tokens,
        "data.shuffle": False,
        "data.seed": source.seed,
        "data.truncation": "error",
        "actor_rollout_ref.model.enable_gradient_checkpointing": config.gradient_checkpointing,
        f"{rollout}.name": "vllm",
        f"{rollout}.n": config.samples,
        f"{rollout}.temperature": config.temperature,
        f"{rollout}.seed": source.seed,
        f"{actor}.optim.lr": config.learning_rate,
        f"{actor}.ppo_mini_batch_size": minibatch,
        "reward.custom_reward_function.name": "compute_score",
        "trainer.total_epochs": 1,
        "trainer.total_training_steps": config.steps,
        "trainer.save_freq": config.save_every,
    }
    return found | (_ppo(config) if isinstance(config, PpoConfig) else _grouped(config))


def _minibatch(config: OnlineConfig) -> int:
    """Prompts in one optimizer step: verl counts these with all their answers."""
    if not isinstance(config, PpoConfig):
        return config.prompts_per_step
    return max(1, min(config.minibatch, config.prompts_per_step * config.samples) // config.samples)


def _ppo(config: PpoConfig) -> dict[str, Any]:
    actor = "actor_rollout_ref.actor"
    both = {
        "weight_decay": config.weight_decay,
        "betas": [0.9, 0.95],
        "clip_grad": config.max_grad_norm or UNCLIPPED,
        "lr_scheduler_type": "constant",
        "lr_warmup_steps": config.warmup,
    }
    clips = dict.fromkeys(("clip_ratio", "clip_ratio_low", "clip_ratio_high"), config.clip)
    return {
        "algorithm.adv_estimator": "gae",
        "algorithm.gamma": config.discount,
        "algorithm.lam": config.gae,
        **_kl_in_reward(config.kl, config.kl_estimator),
        **{f"{actor}.{name}": value for name, value in clips.items()},
        f"{actor}.ppo_epochs": config.epochs,
        f"{actor}.entropy_coeff": config.entropy,
        "critic.optim.lr": config.value_learning_rate,
        "critic.cliprange_value": UNCLIPPED if config.value_clip is None else config.value_clip,
        **{f"{model}.optim.{name}": value for model in (actor, "critic") for name, value in both.items()},
    }


def _kl_in_reward(weight: float, estimator: str) -> dict[str, Any]:
    return {
        "algorithm.use_kl_in_reward": True,
        "algorithm.kl_penalty": _KL[estimator],
        "algorithm.kl_ctrl.type": "fixed",
        "algorithm.kl_ctrl.kl_coef": weight,
    }


def _grouped(config: OnlineConfig) -> dict[str, Any]:
    """RLOO and GRPO, with the betas and the weight decay that TRL takes."""
    actor = "actor_rollout_ref.actor"
    plain = {f"{actor}.optim.betas": [0.9, 0.999], f"{actor}.optim.weight_decay": 0.0}
    if isinstance(config, RlooConfig):
        return {"algorithm.adv_estimator": "rloo", **_kl_in_reward(config.kl, "k1"), **plain}
    assert isinstance(config, GrpoConfig)
    clips = dict.fromkeys(("clip_ratio", "clip_ratio_low", "clip_ratio_high"), config.epsilon)
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": config.scale_rewards != "none",
        f"{actor}.use_kl_loss": True,
        f"{actor}.kl_loss_coef": config.kl,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.loss_agg_mode": _LOSSES.get(config.loss_type, "token-mean"),
        **{f"{actor}.{name}": value for name, value in clips.items()},
        **plain,
    }


def notes(config: OnlineConfig) -> list[str]:
    """What of the recipe's algorithm verl has otherwise."""
    found = approximated(config, _LOSSES)
    if isinstance(config, PpoConfig):
        found.append("AdamW's epsilon stays verl's, 1e-8, where cai takes 1e-5")
        if _minibatch(config) * config.samples != min(config.minibatch, config.prompts_per_step * config.samples):
            found.append(f"rl.minibatch is rounded to {_minibatch(config)} prompts with all their answers")
    return found


def launch(source: RlSource, longest: int) -> str:
    """train.sh."""
    critic = next(iter(source.models), "policy")
    lines = [f"  {name}={_value(value)} \\" for name, value in overrides(source, longest).items()]
    if isinstance(source.config, PpoConfig):
        lines.append(f'  "critic.model.path=$HERE/{critic}" "critic.ppo_micro_batch_size_per_gpu=$MICRO" \\')
    return _SCRIPT.format(overrides="\n".join(lines))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"'[{','.join(map(str, value))}]'"
    return str(value)


_SCRIPT = """#!/usr/bin/env bash
# Reinforcement learning of this run's policy with verl 0.9. The numbers are the recipe's; what stands in capitals is
# the cluster's, to be set by you. All machines of the Ray cluster must see this folder.
set -euo pipefail
HERE="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
NODES="${{NODES:-1}}" GPUS="${{GPUS:-8}}" TP="${{TP:-1}}" MICRO="${{MICRO:-8}}" OUT="${{OUT:-$HERE/out}}"
exec python3 -m verl.trainer.main_ppo \\
  "data.train_files=$HERE/prompts.parquet" "data.val_files=$HERE/prompts.parquet" \\
  "actor_rollout_ref.model.path=$HERE/policy" \\
{overrides}
  "reward.custom_reward_function.path=$HERE/reward.py" \\
  "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=$MICRO" \\
  "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=$MICRO" \\
  "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=$MICRO" \\
  "actor_rollout_ref.rollout.tensor_model_parallel_size=$TP" \\
  "trainer.nnodes=$NODES" "trainer.n_gpus_per_node=$GPUS" "trainer.default_local_dir=$OUT" \\
  trainer.project_name=cai trainer.experiment_name=rl 'trainer.logger=[console]' \\
  trainer.val_before_train=False trainer.test_freq=-1 "$@"
"""
