"""How fast models run, from what a device can do: the rates that `cai plan` takes where no run has measured them.

A dense transformer of N parameters takes 2 N FLOP for a token that it reads and 6 N for one that it learns from (Kaplan
et al. 2020, arXiv 2001.08361, section 2.1). Writing a token also moves all weights through memory once for each batch
of rows: the slower of the two counts. Attention over the tokens before, and what moves between devices, is not counted
but for `scaling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Work = Literal["read", "write", "train"]


@dataclass(frozen=True)
class Device:
    """What one device can do. `peak`: FLOP/s at the precision that is used; `bandwidth`: of its memory, bytes/s.

    `read`, `write`, `train`: the share of `peak` that is reached, of `bandwidth` too where weights are moved; assumed.
    `batch`: rows that are written at once. `bytes`: of a weight. `hourly`: its price an hour, dollars; 0: not known.
    """

    name: str
    peak: float
    bandwidth: float
    bytes: float = 2
    batch: int = 128
    read: float = 0.4
    write: float = 0.5
    train: float = 0.35
    scaling: float = 0.9
    hourly: float = 0.0


H100 = Device("NVIDIA H100 SXM, bfloat16", peak=989e12, bandwidth=3.35e12)
"""NVIDIA's data sheet: 989 TFLOP/s dense in bfloat16, 3.35 TB/s."""

LAPTOP = Device(
    "two cores of a laptop CPU, float32",
    peak=200e9,
    bandwidth=32.4e9,
    bytes=4,
    batch=1,
    write=1.0,
    train=0.3645,
)
"""cai was measured there to write 60 and to learn 90 tokens a second with a model of 135 million parameters. The peak
is assumed, and bandwidth and `train` are such that these two come out; reading was not measured."""


def tokens_per_second(work: Work, parameters: float, device: Device, devices: int = 1) -> float:
    """Of a model of so many parameters on so many devices; each further one adds `scaling` of the first."""
    count = 1 + (devices - 1) * device.scaling
    if work == "train":
        return count * device.train * device.peak / (6 * parameters)
    computed = device.read * device.peak / (2 * parameters)
    if work == "read":
        return count * computed
    moved = device.write * device.bandwidth / (parameters * device.bytes) * device.batch
    return count * min(computed, moved)
