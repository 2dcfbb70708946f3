"""DPO on probabilities instead of winners: the short road, without a preference model and without RL.

    loss = -[p log s(h) + (1 - p) log s(-h)],    h = beta ([log pi(a) - log ref(a)] - [log pi(b) - log ref(b)])

with p = P(a is better), pi the model, ref the SL-CAI model that it starts from (Rafailov et al. 2023, arXiv 2305.18290,
equation 7). Hard labels are the special case p = 0 or 1, which is DPO as published; one p for all pairs is what they
call conservative DPO.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from cai.errors import InputError
from cai.preferences import Group
from cai.train_config import DpoConfig
from cai.trainers.common import Watch, Watcher, arguments, batches, optimisation, run
from cai.trainers.lora import frozen, in_float32, lora, named, quantization, save_merged
from cai.trainers.preference_rows import Learned, prepare
from cai.weights import resolve


def soft_dpo_loss(lead: Tensor, p: Tensor, beta: float) -> Tensor:
    """Mean loss (nats). `lead` (pairs,): by how many nats more a gained on the reference than b; `p` (pairs,)."""
    return -(p * logsigmoid(beta * lead) + (1 - p) * logsigmoid(-beta * lead)).mean()


class _Collator(DataCollatorForPreference):
    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {**super().torch_call(examples), "p": torch.tensor([example["p"] for example in examples])}


class SoftDpoTrainer(DPOTrainer):
    """TRL's DPOTrainer with a probability a pair. `chosen` is a, `rejected` is b."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # rows are tokens already, as everything here is tokenised: by cai/encoding.py

    def _set_signature_columns_if_needed(self) -> None:
        names = ("prompt_ids", "chosen_ids", "rejected_ids", "ref_chosen_logps", "ref_rejected_logps", "p")
        self._signature_columns = list(names)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """As TRL's, which passes on whatever it does not know."""
        return super().compute_ref_log_probs(model, {key: value for key, value in inputs.items() if key != "p"})

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The soft loss in place of TRL's. The reference was read once, before training."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        shown = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        read = model(**shown, use_cache=False, labels=labels, fused_lm_head=True).log_probs.sum(dim=1)
        a, b = (read - torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])).chunk(2)
        self._note(a.detach(), b.detach(), inputs["p"])
        return soft_dpo_loss(a - b, inputs["p"], self.beta)

    def _note(self, a: Tensor, b: Tensor, p: Tensor) -> None:
        """What is logged: implicit rewards (nats), and the share of labels whose side the model takes."""
        figures = self._metrics["train"]
        figures["rewards/a"].append(float(self.beta * a.mean()))
        figures["rewards/b"].append(float(self.beta * b.mean()))
        figures["rewards/accuracies"].append(float((((a > b) == (p > 0.5)) | (p == 0.5)).float().mean()))


def train_dpo(
    groups: Sequence[Group],
    start: str,
    folder: Path,
    config: DpoConfig,
    seed: int,
    watch: Watch,
    reference: str | None = None,
) -> dict[str, Any]:
    """Trains `start` on the pairs of `groups` and leaves it in `folder`/model, a LoRA adapter also in its `adapter`.

    `reference`: the model that it is held to; none: `start` itself. Returns steps, mean loss (nats a pair), pairs that
    were used and left out, and tokens. Raises InputError where no pair is left; MissingExtra where bitsandbytes or a
    tracker is not installed.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), trust_remote_code=False)
    prepared = prepare(tokenizer, groups, config)
    rows = [row for group in prepared.groups for row in _rows(group)]
    if not rows:
        raise InputError(
            f"dpo: no pair is left to learn from, of {len(groups)} prompts (left out: {prepared.left_out}); raise "
            f"max_length {config.max_length}, or take too_long: truncate"
        )
    trainer = _trainer(Dataset.from_list(rows), tokenizer, start, folder, config, seed, reference)
    save = partial(save_merged, trainer.model, tokenizer, start, folder / "adapter") if config.adapter else None
    figures = run(trainer, folder, Watcher(watch), config.report_to, save)
    return {**figures, **prepared.figures(), "tokens": int(sum(map(_tokens, rows)) * config.epochs)}


def _rows(group: Learned) -> list[dict[str, Any]]:
    """A row for each pair, as TRL's collator takes it."""
    prompt, answers = group.row
    return [
        {"prompt_ids": prompt, "chosen_ids": answers[pair.a], "rejected_ids": answers[pair.b], "p": pair.p}
        for pair in group.pairs
    ]


def _tokens(row: dict[str, Any]) -> int:
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])


def _trainer(
    data: Dataset, tokenizer: Any, start: str, folder: Path, config: DpoConfig, seed: int, reference: str | None
) -> Any:
    adapter = config.adapter
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    args = DPOConfig(
        **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
        **batches(config.batch_size, config.micro_batch),
        **optimisation(config),
        beta=config.beta,
        max_length=None,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=config.micro_batch,
        model_init_kwargs=frozen(adapter) if adapter else {"dtype": "float32", "use_safetensors": True},
    )
    with named(adapter, "dpo"):
        trainer = SoftDpoTrainer(
            model=resolve(start),
            ref_model=_frozen(reference) if reference else None,
            args=args,
            train_dataset=data,
            processing_class=tokenizer,
            data_collator=_Collator(pad_token_id=padding),
            peft_config=lora(adapter) if adapter else None,
            quantization_config=quantization(adapter) if adapter else None,
        )
    trainer.ref_model = None  # it was read, and training needs the memory
    in_float32(trainer.model)
    return trainer


def _frozen(reference: str) -> Any:
    """A model to be read."""
    return AutoModelForCausalLM.from_pretrained(
        resolve(reference), dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).requires_grad_(False)
