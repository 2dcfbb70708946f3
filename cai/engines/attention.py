"""Attention in which all rows share one prefix: its keys and values are computed and read once, not once a row.

Attention over the shared and over the own positions is merged by the weight that each has in their common softmax,
so the result is that of plain attention. Model families whose attention is not a plain causal softmax are left to
their own implementation, without sharing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache

_NAME = "cai_shared_prefix"
_FAMILIES = frozenset({"llama", "qwen2", "qwen3", "smollm3", "olmo2"})
_SHORTEST = 32
"""Prefixes below this many tokens are not worth sharing."""
_KEPT = 4


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the shared tokens, one pair of (kv heads, length, head size) a layer; empty: not shared."""

    length: int
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def arguments(self, real: torch.Tensor, new: int, dtype: torch.dtype) -> dict[str, Any]:
        """What the model's forward pass needs beside the tokens, for `real` (rows, positions) and `new` queries."""
        if not self.length:
            return {"attention_mask": real}
        return {"attention_mask": causal_mask(real, new, dtype), "shared_prefix": self}


class SharedPrefix:
    """Runs prefixes and keeps the last few."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._able = model.config.model_type in _FAMILIES
        self._own = model.config._attn_implementation
        self._kept: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def holds(self, ids: tuple[int, ...]) -> bool:
        """Whether `ids` were run before and are kept."""
        return ids in self._kept

    def of(self, ids: tuple[int, ...]) -> Prefix:
        """The prefix `ids` as keys and values; an empty one where sharing is not worth it or not possible."""
        if len(ids) < _SHORTEST or not self._able:
            self._model.set_attn_implementation(self._own)
            return Prefix(0, ())
        if ids not in self._kept:
            self._kept[ids] = self._run(ids)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(ids)
        self._model.set_attn_implementation(_NAME)
        return self._kept[ids]

    def _run(self, ids: tuple[int, ...]) -> Prefix:
        self._model.set_attn_implementation(self._own)
        cache: Any = DynamicCache()
        self._model(input_ids=torch.tensor([ids], device=self._model.device), past_key_values=cache, logits_to_keep=1)
        return Prefix(len(ids), tuple((layer.keys[0], layer.values[0]) for layer in cache.layers))


def causal_mask(real: torch.Tensor, new: int, dtype: torch.dtype) -> torch.Tensor:
    """Added to scores, (rows, 1, new, positions): 0 where a query may look, the dtype's lowest value elsewhere."""
    rows, width = real.shape
    behind = torch.ones(new, width, dtype=torch.bool, device=real.device).tril(width - new)
    allowed = behind[None, None] & real.bool()[:, None, None, :]
    mask = torch.zeros(rows, 1, new, width, dtype=dtype, device=real.device)
    return mask.masked_fill(~allowed, torch.finfo(dtype).min)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    shared_prefix: Prefix,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Softmax attention of `query` (B, H, Q, D) over the shared prefix and `key`, `value` (B, K, S, D).

    H query heads in K groups. Returns (B, Q, H, D), as transformers' attention interface asks.
    """
    rows, heads, new, size = query.shape
    groups = key.shape[1]
    grouped = query.reshape(rows, groups, -1, size)  # (B, K, H/K * Q, D)
    flat = grouped.transpose(0, 1).reshape(1, groups, -1, size)  # (1, K, B * H/K * Q, D)
    keys, values = shared_prefix.layers[module.layer_idx]
    from_shared, shared = softmax_attention(flat, keys[None], values[None], None, scaling)
    mask = attention_mask.expand(-1, heads // groups, -1, -1).reshape(rows, 1, -1, key.shape[2])
    from_own, own = softmax_attention(grouped, key, value, mask, scaling)
    share = (shared.view(groups, rows, -1).transpose(0, 1) - own).sigmoid()[..., None].to(query.dtype)
    output = torch.lerp(from_own, from_shared.view(groups, rows, -1, size).transpose(0, 1), share)
    return output.reshape(rows, heads, new, size).transpose(1, 2).contiguous(), None


def softmax_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of (B, H, Q, D) over (B, H, S, D), and the logarithm of each query's softmax denominator, (B, H, Q)."""
    if query.device.type == "cpu":  # scores are never written out whole
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(query, key, value, 0.0, False, attn_mask=mask, scale=scaling)
    scores = (query * scaling @ key.transpose(2, 3)).float()
    scores = scores if mask is None else scores + mask
    denominators = scores.logsumexp(-1, keepdim=True)
    return (scores - denominators).exp().to(value.dtype) @ value, denominators[..., 0]


AttentionInterface.register(_NAME, attend)
