"""OpenRLHF's form: prompts and comparisons as JSON lines, and the command that trains on them (checked with 0.11.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cai.export.rl_settings import OnlineConfig, RlSource, approximated, asked_text
from cai.records import Comparison, Prompt
from cai.rl_config import GrpoConfig, PpoConfig, RlooConfig

UNCLIPPED = 1_000_000
"""Beyond any reward: OpenRLHF clips to 10 unless it is told otherwise, and the paper's rewards are raw."""

_LOSSES = {"grpo": "seq-mean-token-mean", "dapo": "token-mean"}


def prompt_row(prompt: Prompt, turns: list[dict[str, str]], index: int) -> dict[str, Any]:
    """A row of prompts.jsonl: `input` (--data.input_key), `label` (--data.label_key), `datasource`."""
    asked = {"kind": prompt.kind, "messages": turns}
    return {
        "input": turns,
        "label": json.dumps(asked, ensure_ascii=False),
        "datasource": asked_text(prompt.kind),
        "prompt_id": prompt.id,
    }


def preference_rows(source: RlSource) -> Iterator[dict[str, Any]]:
    """Rows of preferences.jsonl, for `openrlhf.cli.train_rm`: prompt, chosen and rejected, each a list of messages."""
    return (_preference(one, source.turns(one.prompt)) for one in source.comparisons())


def _preference(one: Comparison, turns: list[dict[str, str]]) -> dict[str, Any]:
    p_a = one.verdict.p_a or 0.0
    better, worse = (one.a.text, one.b.text) if p_a >= 0.5 else (one.b.text, one.a.text)
    answers = ([{"role": "assistant", "content": text}] for text in (better, worse))
    return {"prompt": turns, **dict(zip(("chosen", "rejected"), answers, strict=True)), "label": max(p_a, 1 - p_a)}


def flags(source: RlSource, longest: int) -> dict[str, Any]:
    """The options of `openrlhf.cli.train_ppo_ray` that say what the recipe says. `longest`: tokens of a prompt."""
    config = source.config
    answers = config.prompts_per_step * config.samples
    found: dict[str, Any] = {
        "data.input_key": "input",
        "data.label_key": "label",
        "data.apply_chat_template": True,
        "data.max_len": longest + config.max_tokens,
        "rollout.max_new_tokens": config.max_tokens,
        "rollout.temperature": config.temperature,
        "rollout.batch_size": config.prompts_per_step,
        "rollout.n_samples_per_prompt": config.samples,
        "train.num_episodes": 1,
        "train.batch_size": min(config.minibatch, answers) if isinstance(config, PpoConfig) else answers,
        "train.seed": source.seed,
        "actor.adam.lr": config.learning_rate,
        "actor.gradient_checkpointing_enable": config.gradient_checkpointing,
        "algo.kl.init_coef": config.kl,
        "reward.clip_range": [-UNCLIPPED, UNCLIPPED],
        "ckpt.save_steps": config.save_every,
    }
    return found | (_ppo(config) if isinstance(config, PpoConfig) else _grouped(config))


def _ppo(config: PpoConfig) -> dict[str, Any]:
    both = {
        "adam.betas": [0.9, 0.95],
        "adam.eps": 1e-5,
        "adam.weight_decay": config.weight_decay,
        "max_norm": config.max_grad_norm,
        "lr_scheduler": "constant_with_warmup",
        "lr_warmup_ratio": min(1.0, config.warmup / config.steps),
    }
    return {
        "algo.advantage.estimator": "gae",
        "algo.advantage.gamma": config.discount,
        "algo.advantage.lambd": config.gae,
        "algo.kl.estimator": config.kl_estimator,
        "actor.eps_clip": config.clip,
        "actor.entropy_coef": config.entropy,
        "critic.value_clip": UNCLIPPED if config.value_clip is None else config.value_clip,
        "critic.adam.lr": config.value_learning_rate,
        "train.max_epochs": config.epochs,
        **{f"{model}.{name}": value for model in ("actor", "critic") for name, value in both.items()},
    }


