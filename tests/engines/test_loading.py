"""Models as the settings say: number format, devices, quantization, adapters."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
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


def test_an_adapter_that_is_a_pickle_is_refused_whatever_lies_beside_it(adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    weights = folder / "adapter_model.safetensors"
    torch.save(load_file(weights), folder / "adapter_model.bin")
    loaded(str(folder))
    weights.rename(folder / "decoy.safetensors")
    with pytest.raises(EngineError, match=r"holds its weights as a pickle \(adapter_model\.bin\)"):
        loaded(str(folder))


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_an_adapter_that_is_damaged_is_named(adapter: Path, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    weights = folder / "adapter_model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    else:
        save_file({name: one[:, :1].contiguous() for name, one in load_file(weights).items()}, weights)
    with pytest.raises(EngineError, match=r"adapter_model\.safetensors is not a whole|could not be laid on the model"):
        loaded(str(folder))


# Folders that are damaged, or strange to transformers.


def strange(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **settings}), "utf-8")


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
    "cut weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000]),
        "not a whole safetensors file",
    ),
    "weights of another model": (
        lambda folder: save_file({"x": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"}),
        r"could not be loaded \(its files hold no .+, nor \d+ more of its tensors\)",
    ),
    "some weights are missing": (lambda folder: strange(folder, num_hidden_layers=3), r"hold no model\.layers\.2\."),
    "other sizes": (lambda folder: strange(folder, hidden_size=64), "could not be loaded"),
    "no such kind": (lambda folder: strange(folder, model_type="nosuch"), r"could not be loaded .*`nosuch`"),
    "a kind that does not write": (lambda folder: strange(folder, model_type="t5"), "could not be loaded"),
    "a word for a number": (lambda folder: strange(folder, hidden_size="x"), r"could not be loaded .*'hidden_size'"),
    "no heads": (lambda folder: strange(folder, num_attention_heads=0), "could not be loaded"),
    "an unknown function": (lambda folder: strange(folder, hidden_act="nosuch"), r"could not be loaded \('nosuch'\)"),
    "an empty config": (lambda folder: (folder / "config.json").write_text("{}"), r"could not be loaded .*model_type"),
    "a cut config": (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is not a JSON object"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "could not be loaded"),
    "a cut tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "could not be loaded"),
    "an empty tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "could not be loaded"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_folder_that_cannot_be_loaded_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(resolve(TINY), tmp_path / "model"))
    change, told = DAMAGED[damage]
    change(folder)
    with pytest.raises(EngineError, match=told) as caught:
        loaded(model=str(folder))
    assert str(folder) in str(caught.value)
    assert "as `save_pretrained` writes them" in str(caught.value) or "fetch or copy the whole folder" in str(
        caught.value
    )


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
