"""RL-CAI through TRL: RLOO and GRPO, which draw several answers a prompt and need no value model.

Bai et al. 2022, section 4.2. RLOO (Ahmadian et al. 2024, arXiv 2402.14740): k answers a prompt; the reward of each,
less `kl` times its log-ratio to the SL-CAI model (nats, summed over the answer), minus the mean of the other k - 1, is
its advantage. GRPO (Shao et al. 2024, arXiv 2402.03300): an answer's advantage is its reward less its group's mean,
over the group's standard deviation; `kl` times the KL to the SL-CAI model (nats a token) is part of the loss.
Deviation: the paper uses PPO.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer

from cai.encoding import chat_turns, prompt_text
from cai.errors import InputError, MissingExtra
from cai.prompts import Rendered
from cai.rl_config import GrpoConfig, RlooConfig
from cai.trainers.common import Watch, Watcher, arguments, batches, latest_checkpoint, run, step_of
from cai.trainers.endings import end_at
from cai.trainers.lora import frozen, in_float32, lora, named, quantization, save_merged
from cai.trainers.mixing import Task, mix
from cai.trainers.panel import Panel
from cai.trainers.panel_callback import Looking
from cai.trainers.reward import Reward
from cai.trainers.rewards import means
from cai.weights import resolve

TrlConfig = RlooConfig | GrpoConfig


def train_rl(
    harmful: Sequence[Task],
    helpful: Sequence[Task],
    start: str,
    reward: Reward,
    folder: Path,
    config: TrlConfig,
    seed: int,
    watch: Watch,
    panel: Panel | None = None,
) -> dict[str, Any]:
    """Trains `start` for `reward` and leaves the policy in `folder`/model, and a LoRA adapter also in `folder`/adapter.

    Answers are written and learned up to their prompts' stop strings. Logged every step: reward, reward/<part> (means,
    before weights), kl (nats a token), mean length (tokens), truncated. `panel` is looked at, and may end the training
    early. Returns the last step's figures, and what became of the panel. Raises InputError where vLLM is asked for on a
    machine without a GPU, MissingExtra where it, bitsandbytes or a tracker is not installed.
    """
    tasks = mix(harmful, helpful, config.helpful_share, config.steps * config.prompts_per_step, seed)
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), padding_side="left", trust_remote_code=False)
    rows = [{"prompt": _prompt(tokenizer, task.prompt), "index": index} for index, task in enumerate(tasks)]
    adapter, stops = config.adapter, _stops(tasks)
    trainer_class, config_class = _classes(config)
    with named(adapter, "rl"):
        trainer = trainer_class(
            model=resolve(start),
            reward_funcs=_called(reward, tasks, tokenizer),
            args=config_class(**_arguments(config, folder, seed, stops)),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora(adapter) if adapter else None,
            quantization_config=quantization(adapter) if adapter else None,
        )
    in_float32(trainer.model)
    if stops:
        end_at(trainer, tokenizer, stops)
    save = partial(save_merged, trainer.model, tokenizer, start, folder / "adapter") if adapter else trainer.save_model
    figures = _run(trainer, tokenizer, folder, Watcher(watch), config, save, panel)
    return {**figures, "tokens": int(trainer.state.num_input_tokens_seen), "prompts": len(tasks)}


def _run(
    trainer: Any,
    tokenizer: Any,
    folder: Path,
    watcher: Watcher,
    config: TrlConfig,
    save: Callable[[Path], None],
    panel: Panel | None,
) -> dict[str, Any]:
    """Trains, and looks at the panel where there is one."""
    if panel is None:
        return run(trainer, folder, watcher, config.report_to, save)
    panel.resume(step_of(latest_checkpoint(folder / "checkpoints")))
    looking = Looking(panel, trainer, tokenizer)
    figures = run(trainer, folder, watcher, config.report_to, looking.left(save), looking, panel.stopped)
    return {**figures, "panel": panel.close()}


def _called(reward: Reward, tasks: Sequence[Task], tokenizer: Any) -> Callable[..., list[float]]:
    """The reward as TRL calls it, with all answers of a step at once."""
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}

    def total(
        completions: list[Any],
        completion_ids: list[list[int]],
        index: list[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        written = zip(index, completions, completion_ids, strict=True)
        samples = [tasks[i].sample(_text(text), len(ids), ids[-1] in ends) for i, text, ids in written]
        rewarded = reward(samples)
        log_metric("truncated", sum(not sample.finished for sample in samples) / len(samples))
        for name, value in means(rewarded).items():
            log_metric(name, value)
        return list(rewarded.total)

    return total


def _arguments(config: TrlConfig, folder: Path, seed: int, stops: Sequence[str] = ()) -> dict[str, Any]:
    return {
        **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
        **batches(config.prompts_per_step * config.samples, config.micro_batch),
        **_algorithm(config),
        **_generation(config, stops),
        "max_steps": config.steps,
        "num_generations": config.samples,
        "max_completion_length": config.max_tokens,
        "temperature": config.temperature,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant",
        "beta": config.kl,
        "shuffle_dataset": False,
        "model_init_kwargs": frozen(config.adapter)
        if config.adapter
        else {"dtype": "float32", "use_safetensors": True},
    }


def _algorithm(config: TrlConfig) -> dict[str, Any]:
    """What GRPO alone has."""
    if isinstance(config, RlooConfig):
        return {}
    return {"scale_rewards": config.scale_rewards, "loss_type": config.loss_type, "epsilon": config.epsilon}


def _stops(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Where answers end: the stop strings of the prompts, which are those of the recipe's one dialect."""
    return tuple(dict.fromkeys(stop for task in tasks for stop in task.prompt.stop))


def _generation(config: TrlConfig, stops: Sequence[str] = ()) -> dict[str, Any]:
    """What answers are sampled with. Raises InputError for vLLM where there is no GPU."""
    if config.vllm == "none":
        return {"generation_kwargs": {"use_cache": True}}
    if not torch.cuda.is_available():
        raise InputError(f"rl.vllm: {config.vllm} needs a GPU, and this machine has none; take `vllm: none`")
    if find_spec("vllm") is None:
        raise MissingExtra("vllm", "vllm")
    return {
        "use_vllm": True,
        "vllm_mode": config.vllm,
        "vllm_gpu_memory_utilization": config.vllm_memory,
        "vllm_server_base_url": config.vllm_server if config.vllm == "server" else None,
        "generation_kwargs": {"stop": list(stops), "include_stop_str_in_output": True} if stops else None,
    }


def _classes(config: TrlConfig) -> tuple[Any, Any]:
    """TRL's trainer and its settings; it imports vLLM where that is installed, in ten seconds, so only where asked."""
    if config.vllm == "none":
        utilities = importlib.import_module("trl.import_utils")
        vars(utilities)["is_vllm_available"] = lambda min_version=None: False
    name = config.algorithm
    trainer, settings = (importlib.import_module(f"trl.trainer.{name}_{part}") for part in ("trainer", "config"))
    return vars(trainer)[f"{name.upper()}Trainer"], vars(settings)[f"{name.upper()}Config"]


def _prompt(tokenizer: Any, prompt: Rendered) -> Any:
    return chat_turns(tokenizer, prompt) if prompt.messages else prompt_text(tokenizer, prompt)


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[0]["content"]
