"""The trained weights of one look at the panel, kept beside a training that may have to go back to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FILE = "panel-best.safetensors"


class Aside:
    """One file in the folder of a stage: the weights that are trained, and no frozen ones."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    @property
    def step(self) -> int | None:
        """Whose weights they are; None where none are kept."""
        if not self._file.is_file():
            return None
        with safe_open(self._file, "pt") as kept:
            return int(kept.metadata()["step"])

    def keep(self, policy: Any, step: int) -> None:
        """Keeps the weights as they are after `step` steps, in place of others; whole or not at all."""
        weights = {name: one.detach().cpu().contiguous() for name, one in _trained(policy).items()}
        part = self._file.with_suffix(".part")
        save_file(weights, part, {"step": str(step)})
        part.replace(self._file)

    @torch.no_grad()
    def put(self, policy: Any) -> None:
        """Puts the kept weights into the place of the policy's."""
        kept = load_file(self._file)
        for name, weight in _trained(policy).items():
            weight.copy_(kept[name])

    def remove(self) -> None:
        """Keeps nothing any more."""
        self._file.unlink(missing_ok=True)


def _trained(policy: Any) -> dict[str, Any]:
    return {name: weight for name, weight in policy.named_parameters() if weight.requires_grad}
