"""Rows that share a sequence without seeing each other: packing that is right for every kind of attention.

Rows are put together by TRL (best fit, decreasing; Ding et al. 2024, arXiv 2404.10830), and each row's positions begin
at 0. From these transformers builds a block mask where neither a padding mask nor a cache is given, for eager and SDPA
attention as for FlashAttention. Deviation from TRL: a batch stays several sequences, where TRL lays it end to end; to
FlashAttention that is the same, and it costs the others attention over the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from trl.data_utils import pack_dataset
from trl.trainer.sft_trainer import SFTTrainer

from cai.errors import InputError


def packed(rows: Dataset, length: int) -> Dataset:
    """Sequences of at most `length` tokens from columns `input_ids` and `labels`; none is cut if all fit.

    A column `seq_lengths` is added: the tokens of each row in the sequence.
    """
    return pack_dataset(rows, length)


class PackedCollator:
    """Sequences to a batch: (sequences, tokens) of ids, labels and positions; padding sees itself alone."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = pad_token_id

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """`tokens` counts what is not padding."""
        positions = [torch.cat([torch.arange(count) for count in e["seq_lengths"]]) for e in examples]
        return {
            "input_ids": _padded([e["input_ids"] for e in examples], self._pad),
            "labels": _padded([e["labels"] for e in examples], -100),
            "position_ids": pad_sequence(positions, batch_first=True, padding_value=0),
            "tokens": torch.tensor([len(p) for p in positions]),
        }


def _padded(rows: list[list[int]], value: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


class PackedTrainer(SFTTrainer):
    """TRL's trainer, told how many tokens a batch holds: without a padding mask it counts those of one sequence."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss."""
        self._total_train_tokens += int(inputs.pop("tokens").sum()) - inputs["position_ids"].size(1)
        return super().compute_loss(model, inputs, *args, **kwargs)


@torch.no_grad()
def check_separate(model: Any) -> None:
    """Packs two rows and changes the first. Raises InputError where the second then reads otherwise.

    So it does in models that mix tokens by more than masked attention at given positions: state-space models,
    convolutions, ALiBi.
    """
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 7, 8, 9, 10]], device=model.device)
    positions = torch.arange(4, device=model.device).repeat(1, 2)
    training = model.training
    model.eval()
    first, second = (model(input_ids=row[None], position_ids=positions, use_cache=False).logits[0, 4:] for row in ids)
    model.train(training)
    apart = (first - second).abs().max() <= 1e-4 * first.abs().max()
    if not apart:
        raise InputError(
            f"sft: packing: rows that share a sequence see each other in this kind of model ({type(model).__name__}), "
            "so it would learn from text that is not there; set packing: false"
        )
