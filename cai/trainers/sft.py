"""SL-CAI: finetunes on revisions and helpful answers, with loss on the answer alone. Bai et al. 2022, section 3.2.

Deviations: the paper starts from a pretrained model and gives no loss mask; here `models.pretrained` says what is
finetuned, and the prompt is masked. LoRA, packing and what else the settings offer is not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cai.encoding import answered, earlier_answers
from cai.errors import InputError
from cai.prompts import Rendered
from cai.train_config import SftConfig
from cai.trainers.common import Watch, Watcher, arguments, batches, optimisation, run
from cai.trainers.lora import frozen, in_float32, lora, named, quantization, save_merged
from cai.trainers.packed import PackedCollator, PackedTrainer, check_separate, packed
from cai.weights import resolve

Row = tuple[Rendered, str]
"""A prompt and the answer to learn."""

_UNLEARNED = -100


def train_sft(
    rows: Sequence[Row], start: str, folder: Path, config: SftConfig, seed: int, watch: Watch
) -> dict[str, Any]:
    """Trains `start` on `rows` and leaves the model in `folder`/model, and a LoRA adapter also in `folder`/adapter.

    Returns steps, mean loss (nats a token), how many parameters were trained, and how many rows, sequences of packed
    rows, tokens and tokens with loss were used; `too_long` rows were left out. Raises InputError where no row is left,
    or where the model cannot take packed rows; MissingExtra where bitsandbytes or a tracker is not installed.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), trust_remote_code=False)
    labelled = [_labelled(*learned(tokenizer, row, config.loss)) for row in rows]
    kept = [row for row in labelled if len(row["input_ids"]) <= config.max_length]
    if not kept:
        raise InputError(f"sft: none of {len(rows)} rows is within max_length {config.max_length} tokens; raise it")
    data = Dataset.from_list(kept)
    data = packed(data, config.max_length) if config.packing else data
    trainer = _trainer(data, tokenizer, start, folder, config, seed)
    if config.packing:
        check_separate(trainer.model)
    save = partial(save_merged, trainer.model, tokenizer, start, folder / "adapter") if config.adapter else None
    figures = run(trainer, folder, Watcher(watch), config.report_to, save)
    return {
        **figures,
        "rows": len(kept),
        "packed_rows": len(data) if config.packing else None,
        "too_long": len(rows) - len(kept),
        "tokens": int(sum(len(row["input_ids"]) for row in kept) * config.epochs),
        "loss_tokens": int(sum(_learned_tokens(row) for row in kept) * config.epochs),
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }


def learned(tokenizer: Any, row: Row, loss: str) -> tuple[list[int], list[bool]]:
    """Tokens of a row, and which of them are learned: those of the answer, of all answers, or all but the first."""
    prompt, answer = row
    ids, given = answered(tokenizer, prompt, answer)
    earlier = earlier_answers(tokenizer, prompt) if loss == "assistant" else [(1, given)] if loss == "all" else []
    mask = [False] * given + [True] * (len(ids) - given)
    for first, end in earlier:
        mask[first:end] = [True] * (end - first)
    return ids, mask


def _labelled(ids: list[int], mask: list[bool]) -> dict[str, list[int]]:
    """A row as TRL takes it. The first token of a row has nothing before it to be predicted from."""
    return {"input_ids": ids, "labels": [i if on else _UNLEARNED for i, on in zip(ids, mask, strict=True)]}


def _learned_tokens(row: dict[str, list[int]]) -> int:
    return sum(label != _UNLEARNED for label in row["labels"])


def _trainer(data: Dataset, tokenizer: Any, start: str, folder: Path, config: SftConfig, seed: int) -> Any:
    adapter = config.adapter
    kind = PackedTrainer if config.packing else SFTTrainer
    args = SFTConfig(
        **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
        **batches(config.batch_size, config.micro_batch),
        **optimisation(config),
        max_length=config.max_length,
        model_init_kwargs=frozen(adapter) if adapter else {"dtype": "float32", "use_safetensors": True},
    )
    with named(adapter, "sft"):
        trainer = kind(
            model=resolve(start),
            args=args,
            train_dataset=data,
            processing_class=tokenizer,
            data_collator=PackedCollator(_padding(tokenizer)) if config.packing else None,
            peft_config=lora(adapter) if adapter else None,
            quantization_config=quantization(adapter) if adapter else None,
        )
    in_float32(trainer.model)
    return trainer


def _padding(tokenizer: Any) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
