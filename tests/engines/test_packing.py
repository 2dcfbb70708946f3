"""Packed linear layers compute what plain ones do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from cai.engines.packing import PackedLinear, pack_linears
from cai.weights import TINY, resolve

needs_mkldnn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
IDS = torch.arange(3, 43).view(4, 10)


def load(dtype: torch.dtype) -> Any:
    return AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=dtype).eval()


def packed(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, PackedLinear)]


@needs_mkldnn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (32, 48), (100, 48), (2, 3, 48), (4, 1, 48)])
@torch.inference_mode()
def test_a_packed_layer_is_a_plain_one(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 80, bias=bias), torch.randn(shape)
    torch.testing.assert_close(PackedLinear(linear)(x), linear(x), atol=1e-4, rtol=1e-4)


@needs_mkldnn
@torch.inference_mode()
def test_a_packed_layer_takes_rows_that_do_not_lie_side_by_side() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 80), torch.randn(5, 9, 48)
    torch.testing.assert_close(PackedLinear(linear)(x[:, -2:]), linear(x[:, -2:]), atol=1e-4, rtol=1e-4)


@needs_mkldnn
@torch.inference_mode()
def test_a_packed_model_says_what_the_plain_one_says() -> None:
    model = load(torch.float32)
    before = model(IDS).logits
    pack_linears(model)
    assert any("mlp" in name for name in packed(model))
    assert any("attn" in name for name in packed(model))
    assert "lm_head" in packed(model)
    torch.testing.assert_close(model(IDS).logits, before, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_model_in_half_precision_is_left_alone() -> None:
    model = load(torch.bfloat16)
    before = model(IDS).logits
    pack_linears(model)
    assert packed(model) == []
    assert torch.equal(model(IDS).logits, before)


class Scaled(nn.Linear):
    """A linear layer that does more than one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


@torch.inference_mode()
def test_a_layer_that_only_descends_from_a_linear_one_is_left_alone() -> None:
    model = load(torch.float32)
    model.lm_head = Scaled(32, 259, bias=False)
    before = model(IDS).logits
    pack_linears(model)
    assert type(model.lm_head) is Scaled
    torch.testing.assert_close(model(IDS).logits, before, atol=1e-4, rtol=1e-4)
