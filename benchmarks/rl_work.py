"""A few steps of reinforcement learning on SmolLM2-135M, as the benchmarks of its cost and of resuming train them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.prompts import Templates
from cai.questions import load_prompts
from cai.rl_config import GrpoConfig, PpoConfig, RlooConfig
from cai.trainers.mixing import Task
from cai.trainers.ppo import train_ppo
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.rewards import Part, Sum
from cai.trainers.rl import train_rl
from cai.weights import resolve

MODEL = "smollm2-135m"
Config = PpoConfig | RlooConfig | GrpoConfig
_KINDS: TypeAdapter[Any] = TypeAdapter(Config)


def configured(settings: dict[str, Any]) -> Any:
    """The settings of one training on helpful prompts, checked."""
    return _KINDS.validate_python({**settings, "helpful_share": 1.0})


def train(config: Any, folder: Path, watch: Any) -> None:
    """Trains in `folder`, from where an attempt there was stopped; each step takes the next shipped helpful prompts."""
    templates = Templates("chat")
    prompts = islice(load_prompts("questions/helpful", "helpful").prompts, config.steps * config.prompts_per_step)
    tasks = [Task(templates.render("respond", messages=one.messages), "helpful") for one in prompts]
    reward = Sum([Part("score", 1.0, PreferenceReward(_scorer(folder.with_name(f"{folder.name}-scorer"))))])
    if isinstance(config, PpoConfig):
        train_ppo([task.prompt for task in tasks], MODEL, reward, folder, config, 0, watch)
    else:
        train_rl([], tasks, MODEL, reward, folder, config, 0, watch)


def _scorer(folder: Path) -> str:
    """A preference model of the policy's size that has learned nothing: its head is drawn, always the same."""
    made: Any = AutoModelForSequenceClassification.from_pretrained(
        resolve(MODEL), num_labels=1, dtype=torch.float32, use_safetensors=True
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(MODEL))
    made.config.pad_token_id = tokenizer.pad_token_id
    made.score.weight.data.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
