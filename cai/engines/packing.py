"""Linear layers with weights laid out for oneDNN: on a CPU, small batches run about twice as fast.

A float32 matrix product of a few rows spends its time re-arranging the weights at every call; here that is done
once. The results differ from plain `torch.nn.functional.linear` only by rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_ROWS = 32
"""Rows the layout is tuned for; any number works."""


class PackedLinear(nn.Module):
    """A frozen linear layer for inference."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), _ROWS)
        self._bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


def pack_linears(model: Any) -> None:
    """Replaces the linear layers of a float32 CPU model in place; elsewhere does nothing."""
    if model.dtype != torch.float32 or model.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, PackedLinear(child))
