"""The processes that share a training: how many there are, which one speaks, and what all of them agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import distributed

from cai.errors import InputError

Row = TypeVar("Row")
Said = TypeVar("Said")


def count() -> int:
    """How many processes share this training; 1 where it wasn't launched in several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def met() -> int:
    """How many processes have found each other; a launcher may start fewer than it was asked for, and not say so."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first() -> bool:
    """Whether this process is the one that reports and leaves the model."""
    return os.environ.get("RANK", "0") == "0"


def gpus() -> int:
    """GPUs of this machine."""
    return torch.cuda.device_count()


def settle() -> None:
    """Gives this process the GPU of its number, where there are any, before anything is loaded."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def wait() -> None:
    """Until all have come here."""
    if distributed.is_initialized():
        distributed.barrier()


def any_of_them(here: bool) -> bool:
    """Whether it is so in one of them, so that all do the same after the same step."""
    if not distributed.is_initialized():
        return here
    found = torch.tensor(float(here), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(found)
    return bool(found)


def over_all(rows: Sequence[Row], said: Callable[[Sequence[Row]], Sequence[Said]]) -> Sequence[Said]:
    """What `said` has to say of this process's rows when it is shown those of all processes, in the processes' order.

    Every process calls it at the same place, or those that do wait for ever. Rows travel by pickle.
    """
    if not distributed.is_initialized():
        return said(rows)
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, list(rows))
    before = sum(len(part) for part in parts[: distributed.get_rank()])
    return said([row for part in parts for row in part])[before : before + len(rows)]


def share(rows: int, setting: str) -> int:
    """Of so many rows of a step, this process's part. Raises InputError where they can't be cut evenly."""
    part, rest = divmod(rows, count())
    if rest:
        raise InputError(f"{setting}: {rows} rows of a step cannot be shared by {count()} processes; take a multiple")
    return part