def _grouped(config: OnlineConfig) -> dict[str, Any]:
    """RLOO and GRPO, with the betas that TRL takes."""
    constant = {"actor.adam.betas": [0.9, 0.999], "actor.lr_scheduler": "constant", "actor.lr_warmup_ratio": 0.0}
    if isinstance(config, RlooConfig):
        return {"algo.advantage.estimator": "rloo", "algo.kl.estimator": "k1", **constant}
    assert isinstance(config, GrpoConfig)
    return {
        "algo.advantage.estimator": "dr_grpo" if config.scale_rewards == "none" else "group_norm",
        "algo.kl.use_loss": True,
        "algo.kl.estimator": "k3",
        "actor.eps_clip": config.epsilon,
        "actor.loss_agg_mode": _LOSSES.get(config.loss_type, "token-mean"),
        **constant,
    }


def notes(config: OnlineConfig) -> list[str]:
    """What of the recipe's algorithm OpenRLHF has otherwise."""
    return [
        *approximated(config, _LOSSES),
        "OpenRLHF shuffles the prompts by its seed, so they come in another order than in `cai run`",
    ]


def launch(source: RlSource, longest: int) -> str:
    """train.sh."""
    critic = next(iter(source.models), "policy")
    lines = [f"  --{name}{_value(value)} \\" for name, value in flags(source, longest).items() if value is not False]
    if isinstance(source.config, PpoConfig):
        lines.append(f'  --critic.model_name_or_path "$HERE/{critic}" \\')
    only = source.only_a_preference_model
    scored = f'--reward.model_name_or_path "$HERE/{only}"' if only else '--reward.remote_url "$HERE/reward.py"'
    about = _BY_MODEL if only else ""
    return _SCRIPT.format(flags="\n".join(lines), scored=scored, about=about)


def _value(value: Any) -> str:
    if value is True:
        return ""
    return " " + " ".join(map(str, value)) if isinstance(value, list) else f" {value}"


_BY_MODEL = """# REWARD=model has OpenRLHF run the preference model itself, on GPUs and in batches: quicker, and in
# bfloat16. An answer that did not end is then scored as it stands, where cai adds the token that ends it.
"""

_SCRIPT = """#!/usr/bin/env bash
# Reinforcement learning of this run's policy with OpenRLHF 0.11. The numbers are the recipe's; what stands in capitals
# is the cluster's, to be set by you. Ray must run (`ray start --head`), and all its machines must see this folder.
{about}set -euo pipefail
HERE="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
NODES="${{NODES:-1}}" GPUS="${{GPUS:-8}}" MICRO="${{MICRO:-8}}" OUT="${{OUT:-$HERE/out}}" REWARD="${{REWARD:-function}}"
if [ "$REWARD" = function ]; then scorer=(--reward.remote_url "$HERE/reward.py"); else scorer=({scored}); fi
exec python3 -m openrlhf.cli.train_ppo_ray \\
  --actor.model_name_or_path "$HERE/policy" \\
  --data.prompt_dataset "$HERE/prompts.jsonl" \\
{flags}
  --actor.num_nodes "$NODES" --actor.num_gpus_per_node "$GPUS" \\
  --ref.num_nodes "$NODES" --ref.num_gpus_per_node "$GPUS" \\
  --critic.num_nodes "$NODES" --critic.num_gpus_per_node "$GPUS" \\
  --reward.num_nodes "$NODES" --reward.num_gpus_per_node "$GPUS" \\
  --vllm.num_engines "$((NODES * GPUS))" --vllm.gpu_memory_utilization 0.5 --vllm.enable_sleep --ds.enable_sleep \\
  --train.colocate_all --ds.zero_stage 3 --train.micro_batch_size "$MICRO" --rollout.micro_batch_size "$MICRO" \\
  --ckpt.output_dir "$OUT" --ckpt.path "$OUT/checkpoints" --ckpt.save_hf "${{scorer[@]}}" "$@"
"""
