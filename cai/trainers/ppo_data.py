"""What PPO is fed with besides its own answers: the prompts of each step, and texts of pretraining for PPO-ptx."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cai.errors import InputError
from cai.identity import seed_of
from cai.prompts import Rendered
from cai.records import Kind
from cai.rl_config import PpoConfig, PtxConfig
from cai.trainers.mixing import Task, in_turn


def tasks_of(
    prompts: Sequence[Rendered], kinds: Sequence[Kind], facts: Sequence[Mapping[str, Any]]
) -> tuple[Task, ...]:
    """Prompts with their kinds (none: all harmful) and facts (none). Raises InputError where there is no prompt."""
    if not prompts:
        raise InputError("rl: there are no prompts to learn from")
    known: list[Kind] = [*kinds] or ["harmful" for _ in prompts]
    said = facts or [{} for _ in prompts]
    return tuple(Task(*one) for one in zip(prompts, known, said, strict=True))


def of_step(tasks: Sequence[Task], step: int, config: PpoConfig) -> list[Task]:
    """The tasks of a step (from 1), `samples` times each."""
    return [task for task in in_turn(tasks, step, config.prompts_per_step) for _ in range(config.samples)]


class Texts:
    """Texts of pretraining, drawn by seed. Raises InputError where none has two tokens."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], config: PtxConfig, seed: int) -> None:
        self._tokenizer, self._config, self._seed = tokenizer, config, seed
        self._texts = [text for text in texts if len(self._ids(text)) > 1]
        if not self._texts:
            raise InputError(f"rl.ptx.texts: none of {len(texts)} texts has two tokens or more; give others")

    def drawn(self, count: int, *place: int) -> tuple[Tensor, Tensor]:
        """Tokens of so many texts and which of them are not padding (texts, longest); `place` is part of the seed."""
        draw = random.Random(seed_of(self._seed, "ptx", *place))
        rows = [torch.tensor(self._ids(text)) for text in draw.choices(self._texts, k=count)]
        seen = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return pad_sequence(rows, batch_first=True), seen

    def _ids(self, text: str) -> list[int]:
        return [*self._tokenizer(text)["input_ids"], self._tokenizer.eos_token_id][: self._config.max_length]
