"""What the GPUs of this process have drawn, by the counters of their driver."""

from __future__ import annotations

import os
from typing import Any


def drawn() -> float | None:
    """Joules since the driver was loaded, over all GPUs that this process may use and whoever used them.

    None where there is no GPU, no `nvidia-ml-py`, or a GPU that does not count (before Volta). Only differences mean
    anything. CPUs have such counters too, which most systems show to root alone; they are not read.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        millijoules = [pynvml.nvmlDeviceGetTotalEnergyConsumption(one) for one in _devices(pynvml)]
    except (pynvml.NVMLError, ValueError):
        return None
    finally:
        pynvml.nvmlShutdown()
    return sum(millijoules) / 1000 if millijoules else None


def _devices(nvml: Any) -> list[Any]:
    """Those of CUDA_VISIBLE_DEVICES, by number or name; without it, all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if all(name.isdecimal() for name in names):
        return [nvml.nvmlDeviceGetHandleByIndex(int(name)) for name in names]
    return [nvml.nvmlDeviceGetHandleByUUID(name) for name in names]
