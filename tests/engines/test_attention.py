"""Attention with a shared prefix is plain attention over prefix and own tokens together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cai.engines.attention import Prefix, attend, causal_mask, softmax_attention

LOWEST = torch.finfo(torch.float32).min


def plain(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, allowed: torch.Tensor, scaling: float
) -> torch.Tensor:
    """One row, one head and one query at a time; (B, H, Q, D), (B, K, S, D) and (B, Q, S) to (B, Q, H, D)."""
    rows, heads, new, size = query.shape
    repeat = heads // key.shape[1]
    output = torch.zeros(rows, new, heads, size)
    for row in range(rows):
        for head in range(heads):
            for at in range(new):
                seen = allowed[row, at]
                keys, values = key[row, head // repeat][seen], value[row, head // repeat][seen]
                output[row, at, head] = (keys @ query[row, head, at] * scaling).softmax(0) @ values
    return output


@pytest.mark.parametrize(
    ("heads", "groups", "prefix", "past", "new", "padding"),
    [
        pytest.param(1, 1, 1, 0, 1, [0], id="least"),
        pytest.param(4, 4, 5, 0, 3, [0, 0], id="a head a group"),
        pytest.param(4, 2, 5, 0, 4, [0, 2, 3], id="grouped, left-padded"),
        pytest.param(6, 2, 7, 6, 1, [0, 3, 5, 1], id="one new token"),
        pytest.param(4, 1, 40, 3, 4, [1, 0], id="one group, several new tokens after some"),
    ],
)
def test_attention_over_a_shared_prefix(
    heads: int, groups: int, prefix: int, past: int, new: int, padding: list[int]
) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, size, width = len(padding), 8, past + new
    query = torch.randn(rows, heads, new, size, generator=draw)
    key, value = torch.randn(2, rows, groups, width, size, generator=draw)
    layers = [tuple(torch.randn(2, groups, prefix, size, generator=draw)) for _ in range(2)]
    real = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
    output, _ = attend(
        SimpleNamespace(layer_idx=1),
        query,
        key,
        value,
        causal_mask(real, new, torch.float32),
        scaling=0.3,
        shared_prefix=Prefix(prefix, ((layers[0][0], layers[0][1]), (layers[1][0], layers[1][1]))),
        dropout=0.0,
    )
    shared_key, shared_value = (part.expand(rows, -1, -1, -1) for part in layers[1])
    own = causal_mask(real, new, torch.float32)[:, 0] == 0
    expected = plain(
        query,
        torch.cat([shared_key, key], 2),
        torch.cat([shared_value, value], 2),
        torch.cat([torch.ones(rows, new, prefix, dtype=torch.bool), own], -1),
        0.3,
    )
    for row, pad in enumerate(padding):
        at = max(0, pad - past)  # queries before it are padding, and nobody looks at them
        torch.testing.assert_close(output[row, at:], expected[row, at:], atol=1e-5, rtol=1e-5)
    assert output.isfinite().all()


def test_a_query_sees_itself_what_came_before_and_no_padding() -> None:
    real = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    mask = causal_mask(real, 2, torch.float32)
    assert mask.shape == (2, 1, 2, 4)
    assert mask[:, 0].tolist() == [
        [[0, 0, 0, LOWEST], [0, 0, 0, 0]],
        [[LOWEST, LOWEST, 0, LOWEST], [LOWEST, LOWEST, 0, 0]],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_hidden_is_the_lowest_finite_number(dtype: torch.dtype) -> None:
    """A query that may look nowhere then looks everywhere alike, where minus infinity would give NaN."""
    mask = causal_mask(torch.tensor([[0, 1]]), 2, dtype)
    assert mask.dtype == dtype
    assert mask[0, 0].tolist() == [[torch.finfo(dtype).min] * 2, [torch.finfo(dtype).min, 0]]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_comes_with_the_logarithm_of_its_denominator(masked: bool, device: str) -> None:
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, count, 8, generator=draw) for count in (4, 70, 70))
    mask = torch.zeros(2, 1, 4, 70)
    mask[0, :, :, :9] = LOWEST
    scores = (query @ key.transpose(2, 3) * 0.3 + (mask if masked else 0)).double()
    inputs = [part if device == "cpu" else OffCpu(part) for part in (query, key, value)]
    output, denominators = softmax_attention(*inputs, mask if masked else None, 0.3)  # type: ignore[call-arg,misc]
    torch.testing.assert_close(output, (scores.softmax(-1) @ value.double()).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denominators, scores.logsumexp(-1).float(), atol=1e-5, rtol=1e-5)


class OffCpu(torch.Tensor):
    """A tensor that says it lies elsewhere, so that the plain formula is taken."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = torch.device("meta")  # type: ignore[assignment]
