"""Models as the settings say: number format, devices, quantization, adapters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from cai.engine_config import TransformersEngine
from cai.engines import loading
from cai.engines.decode import Decoder, Row
from cai.engines.loading import load
from cai.engines.packing import PackedLinear
from cai.errors import EngineError, MissingExtra
from cai.models import ModelConfig
from cai.weights import TINY, resolve

IDS = torch.arange(3, 23)[None]


def loaded(adapter: str | None = None, model: str = TINY, **settings: Any) -> Any:
    settings.setdefault("device", "cpu")
    return load(TransformersEngine(**settings), ModelConfig(model=model, adapter=adapter))[0]


def plain(model: str = TINY) -> Any:
    return AutoModelForCausalLM.from_pretrained(resolve(model), dtype=torch.float32).eval()


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    return model(IDS).logits[0].float()


def packed(model: Any) -> bool:
    return any(isinstance(part, PackedLinear) for part in model.modules())


def test_on_a_cpu_weights_are_exact_and_packed() -> None:
    model = loaded()
    assert (model.dtype, model.training) == (torch.float32, False)
    assert packed(model) is torch.backends.mkldnn.is_available()
    torch.testing.assert_close(logits(model), logits(plain()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_number_format_can_be_named(dtype: str) -> None:
    assert loaded(dtype=dtype).dtype == getattr(torch, dtype)


def test_a_model_that_is_spread_over_devices_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.setattr(torch.nn.Module, "to", None)
    model = loaded(device_map="cpu")
    monkeypatch.undo()
    assert not packed(model)
    torch.testing.assert_close(logits(model), logits(plain()), atol=1e-4, rtol=1e-4)


def lora(folder: Path, model: str = TINY) -> Path:
    """A LoRA with random weights in both of its factors."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    peft.get_peft_model(plain(model), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lora(tmp_path_factory.mktemp("lora"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twice as wide: where a CPU has AVX512-BF16, bitsandbytes packs 4-bit weights in blocks of 64."""
    folder = tmp_path_factory.mktemp("wide")
    config = AutoConfig.from_pretrained(resolve(TINY), hidden_size=64, intermediate_size=128, head_dim=16)
    torch.manual_seed(4)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve(TINY)).save_pretrained(folder)
    return str(folder)


def test_an_adapter_is_laid_on_the_model(adapter: Path) -> None:
    peft = pytest.importorskip("peft")
    model = loaded(str(adapter))
    assert packed(model) is torch.backends.mkldnn.is_available()
    torch.testing.assert_close(
        logits(model), logits(peft.PeftModel.from_pretrained(plain(), adapter)), atol=1e-4, rtol=1e-4
    )
    assert (logits(model) - logits(plain())).abs().max() > 0.01


def test_an_adapter_that_is_not_there_is_named() -> None:
    pytest.importorskip("peft")
    with pytest.raises(EngineError, match=r"the adapter './nowhere' could not be laid on the model .*adapter_config"):
        loaded("./nowhere")


def test_without_peft_an_adapter_tells_what_to_install(monkeypatch: pytest.MonkeyPatch, adapter: Path) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"'peft' is needed here .*\n.*pip install .*\[train\]"):
        loaded(str(adapter))


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantised_model_says_nearly_the_same(wide: str, bits: str) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    model = loaded(model=wide, quantization=bits)
    kinds = {"4bit": bitsandbytes.nn.Linear4bit, "8bit": bitsandbytes.nn.Linear8bitLt}
    assert isinstance(model.model.layers[0].mlp.up_proj, kinds[bits])
    assert not packed(model)
    off = (logits(model).log_softmax(-1) - logits(plain(wide)).log_softmax(-1)).abs().max()
    assert 0 < off < 0.5
    row = Row(list(range(3, 60)), 3, 0.0, 1.0, 0)
    Decoder(model, frozenset(), lambda: False).sample([row], lambda row: False)
    assert len(row.tokens) == 3


def test_an_adapter_lies_beside_quantised_weights(wide: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    adapter = str(lora(tmp_path, wide))
    model = loaded(adapter, wide, quantization="4bit")
    assert any("lora_A" in name for name, _ in model.named_modules())
    said = logits(model).log_softmax(-1)
    off = (said - logits(loaded(adapter, wide)).log_softmax(-1)).abs().max()
    assert off < 0.5
    assert off < (said - logits(loaded(model=wide, quantization="4bit")).log_softmax(-1)).abs().max()


def test_without_bitsandbytes_quantization_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"`quantization: 4bit` needs .*\n  do this: pip install bitsandbytes"):
        loaded(quantization="4bit")
