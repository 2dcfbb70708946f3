"""A tiny preference model and settings, for the tests of PPO."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rl_data import tasks
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.rl_config import PpoConfig
from cai.trainers.ppo_data import Texts
from cai.trainers.ppo_step import Learner
from cai.trainers.rollout import Rollout, read, seeds_of, write
from cai.weights import resolve


def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(resolve("tiny-random"))


def classifier(folder: Path) -> str:
    """A preference model that has learned nothing: its scores are random, and differ from text to text."""
    torch.manual_seed(5)
    model: Any = AutoModelForSequenceClassification.from_pretrained(resolve("tiny-random"), num_labels=1)
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def small(**settings: Any) -> PpoConfig:
    """Eight answers of up to 6 tokens a step, all learned from at once."""
    given = {"steps": 3, "prompts_per_step": 4, "samples": 2, "max_tokens": 6, "learning_rate": 1e-2, "warmup": 0}
    return PpoConfig.model_validate({**given, "value_learning_rate": 1e-2, **settings})


def rolled(config: PpoConfig, model: Any, reference: Any) -> Rollout:
    written = write(model.policy, tokenizer(), tasks("harmful", 4) * 2, seeds_of(8), config.max_tokens, 1.0, 8)
    return read(model, reference, written, 1.0, 4)


def learner(config: PpoConfig, model: Any, texts: Texts | None = None) -> Learner:
    """One that takes plain steps: weights move by minus a tenth of their gradient."""
    accelerator = Accelerator(cpu=True)
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
    return Learner(prepared, optimizer, accelerator, config, texts)
