"""The weight of the KL in the reward: fixed, or steered (Ziegler et al. 2019, arXiv 1909.08593, section 2.2)."""

from __future__ import annotations

from typing import Any

_LARGEST_ERROR = 0.2
"""A relative error counts up to this (Ziegler et al. 2019, section 2.2)."""


class KlControl:
    """The weight, nats to reward. With a `target` (nats an answer) it is steered: beta <- beta (1 + gain e).

    e = clip(KL / target - 1, -0.2, 0.2), once a step. Without one it stays as it is.
    """

    def __init__(self, weight: float, target: float | None = None, gain: float = 0.1) -> None:
        self.weight = weight
        self._target, self._gain = target, gain

    def update(self, kl: float) -> None:
        """Takes note of a step's mean KL, nats an answer."""
        if self._target is not None:
            error = min(max(kl / self._target - 1, -_LARGEST_ERROR), _LARGEST_ERROR)
            self.weight *= 1 + self._gain * error

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.weight = state["weight"]
