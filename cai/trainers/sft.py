"""SL-CAI: finetunes on revisions and helpful answers, loss on the answer only. Bai et al. 2022, section 3.2.

Deviations: the paper starts from a pretrained model and gives no loss mask; here `models.pretrained` says what is
finetuned, and the prompt is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cai.config import SftConfig
from cai.encoding import answered
from cai.errors import InputError
from cai.prompts import Rendered
from cai.trainers.common import Watch, Watcher, arguments, batches, run
from cai.weights import resolve

Row = tuple[Rendered, str]
"""A prompt and the answer to learn."""


def train_sft(
    rows: Sequence[Row], start: str, folder: Path, config: SftConfig, seed: int, watch: Watch
) -> dict[str, Any]:
    """Trains `start` on `rows` and leaves the model in `folder`/model.

    Returns steps, mean loss (nats a token), and how many rows and tokens were used or too long and left out.
    Raises InputError where no row is left.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start))
    encoded = [answered(tokenizer, prompt, answer) for prompt, answer in rows]
    kept = [(ids, given) for ids, given in encoded if len(ids) <= config.max_length]
    if not kept:
        raise InputError(f"sft: none of {len(rows)} rows is within max_length {config.max_length} tokens; raise it")
    data = Dataset.from_list([_masked(ids, given) for ids, given in kept])
    watcher = Watcher(watch)
    trainer = SFTTrainer(
        model=resolve(start),
        args=SFTConfig(
            **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
            **batches(config.batch_size, config.micro_batch),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.schedule,
            completion_only_loss=True,
            max_length=config.max_length,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=data,
        processing_class=tokenizer,
    )
    figures = run(trainer, folder, watcher)
    tokens = int(sum(len(ids) for ids, _ in kept) * config.epochs)
    return {**figures, "rows": len(kept), "too_long": len(rows) - len(kept), "tokens": tokens}


def _masked(ids: list[int], given: int) -> dict[str, list[int]]:
    """A row as TRL takes it: loss where the mask is 1."""
    return {"input_ids": ids, "completion_mask": [0] * given + [1] * (len(ids) - given)}
