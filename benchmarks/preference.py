"""The preference model: our training step against bare TRL's on the same pairs, and shared prompts against own ones.

All train SmolLM2-135M in turns, in one process, timed as finetuning is (benchmarks/sft.py). Tokens are those of both
answers of every pair, each behind a prompt of its own, however a batch is laid out: the ratio is one of work done.
"""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from benchmarks.sft import _WORDS, MODEL, SEED, Clock, _in_turns
from cai.encoding import answered
from cai.preferences import Group, Preference
from cai.prompts import Templates
from cai.records import Message
from cai.train_config import PreferenceModelConfig
from cai.trainers.common import arguments, batches, optimisation
from cai.trainers.preference import _tell_padding_from_end, train_preference_model
from cai.weights import resolve


def _text(start: int, count: int) -> str:
    return " ".join(_WORDS[(start + n) % len(_WORDS)] for n in range(count))


def _groups(asked: list[int], answered_in: list[tuple[int, int]]) -> list[Group]:
    """Pairs whose prompts and answers have so many words; labels are hard, which is all that bare TRL knows."""
    templates, told = Templates("chat"), (Preference(0, 1, 1.0),)
    groups = []
    for i, (words, (a, b)) in enumerate(zip(asked, answered_in, strict=True)):
        message = Message(role="user", content=f"{i}: my neighbour said to {_text(i, words)}. What should I do?")
        prompt = templates.render("respond", messages=(message,))
        groups.append(Group(prompt, (_text(i, a), f"No, {_text(i, b)}"), told, "made up"))
    return groups


def _ours(groups: list[Group], config: PreferenceModelConfig) -> Clock:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        figures = train_preference_model(groups, MODEL, Path(folder), config, SEED, clock)
    assert figures["shared_prompts"] == config.share_prompts
    return clock


def _bare(groups: list[Group], config: PreferenceModelConfig) -> Clock:
    """TRL alone, with the arguments that ours is given; its order of rows is ours."""
    clock, path = Clock(), resolve(MODEL)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    _tell_padding_from_end(tokenizer)
    pairs = [[answered(tokenizer, group.prompt, answer)[0] for answer in group.answers] for group in groups]
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=path,
            args=RewardConfig(
                **arguments(Path(folder), SEED, config.save_every, config.gradient_checkpointing),
                **batches(config.batch_size, config.micro_batch),
                **optimisation(config),
                max_length=config.max_length,
                model_init_kwargs={"dtype": "float32"},
            ),
            train_dataset=Dataset.from_list([{"chosen_ids": a, "rejected_ids": b} for a, b in pairs]),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def _against_trl() -> dict[str, Any]:
    """Each answer behind a prompt of its own in both."""
    draw = random.Random(SEED)
    sizes = [[round(draw.lognormvariate(math.log(middle), 0.8)) for middle in (40, 30, 30)] for _ in range(12)]
    groups = _groups([asked for asked, _, _ in sizes], [(a, b) for _, a, b in sizes])
    config = PreferenceModelConfig(batch_size=4, micro_batch=2, share_prompts=False)
    (ours, clock), (bare, its) = _in_turns(lambda: _ours(groups, config), lambda: _bare(groups, config))
    apart = max(abs(clock.logged[step]["loss"] - row["loss"]) for step, row in its.logged.items())
    detail = (
        f"{ours:.1f} against {bare:.1f} tokens/s over {len(clock.seconds)} steps of 4 pairs of many lengths, 2 at a "
        f"time, {clock.tokens} tokens; their losses differ by {apart:.1g} at most"
    )
    return _row("preference_vs_trl", ours / bare, 1.0, detail)


def _shared() -> dict[str, Any]:
    groups = _groups([190 + 8 * i for i in range(6)], [(30 + 8 * i, 60 - 8 * i) for i in range(6)])
    sizes: dict[str, Any] = {"batch_size": 2, "micro_batch": 2, "max_length": 2048}
    shared, apart = (PreferenceModelConfig(**sizes, share_prompts=share) for share in (True, False))
    (fast, clock), (slow, its) = _in_turns(lambda: _ours(groups, shared), lambda: _ours(groups, apart))
    differ = max(abs(clock.logged[step]["loss"] - row["loss"]) for step, row in its.logged.items())
    detail = (
        f"pairs behind prompts of some 200 words, answers of 20 to 75: {fast:.1f} tokens/s shared, {slow:.1f} apart, "
        f"{clock.tokens} tokens; their losses differ by {differ:.1g} at most"
    )
    return _row("preference_shared_prompts", fast / slow, 1.2, detail)


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    return [_against_trl(), _shared()]


def _row(name: str, value: float, reach: float, detail: str) -> dict[str, Any]:
    about = f"SmolLM2-135M, {torch.get_num_threads()} threads: {detail}"
    return {"name": name, "value": value, "reach": reach, "reached": value >= reach, "unit": "times",
            "command": "python -m benchmarks preference", "detail": about}  # fmt: skip
