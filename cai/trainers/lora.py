"""LoRA and QLoRA: what is trained beside frozen weights, and how it becomes a plain model again.

Hu et al. 2021 (arXiv 2106.09685): a frozen W acts as W + (alpha / rank) B A, and A and B alone are trained. Dettmers et
al. 2023 (arXiv 2305.14314): W rests in 4 bits meanwhile. Deviation: the update is merged into the float32 weights that
the model started from and not into the rounded ones it was trained beside, since rounding the sum would lose it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from cai.errors import InputError, first_line, needing
from cai.store import replace_folder
from cai.train_config import AdapterConfig
from cai.trainers.processes import first
from cai.weights import resolve


def lora(config: AdapterConfig) -> LoraConfig:
    """What peft lays beside the weights."""
    targets = config.targets if isinstance(config.targets, str) else list(config.targets)
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]  (peft divides it by the rank)
        lora_dropout=config.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


@contextmanager
def named(config: AdapterConfig | None, stage: str) -> Iterator[None]:
    """Around laying it beside a model. Raises InputError where the model has no such layers."""
    try:
        yield
    except ValueError as error:
        if config is None or isinstance(config.targets, str):
            raise
        raise InputError(f"{stage}.adapter.targets {list(config.targets)}: {first_line(error)}") from None


def frozen(config: AdapterConfig) -> dict[str, Any]:
    """How the frozen weights are loaded: in the numbers that they are multiplied in."""
    cuda = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": "bfloat16" if cuda else "float32", "use_safetensors": True}
    return {**options, "device_map": {"": 0 if cuda else "cpu"}} if config.bits else options


def quantization(config: AdapterConfig) -> BitsAndBytesConfig | None:
    """In how few bits the frozen weights rest. Raises MissingExtra where bitsandbytes is needed and not installed."""
    if config.bits is None:
        return None
    with needing("qlora"):
        import bitsandbytes  # noqa: F401  (transformers would miss it later, and say less)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if config.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
    )


def in_float32(model: Any) -> None:
    """Trained numbers in float32: beside quantised weights TRL keeps bfloat16, which rounds small steps away."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def save_merged(
    model: Any, tokenizer: Any, start: str, adapter: Path, part: Path, kind: Any = AutoModelForCausalLM, **given: Any
) -> None:
    """Leaves the adapter of `model` in the folder `adapter`, and in `part` the model that it makes of `start`.

    `kind`: the class that reads `start`, with what is `given` to it.
    """
    if not first():
        return
    beside = adapter.with_name(f"{adapter.name}.part")
    model.save_pretrained(str(beside))
    replace_folder(adapter, beside)
    base = kind.from_pretrained(
        resolve(start), dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **given
    )
    whole: Any = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    whole.config.pad_token_id = tokenizer.pad_token_id
    if whole.can_generate():
        whole.generation_config.pad_token_id = tokenizer.pad_token_id
    whole.save_pretrained(part)
    tokenizer.save_pretrained(part)
