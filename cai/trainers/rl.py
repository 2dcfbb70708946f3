"""RL-CAI: reinforcement learning against the preference model, by RLOO. Bai et al. 2022, section 4.2.

RLOO (Ahmadian et al. 2024, arXiv 2402.14740): k answers a prompt; the reward of each, less `kl` times its
log-ratio to the SL-CAI model (nats, summed over the answer), minus the mean of the other k - 1, is its advantage.
Deviations: the paper uses PPO; rewards are raw preference-model scores, as in the paper.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.rloo_config import RLOOConfig

from cai.encoding import chat_turns, prompt_text
from cai.errors import InputError
from cai.prompts import Rendered
from cai.train_config import RlConfig
from cai.trainers.common import Watch, Watcher, arguments, batches, run
from cai.trainers.scorer import PreferenceScorer
from cai.weights import resolve


def train_rl(
    harmful: Sequence[Rendered],
    helpful: Sequence[Rendered],
    start: str,
    preference_model: str,
    folder: Path,
    config: RlConfig,
    seed: int,
    watch: Watch,
) -> dict[str, Any]:
    """Trains `start` against `preference_model` and leaves the policy in `folder`/model.

    Logged every step: reward (log-odds), kl (nats a token), mean length (tokens). Returns the last step's figures.
    """
    prompts = mix(harmful, helpful, config.helpful_share, config.steps * config.prompts_per_step, seed)
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), padding_side="left")
    scorer = PreferenceScorer(preference_model)

    def preference_score(completions: list[Any], index: list[int], **_: Any) -> list[float | None]:
        pairs = [(prompts[i], _text(c, prompts[i])) for i, c in zip(index, completions, strict=True)]
        return list(scorer.score(pairs))

    rows = [{"prompt": _prompt(tokenizer, prompt), "index": index} for index, prompt in enumerate(prompts)]
    watcher = Watcher(watch)
    trainer = _rloo_trainer()(
        model=resolve(start),
        reward_funcs=preference_score,
        args=RLOOConfig(
            **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
            **batches(config.prompts_per_step * config.samples, config.micro_batch),
            max_steps=config.steps,
            num_generations=config.samples,
            max_completion_length=config.max_tokens,
            temperature=config.temperature,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant",
            beta=config.kl,
            shuffle_dataset=False,
            generation_kwargs={"use_cache": True},
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    figures = run(trainer, folder, watcher)
    scorer.close()
    return {**figures, "tokens": int(trainer.state.num_input_tokens_seen), "prompts": len(prompts)}


def mix(
    harmful: Sequence[Rendered], helpful: Sequence[Rendered], share: float, count: int, seed: int
) -> list[Rendered]:
    """`count` prompts, a `share` of them helpful; each set is gone through in a new order before any repeats.

    Raises InputError where a set that the share asks for is empty.
    """
    draw = random.Random(seed)
    wanted = {"helpful": round(share * count), "harmful": count - round(share * count)}
    mixed: list[Rendered] = []
    for name, prompts in (("helpful", helpful), ("harmful", harmful)):
        if wanted[name] and not prompts:
            raise InputError(f"rl: helpful_share {share} asks for {name} prompts and there are none")
        passes = -(-wanted[name] // max(1, len(prompts)))
        mixed += [prompt for _ in range(passes) for prompt in draw.sample(prompts, len(prompts))][: wanted[name]]
    draw.shuffle(mixed)
    return mixed


def _rloo_trainer() -> Any:
    """TRL's trainer, without vLLM: TRL imports it where it is installed, in ten seconds, for nothing."""
    utilities = importlib.import_module("trl.import_utils")
    vars(utilities)["is_vllm_available"] = lambda min_version=None: False
    from trl.trainer.rloo_trainer import RLOOTrainer

    return RLOOTrainer


def _prompt(tokenizer: Any, prompt: Rendered) -> Any:
    return chat_turns(tokenizer, prompt) if prompt.messages else prompt_text(tokenizer, prompt)


def _text(completion: Any, prompt: Rendered) -> str:
    """The answer as the preference model saw answers in training: cut at stop strings, stripped."""
    text = completion if isinstance(completion, str) else completion[0]["content"]
    for stop in prompt.stop:
        text = text.split(stop, 1)[0]
    return text.strip()
