"""Keys and values of a running batch, in storage that has room for the tokens to come.

transformers' own cache copies everything at each step; here a step writes its one position. Rows that end are
replaced by the last ones, so that nothing else moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 64
"""Positions by which storage grows."""


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, (rows, heads, positions, size): views of storage that is larger."""

    def __init__(self) -> None:
        super().__init__()
        self._stores: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the new positions after those that are there; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._stores = [_storage(states[:, :, :0], 0) for states in (key_states, value_states)]
        rows, _, new, _ = key_states.shape
        past = self.get_seq_length()
        if past + new > self._stores[0].shape[2]:
            self._stores = [_storage(store[:rows, :, :past], past + new) for store in self._stores]
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[:rows, :, past : past + new] = states
        return self._show(rows, past + new)

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keeps the rows `beam_idx`, in that order; a row that stays in its place is not copied."""
        moved = (beam_idx != torch.arange(len(beam_idx), device=beam_idx.device)).nonzero()[:, 0]
        for states in self._show(len(self._stores[0]), self.get_seq_length()):
            states[moved] = states[beam_idx[moved]]
        self._show(len(beam_idx), self.get_seq_length())

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps the rows `indices`, of which some may come several times."""
        past = self.get_seq_length()
        self._stores = [_storage(store[:, :, :past][indices], past) for store in self._stores]
        self._show(len(indices), past)

    def _show(self, rows: int, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Makes `keys` and `values` the part of the storage that is in use."""
        self.keys, self.values = (store[:rows, :, :positions] for store in self._stores)
        return self.keys, self.values


def roomy_cache(model: Any) -> Cache:
    """A cache for one batch of `model`; layers that are not plain attention have transformers' own."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def in_place(kept: Sequence[int]) -> list[int]:
    """The rows `kept` in an order in which as many as can be stay where they are; the last ones fill the gaps."""
    staying, moving = set(kept), [row for row in kept if row >= len(kept)]
    return [row if row in staying else moving.pop() for row in range(len(kept))]


def _storage(filled: torch.Tensor, positions: int) -> torch.Tensor:
    """Room for `positions` and some more, holding what is `filled`."""
    rows, heads, width, size = filled.shape
    store = filled.new_empty(rows, heads, positions + _ROOM, size)
    store[:, :, :width] = filled
    return store
