"""The preference model, trained on probabilities instead of winners. Bai et al. 2022, section 4.2.

Its loss is in cai/trainers/preference_loss.py. Deviation: no preference-model pretraining (Bai et al. 2022a, App. A.2);
the start is the SL-CAI model with a fresh scalar head, read at the end-of-text token. Margins, several answers to a
prompt, centring and LoRA are not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from peft import LoraConfig
from torch.nn import Embedding, ModuleList
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.reward_config import RewardConfig

from cai.errors import InputError
from cai.preferences import Group
from cai.train_config import AdapterConfig, PreferenceModelConfig
from cai.trainers.common import Watch, Watcher, arguments, batches, optimisation, run
from cai.trainers.lora import frozen, in_float32, lora, named, quantization, save_merged
from cai.trainers.preference_rows import Learned, prepare
from cai.trainers.preference_trainer import GroupCollator, PreferenceTrainer, dataset
from cai.trainers.shared import width_if_shared
from cai.weights import resolve


def train_preference_model(
    groups: Sequence[Group], start: str, folder: Path, config: PreferenceModelConfig, seed: int, watch: Watch
) -> dict[str, Any]:
    """Trains `start` with a scalar head on `groups` and leaves it in `folder`/model, an adapter also in its `adapter`.

    `AutoModelForSequenceClassification.from_pretrained` loads it. Returns steps, mean loss (nats a prompt), `prompts`
    and `pairs` that were learned from, the pairs that were left out by source and reason (`too_long`: for their length
    alone), those with a `truncated` prompt by source, `tokens` (each answer's with its prompt, however they were laid
    out), whether answers shared their prompt, and how many parameters were trained. Raises InputError where no pair is
    left; MissingExtra where bitsandbytes or a tracker is not installed.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), trust_remote_code=False)
    _tell_padding_from_end(tokenizer)
    prepared = prepare(tokenizer, groups, config)
    if not prepared.groups:
        raise InputError(
            f"preference_model: no pair is left to learn from, of {len(groups)} prompts (left out: "
            f"{prepared.left_out}); raise max_length {config.max_length}, or take too_long: truncate"
        )
    trainer = _trainer(prepared.groups, tokenizer, start, folder, config, seed)
    width = _width(trainer.model, tokenizer, config)
    trainer.data_collator = GroupCollator(tokenizer.pad_token_id, width)
    head = {"kind": AutoModelForSequenceClassification, "num_labels": 1}
    save = partial(save_merged, trainer.model, tokenizer, start, folder / "adapter", **head)
    figures = run(trainer, folder, Watcher(watch), config.report_to, save if config.adapter else None)
    return {
        **figures,
        **prepared.figures(),
        "tokens": int(sum(group.tokens for group in prepared.groups) * config.epochs),
        "shared_prompts": width is not None,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }


def _trainer(
    groups: Sequence[Learned], tokenizer: Any, start: str, folder: Path, config: PreferenceModelConfig, seed: int
) -> PreferenceTrainer:
    adapter = config.adapter
    args = RewardConfig(
        **arguments(folder, seed, config.save_every, config.gradient_checkpointing),
        **batches(config.batch_size, config.micro_batch),
        **optimisation(config),
        max_length=config.max_length,
        center_rewards_coefficient=config.center or None,
        model_init_kwargs=frozen(adapter) if adapter else {"dtype": "float32", "use_safetensors": True},
    )
    with named(adapter, "preference_model"):
        trainer = PreferenceTrainer(
            model=resolve(start),
            args=args,
            train_dataset=dataset(groups),
            processing_class=tokenizer,
            peft_config=_with_head(adapter) if adapter else None,
            quantization_config=quantization(adapter) if adapter else None,
        )
    in_float32(trainer.model)
    freeze(trainer.model, config.freeze)
    return trainer


def freeze(model: Any, count: int) -> None:
    """Leaves the embeddings and the `count` lowest layers as they are, an adapter's part in them included.

    Raises InputError where the model has fewer.
    """
    depth = model.config.get_text_config().num_hidden_layers
    if count > depth:
        raise InputError(f"preference_model.freeze: found {count}; this model has {depth} layers")
    layers = next(part for part in model.modules() if isinstance(part, ModuleList) and len(part) == depth)
    below = [*(part for part in model.modules() if isinstance(part, Embedding)), *layers[:count]] if count else []
    for part in below:
        part.requires_grad_(False)


def _width(model: Any, tokenizer: Any, config: PreferenceModelConfig) -> int | None:
    """See `width_if_shared`."""
    if not config.share_prompts:
        return None
    return width_if_shared(model, tokenizer.pad_token_id, tokenizer.eos_token_id, config.max_length)


def _with_head(adapter: AdapterConfig) -> LoraConfig:
    """LoRA beside the weights; the head is new, so it is trained whole."""
    beside = lora(adapter)
    beside.task_type, beside.modules_to_save = "SEQ_CLS", ["score"]
    return beside


def _tell_padding_from_end(tokenizer: Any) -> None:
    """The score is read at the last token that is not padding, so padding must not be the end-of-text token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        others = [token for token in tokenizer.all_special_tokens if token != tokenizer.eos_token]
        tokenizer.pad_token = tokenizer.unk_token or (others or ["<|pad|>"])[0]
