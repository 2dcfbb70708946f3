"""How much memory is free for models."""

from __future__ import annotations

import sys


def free_memory() -> int:
    """Bytes free where models are loaded: on the first GPU where this process uses one, else in main memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    import psutil

    return psutil.virtual_memory().available
