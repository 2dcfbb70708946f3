"""A model and its tokenizer, loaded as the settings say: device, number format, quantization, adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from cai.engine_config import TransformersEngine
from cai.engines.packing import pack_linears
from cai.errors import CaiError, EngineError, first_line, needing
from cai.models import ModelConfig
from cai.quiet import hush
from cai.weights import resolve, resolve_adapter

hush()

_OF_CONTENT = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers and peft raise of files that are damaged or strange to them."""


def load(config: TransformersEngine, model: ModelConfig) -> tuple[Any, Any]:
    """Model and tokenizer, ready to be asked.

    Raises EngineError where one cannot be found or loaded, MissingExtra for an adapter where peft is not installed.
    """
    path, device = resolve(model.model), _device(config.device)
    with _explained(path):
        tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=False, **_options(config, device))
        loaded = _whole(*loaded)
    if not config.device_map and not config.quantization:
        loaded = loaded.to(device)
    if model.adapter:
        loaded = _adapted(loaded, model.adapter, merged=not config.quantization)
    if not config.device_map and not config.quantization:
        pack_linears(loaded)
    return loaded.eval(), tokenizer


def _whole(loaded: Any, told: dict[str, Any]) -> Any:
    """The model; raises ValueError where some of its weights lay in no file, since they are random then."""
    if missing := sorted(told["missing_keys"]):
        raise ValueError(f"its files hold no {missing[0]}, nor {len(missing) - 1} more of its tensors")
    return loaded


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Around what reads a folder of weights: whatever its content leads to there, as EngineError."""
    try:
        yield
    except (CaiError, torch.OutOfMemoryError):
        raise
    except _OF_CONTENT as error:
        raise EngineError(
            f"the model in {path} could not be loaded ({first_line(error)}); expected config, tokenizer and "
            f"safetensors weights of a causal language model that transformers {transformers.__version__} knows, as "
            "`save_pretrained` writes them: fetch or copy the whole folder again, or name another model"
        ) from error


def _options(config: TransformersEngine, device: str) -> dict[str, Any]:
    dtype = _dtype(config.dtype, device)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    if config.quantization:
        options["quantization_config"] = _quantization(config.quantization, dtype)
        options["device_map"] = {"": device}  # bitsandbytes quantises while it loads, so it must know where to
    if config.device_map:
        options["device_map"] = config.device_map
    return options


def _quantization(bits: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    if not find_spec("bitsandbytes"):
        raise EngineError(
            f"`quantization: {bits}` needs the package 'bitsandbytes', which is not installed\n"
            "  do this: pip install bitsandbytes"
        )
    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _adapted(model: Any, adapter: str, merged: bool) -> Any:
    """The model with a LoRA adapter. Merging it into quantised weights would round it away, so it stays beside them."""
    with needing("train"):
        from peft import PeftModel
    try:
        laid: Any = PeftModel.from_pretrained(model, resolve_adapter(adapter))
    except CaiError:
        raise
    except _OF_CONTENT as error:
        raise EngineError(
            f"the adapter {adapter!r} could not be laid on the model ({first_line(error)}); expected a folder or a hub "
            "name that holds adapter_config.json and weights made for this model"
        ) from None
    return laid.merge_and_unload() if merged else laid.base_model.model


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(name: str, device: str) -> torch.dtype:
    """float32 on a CPU, where it is the fastest and the most exact; else bfloat16, which GPUs are made for."""
    return getattr(torch, name if name != "auto" else "float32" if device == "cpu" else "bfloat16")
