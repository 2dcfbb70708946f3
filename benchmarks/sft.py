"""Finetuning: the steps of our `sft` stage against bare TRL's on the same rows, and packed rows against padded ones.

All train SmolLM2-135M in turns, in one process, in turned order every other time. A step is timed from the end of the
one before it, so neither loading nor saving counts; of each step the fastest of four turns does, as whatever else the
machine does only slows it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cai.prompts import Templates
from cai.records import Message
from cai.train_config import SftConfig
from cai.trainers.common import arguments, batches
from cai.trainers.sft import Row, learned, train_sft
from cai.weights import resolve

MODEL, TURNS, SEED = "smollm2-135m", 4, 0
_SAID = "be patient, tell them what you saw, ask how it came about, and agree on what both of you do next"
_WORDS = _SAID.split()


def _rows(lengths: list[int]) -> list[Row]:
    """Rows whose answers have so many words."""
    templates = Templates("chat")
    asked = [(Message(role="user", content=f"{i}: what should I say to my neighbour?"),) for i in range(len(lengths))]
    answers = [" ".join(_WORDS[(i + n) % len(_WORDS)] for n in range(count)) for i, count in enumerate(lengths)]
    return [(templates.render("respond", messages=m), a) for m, a in zip(asked, answers, strict=True)]


class Clock(TrainerCallback):
    """When each step ended, and what was logged of it: a watch of ours, and the least that bare TRL can have."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.logged: dict[int, dict[str, Any]] = {}

    def step(self, done: int, total: int) -> None:
        self.ends.append(time.perf_counter())

    def metric(self, row: dict[str, Any]) -> None:
        if "loss" in row:
            self.logged[row["step"]] = row

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        self.metric({"step": state.global_step, **(logs or {})})

    @property
    def seconds(self) -> list[float]:
        """Of every step but the first."""
        return [end - start for start, end in zip(self.ends, self.ends[1:], strict=False)]

    @property
    def tokens(self) -> int:
        """Of every step but the first; padding doesn't count."""
        counts = [row["num_tokens"] for row in self.logged.values()]
        return int(counts[-1] - counts[0])


def _ours(rows: list[Row], config: SftConfig) -> Clock:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train_sft(rows, MODEL, Path(folder), config, SEED, clock)
    return clock


def _bare(rows: list[Row], config: SftConfig) -> Clock:
    """TRL alone, with the arguments that ours is given."""
    clock, path = Clock(), resolve(MODEL)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    masked = [learned(tokenizer, row, "answer") for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=path,
            args=SFTConfig(
                **arguments(Path(folder), SEED, config.save_every, config.gradient_checkpointing),
                **batches(config.batch_size, config.micro_batch),
                learning_rate=config.learning_rate,
                num_train_epochs=config.epochs,
                lr_scheduler_type=config.schedule,
                completion_only_loss=True,
                max_length=config.max_length,
                model_init_kwargs={"dtype": "float32"},
            ),
            train_dataset=Dataset.from_list([{"input_ids": i, "completion_mask": [*map(int, m)]} for i, m in masked]),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def _turn(kinds: Sequence[Callable[[], Clock]], backwards: bool) -> list[Clock]:
    order = [*reversed(kinds)] if backwards else kinds
    clocks = [kind() for kind in order]
    return [*reversed(clocks)] if backwards else clocks


def _in_turns(*kinds: Callable[[], Clock]) -> list[tuple[float, Clock]]:
    """Tokens a second of each kind, and its last clock."""
    turns = [_turn(kinds, backwards=bool(n % 2)) for n in range(TURNS)]
    found = []
    for clocks in zip(*turns, strict=True):
        best = [min(seconds) for seconds in zip(*(clock.seconds for clock in clocks), strict=True)]
        found.append((clocks[-1].tokens / sum(best), clocks[-1]))
    return found


def _against_trl() -> dict[str, Any]:
    rows = _rows([40 + 9 * i % 40 for i in range(16)])
    config = SftConfig(batch_size=4, micro_batch=4, max_length=256)
    (ours, clock), (bare, its) = _in_turns(lambda: _ours(rows, config), lambda: _bare(rows, config))
    apart = max(abs(clock.logged[step]["loss"] - row["loss"]) for step, row in its.logged.items())
    detail = (
        f"{ours:.1f} against {bare:.1f} tokens/s over {len(clock.seconds)} steps of 4 rows, {clock.tokens} tokens; "
        f"their losses differ by {apart:.1g} at most"
    )
    return _row("sft_vs_trl", ours / bare, 0.98, detail)


def _packing() -> dict[str, Any]:
    """Steps of the same number of token positions: eight rows padded to the longest, or four full sequences."""
    rows = _rows([10 + 53 * i % 200 for i in range(16)])
    padded = SftConfig(batch_size=8, micro_batch=8, max_length=256)
    packed = SftConfig(batch_size=4, micro_batch=4, max_length=256, packing=True)
    (fast, clock), (slow, its) = _in_turns(lambda: _ours(rows, packed), lambda: _ours(rows, padded))
    detail = (
        f"16 rows with answers of 10 to 210 words: {fast:.1f} tokens/s in full sequences of 256, {slow:.1f} padded; "
        f"{clock.tokens} and {its.tokens} tokens timed, padding not counted"
    )
    return _row("sft_packing", fast / slow, 1.3, detail)


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    return [_against_trl(), _packing()]


def _row(name: str, value: float, reach: float, detail: str) -> dict[str, Any]:
    about = f"SmolLM2-135M, {torch.get_num_threads()} threads: {detail}"
    return {"name": name, "value": value, "reach": reach, "reached": value >= reach, "unit": "times",
            "command": "python -m benchmarks sft", "detail": about}  # fmt: skip
