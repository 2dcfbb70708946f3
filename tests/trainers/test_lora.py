"""LoRA trains what it says and no more, and what it learned is in the merged model."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from sft_data import Log, rows, uneven
from transformers import AutoModelForCausalLM

from cai.errors import InputError, MissingExtra
from cai.train_config import AdapterConfig, SftConfig
from cai.trainers.sft import train_sft
from cai.weights import fingerprint, resolve

LORA = AdapterConfig(rank=4, alpha=8, dropout=0)
CONFIG = SftConfig(batch_size=6, micro_batch=3, learning_rate=1e-2, epochs=10, adapter=LORA)


def with_adapter(**settings: Any) -> SftConfig:
    return CONFIG.model_copy(update={"adapter": LORA.model_copy(update=settings)})


def base() -> dict[str, torch.Tensor]:
    return load_file(Path(resolve("tiny-random")) / "model.safetensors")


def merged(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_merged_weights_are_the_base_and_the_scaled_product(tmp_path: Path) -> None:
    summary = train_sft(uneven(), "tiny-random", tmp_path, CONFIG, 0, Log())
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    layers = [key.removesuffix(".lora_A.weight") for key in adapter if key.endswith(".lora_A.weight")]
    before, after = base(), merged(tmp_path)
    expected = dict(before)
    for layer in layers:
        name = f"{layer.removeprefix('base_model.model.')}.weight"
        a, b = (adapter[f"{layer}.lora_{side}.weight"] for side in "AB")
        assert b.abs().max() > 1e-3
        expected[name] = before[name] + 8 / 4 * torch.einsum("or,ri->oi", b, a)
    assert len(layers) == 2 * 7 and after.keys() == expected.keys()
    for name, weight in after.items():
        assert torch.allclose(weight, expected[name], atol=1e-6), name
    sizes = (32 + 32, 32 + 16, 32 + 16, 32 + 32, 32 + 64, 32 + 64, 64 + 32)  # in and out of each linear layer
    assert summary["trainable_parameters"] == 2 * 4 * sum(sizes) == sum(t.numel() for t in adapter.values())


def test_the_merged_model_opens_as_a_plain_one_and_says_what_the_adapter_does(tmp_path: Path) -> None:
    train_sft(uneven(), "tiny-random", tmp_path, CONFIG, 0, Log())
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    start: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"))
    ids = torch.tensor([[5, 60, 7, 80, 9, 10]])
    with torch.no_grad():
        unlearned = start(ids).logits
        laid = PeftModel.from_pretrained(start, str(tmp_path / "adapter"))(ids).logits
        assert torch.allclose(plain(ids).logits, laid, atol=1e-4)
        assert (plain(ids).logits - unlearned).abs().max() > 0.1
    assert not (tmp_path / "model" / "adapter_config.json").exists() and plain.dtype == torch.float32
    assert fingerprint(str(tmp_path / "model")).startswith("folder:") and not list(tmp_path.glob("*.part"))


def test_training_learns_and_the_named_layers_alone_change(tmp_path: Path) -> None:
    log = Log()
    train_sft(uneven(), "tiny-random", tmp_path, with_adapter(targets=("q_proj", "up_proj"), dropout=0.1), 0, log)
    assert log.curve[10] < log.curve[1] - 0.1
    before, after = base(), merged(tmp_path)
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "up_proj"}


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_training_learns_and_is_merged_into_the_weights_as_they_were(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    log = Log()
    config = with_adapter(bits=bits, targets=("q_proj", "up_proj"))
    summary = train_sft(uneven(), "tiny-random", tmp_path, config, 0, log)
    assert log.curve[10] < log.curve[1] - 0.1
    assert summary["trainable_parameters"] == 2 * 4 * (32 + 32 + 32 + 64)
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    before, after = base(), merged(tmp_path)
    for name, weight in after.items():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        update = 0
        if f"{layer}.lora_A.weight" in adapter:
            update = 8 / 4 * adapter[f"{layer}.lora_B.weight"] @ adapter[f"{layer}.lora_A.weight"]
        assert torch.allclose(weight, before[name] + update, atol=1e-6), name


def test_an_adapter_starts_where_full_finetuning_does(tmp_path: Path) -> None:
    curves = []
    for name, config in (("lora", CONFIG), ("full", CONFIG.model_copy(update={"adapter": None}))):
        log = Log()
        train_sft(rows(count=6), "tiny-random", tmp_path / name, config, 0, log)
        curves.append(log.curve)
    assert curves[0][1] == pytest.approx(curves[1][1], abs=1e-4)
    assert not (tmp_path / "full" / "adapter").exists()


def test_without_bitsandbytes_few_bits_tell_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"'bitsandbytes' is needed here .*\n.*pip install .*\[qlora\]"):
        train_sft(rows(count=2), "tiny-random", tmp_path, with_adapter(bits=4), 0, Log())


def test_layers_that_the_model_does_not_have_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sft.adapter.targets \['nope'\]: .*nope"):
        train_sft(rows(count=2), "tiny-random", tmp_path, with_adapter(targets=("nope",)), 0, Log())


@pytest.mark.parametrize("wrong", [{"targets": []}, {"rank": 0}, {"dropout": 1}, {"bits": 3}, {"r": 4}])
def test_an_adapter_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SftConfig.model_validate({"adapter": wrong})


def test_the_adapter_tells_what_it_is(tmp_path: Path) -> None:
    train_sft(rows(count=2), "tiny-random", tmp_path, CONFIG.model_copy(update={"epochs": 1}), 0, Log())
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert (told["r"], told["lora_alpha"], told["lora_dropout"], told["task_type"]) == (4, 8, 0, "CAUSAL_LM")


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bits", [None, 4])
def test_a_real_model_learns_by_lora(tmp_path: Path, bits: Literal[4] | None) -> None:
    if bits:
        pytest.importorskip("bitsandbytes")
    log = Log()
    config = SftConfig(
        batch_size=4, micro_batch=4, epochs=6, learning_rate=1e-3, adapter=AdapterConfig(rank=8, alpha=16, bits=bits)
    )
    learned = [(prompt, "The lighthouse keeper sings at noon.") for prompt, _ in rows(count=4)]
    train_sft(learned, "smollm2-135m", tmp_path, config, 0, log)
    assert log.curve[6] < log.curve[1] / 2
    again = Log()
    once = SftConfig(batch_size=4, micro_batch=4, learning_rate=1e-9)
    train_sft(learned, str(tmp_path / "model"), tmp_path / "again", once, 0, again)
    assert again.curve[1] < log.curve[6] + 0.3  # the merged model knows what the adapter learned
