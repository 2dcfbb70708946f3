"""A running mean of the weights that are trained (InstructGPT, arXiv 2203.02155, App. C.4: decay 0.992)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Ema:
    """mean <- decay x mean + (1 - decay) x weights, begun at the weights as they are."""

    def __init__(self, weights: Iterable[tuple[str, Tensor]], decay: float) -> None:
        self._decay = decay
        self._weights = dict(weights)
        self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights in, once a step."""
        for name, mean in self._means.items():
            mean.lerp_(self._weights[name].to(mean.dtype), 1 - self._decay)

    @torch.no_grad()
    def put(self) -> None:
        """Puts the mean into the weights' place."""
        for name, mean in self._means.items():
            self._weights[name].copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return dict(self._means)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        for name, mean in self._means.items():
            mean.copy_(state[name])
