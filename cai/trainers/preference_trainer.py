"""TRL's RewardTrainer on groups of answers: one prompt with all its answers and pairs is one element of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl.trainer.reward_trainer import RewardTrainer

from cai.preference_figures import agreement
from cai.preferences import Preference
from cai.trainers.preference_loss import Pairs, pairs_of, preference_loss
from cai.trainers.preference_rows import Learned
from cai.trainers.shared import lay_out, rewards

_FIELDS = ("a", "b", "p", "margin", "weight")


def dataset(groups: Sequence[Learned]) -> Dataset:
    """Groups as TRL's trainer takes them, one a row."""
    return Dataset.from_list(
        [
            {"prompt": group.row[0], "answers": group.row[1], "tokens": group.tokens}
            | {field: [getattr(pair, field) for pair in group.pairs] for field in _FIELDS}
            for group in groups
        ]
    )


class GroupCollator:
    """Groups to a batch: what `rewards` reads, the pairs, and how many tokens it stands for.

    `width` is the model's where its answers may share a prompt, else None.
    """

    def __init__(self, padding: int, width: int | None) -> None:
        self._padding, self._width = padding, width

    def __call__(self, groups: list[dict[str, Any]]) -> dict[str, Any]:
        """`tokens` counts those of all answers, each with a prompt of its own, and no padding."""
        laid = lay_out([(group["prompt"], group["answers"]) for group in groups], self._padding, self._width)
        told = [[Preference(*row) for row in zip(*(group[name] for name in _FIELDS), strict=True)] for group in groups]
        pairs = pairs_of(told, [len(group["answers"]) for group in groups])
        return {**laid, "pairs": vars(pairs), "tokens": torch.tensor(sum(group["tokens"] for group in groups))}


class ByStep(Sampler[int]):
    """Rows in an order drawn by seed and epoch, and those of one optimizer step from long to short.

    The rows of a forward pass are then of like length and need little padding; what a step learns from is the same.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int) -> None:
        self._lengths, self._step, self._seed = lengths, step, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed((self._seed + self._epoch) % 2**63)
        order = torch.randperm(len(self), generator=draw).tolist()
        for start in range(0, len(order), self._step):
            yield from sorted(order[start : start + self._step], key=self._lengths.__getitem__, reverse=True)


class PreferenceTrainer(RewardTrainer):
    """TRL's trainer with the loss of `preference_loss`, which is a mean over the prompts of a whole step."""

    loss_is_scaled_for_ga = True
    args: Any  # TRL's own settings and what it made of the model's name, which transformers' Trainer can't know
    model: Any
    train_dataset: Any

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Rows come as tokens."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["prompt", "answers", "tokens", *_FIELDS]

    def _get_train_sampler(self, train_dataset: Any = None) -> ByStep:
        data = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(row["prompt"]) + sum(map(len, row["answers"])) for row in data]
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return ByStep(lengths, step, self.args.data_seed)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The forward passes of one step, and how many prompts they have on all devices."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        prompts = torch.stack([one["pairs"]["share"].sum() for one in samples]).sum()
        everywhere: Any = self.accelerator.gather(prompts.to(device))
        return samples, everywhere.sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one forward pass: its part of the mean over a step's `num_items_in_batch` prompts."""
        pairs = Pairs(**inputs["pairs"])
        found = rewards(model, inputs)
        prompts = pairs.share.sum() if num_items_in_batch is None else num_items_in_batch
        loss = preference_loss(found, pairs, self.args.center_rewards_coefficient or 0.0) / prompts
        self._note(found.detach(), pairs, inputs["tokens"])
        loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, {"logits": found}) if return_outputs else loss

    def _note(self, found: torch.Tensor, pairs: Pairs, tokens: torch.Tensor) -> None:
        """TRL's figures; accuracy is against soft labels, and has no value where all are even."""
        leads = found[pairs.a] - found[pairs.b]
        right = agreement(leads.tolist(), pairs.p.tolist())
        accuracy = found.new_tensor(math.nan if right is None else right)
        numbers = torch.stack([found.min(), found.mean(), found.max(), leads.mean(), accuracy, tokens.to(found)])
        gathered: Any = self.accelerator.gather(numbers[None])
        mode = "train" if self.model.training else "eval"
        names = ("min_reward", "mean_reward", "max_reward", "margin", "accuracy")
        for name, value in zip(names, gathered[:, :-1].nanmean(0).tolist(), strict=True):
            if not math.isnan(value):
                self._metrics[mode][name].append(value)
        self._total_train_tokens += int(gathered[:, -1].sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
