"""The preference model, trained on probabilities instead of winners. Bai et al. 2022, section 4.2.

    loss = -[p log s(r_a - r_b) + (1 - p) log s(r_b - r_a)],    p = P(a is better), s the logistic function

Hard labels are the special case p = 0 or 1, which is TRL's own loss. Deviation: no preference-model pretraining
(Bai et al. 2022a, App. A.2); the start is the SL-CAI model with a fresh scalar head, read at the end-of-text token.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from transformers import AutoTokenizer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from cai.config import PreferenceModelConfig
from cai.encoding import answered
from cai.errors import InputError
from cai.prompts import Rendered
from cai.trainers.common import Watch, Watcher, arguments, batches, run
from cai.weights import resolve

Row = tuple[Rendered, str, str, float]
"""A prompt, its answers a and b, and P(a is better)."""


def soft_cross_entropy(margin: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Mean loss (nats) of reward margins r_a - r_b (pairs,) against P(a is better) (pairs,)."""
    return -(p * logsigmoid(margin) + (1 - p) * logsigmoid(-margin)).mean()


class _Collator(DataCollatorForPreference):
    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {**super().torch_call(examples), "p": torch.tensor([example["p"] for example in examples])}


class SoftLabelTrainer(RewardTrainer):
    """TRL's RewardTrainer with a probability a pair. `chosen` is a, `rejected` is b."""

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["chosen_ids", "rejected_ids", "p"]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The soft loss in place of TRL's; TRL's call still counts tokens and rewards."""
        p = inputs.pop("p")
        outputs: Any = super().compute_loss(model, inputs, return_outputs=True)[1]
        r_a, r_b = outputs.logits.squeeze(-1).chunk(2)
        self._metrics["train"]["accuracy"][-1] = agreement(r_a - r_b, p)
        loss = soft_cross_entropy(r_a - r_b, p)
        return (loss, outputs) if kwargs.get("return_outputs") else loss


def agreement(margin: torch.Tensor, p: torch.Tensor) -> float:
    """Share of pairs where the margin's sign is that of p - 1/2, weighted by |2p - 1|: an even label says nothing."""
    weight = (2 * p - 1).abs()
    same = ((margin > 0) == (p > 0.5)).float()
    return float((same * weight).sum() / weight.sum()) if weight.sum() > 0 else 0.5


def train_preference_model(
    rows: Sequence[Row], start: str, folder: Path, config: PreferenceModelConfig, seed: int, watch: Watch
) -> dict[str, Any]:
    """Trains `start` with a scalar head on `rows` and leaves the model in `folder`/model.

    `AutoModelForSequenceClassification.from_pretrained` loads it. Returns steps, mean loss (nats a pair), and how
    many pairs were used, or too long and left out. Raises InputError where no pair is left.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start))
    _tell_padding_from_end(tokenizer)
    encoded = [_pair(tokenizer, row, config.labels) for row in rows]
    kept = [pair for pair in encoded if max(len(pair["chosen_ids"]), len(pair["rejected_ids"])) <= config.max_length]
    if not kept:
        raise InputError(f"preference_model: none of {len(rows)} pairs is within max_length {config.max_length} tokens")
    watcher = Watcher(watch)
    trainer = SoftLabelTrainer(
        model=resolve(start),
        args=RewardConfig(
            **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
            **batches(config.batch_size, config.micro_batch),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant",
            max_length=config.max_length,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list(kept),
        data_collator=_Collator(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    figures = run(trainer, folder, watcher, config.report_to)
    tokens = int(sum(len(pair["chosen_ids"]) + len(pair["rejected_ids"]) for pair in kept) * config.epochs)
    return {**figures, "pairs": len(kept), "too_long": len(rows) - len(kept), "tokens": tokens}


def _pair(tokenizer: Any, row: Row, labels: str) -> dict[str, Any]:
    prompt, a, b, p = row
    chosen, rejected = (answered(tokenizer, prompt, answer)[0] for answer in (a, b))
    return {"chosen_ids": chosen, "rejected_ids": rejected, "p": float(p > 0.5) if labels == "hard" else p}


def _tell_padding_from_end(tokenizer: Any) -> None:
    """The score is read at the last token that is not padding, so padding must not be the end-of-text token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        others = [token for token in tokenizer.all_special_tokens if token != tokenizer.eos_token]
        tokenizer.pad_token = tokenizer.unk_token or (others or ["<|pad|>"])[0]
