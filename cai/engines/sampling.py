"""From logits to tokens: each row draws from its own seed by inverting its cumulative distribution."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn.functional import pad

_BLOCK = 256
"""Tokens summed in one go before a block is chosen: a running sum over a whole vocabulary is slow."""
_LIKELIEST = 512
"""Tokens sorted first to find a nucleus; few nuclei hold more."""


class Draws(Protocol):
    """How a row draws."""

    temperature: float
    top_p: float
    draw: random.Random


def sample(logits: torch.Tensor, rows: Sequence[Draws]) -> list[int]:
    """The next token of each row from `logits` (rows, vocabulary): greedy at temperature 0, else by the row's seed."""
    peaks, greedy = logits.max(-1, keepdim=True)
    temperatures = _column([row.temperature for row in rows], logits)
    if not temperatures.any():
        return greedy[:, 0].tolist()
    weights = (logits.float() - peaks.float()).div_(temperatures.clamp(min=1e-6)).exp_()
    if any(row.top_p < 1 for row in rows):
        limits = _column([row.top_p for row in rows], logits)
        weights = nucleus(weights / weights.sum(-1, keepdim=True), limits)
    drawn = invert(weights, _column([row.draw.random() for row in rows], logits, torch.float64))
    return torch.where(temperatures > 0, drawn, greedy)[:, 0].tolist()


def invert(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The tokens at which the running sums of `weights` (rows, tokens) pass `uniform` (rows, 1) of their totals.

    The block of tokens is chosen first and then the token in it, with what `uniform` leaves of the block.
    """
    blocks = pad(weights, (0, -weights.shape[-1] % _BLOCK)).unflatten(-1, (-1, _BLOCK))
    block, rest = _pick(blocks.sum(-1), uniform)
    chosen = blocks.take_along_dim(block[..., None], 1)[:, 0]
    return block * _BLOCK + _pick(chosen, rest)[0]


def nucleus(probabilities: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Zeroes all but the likeliest tokens whose mass first reaches `limits` (rows, 1); Holtzman et al. 2020."""
    ordered, order = probabilities.topk(min(_LIKELIEST, probabilities.shape[-1]))
    if (ordered.sum(-1, keepdim=True) < limits).any():
        ordered, order = probabilities.sort(-1, descending=True)
    inside = ordered.cumsum(-1) - ordered < limits
    return torch.zeros_like(probabilities).scatter_(-1, order, ordered * inside)


def _pick(weights: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The index of each row at which the running sum passes `uniform` of the total, and how far into that weight."""
    weights = weights.double()
    ends = weights.cumsum(-1)
    total = ends[:, -1:]
    target = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))  # never past the last weight
    index = torch.searchsorted(ends, target, right=True)
    weight, end = weights.gather(-1, index), ends.gather(-1, index)
    return index, ((target - end) / weight + 1).clamp(0, 1)


def _column(values: Sequence[float], like: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, device=like.device, dtype=dtype)[:, None]
