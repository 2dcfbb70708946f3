"""Sends a training's figures to TensorBoard, Weights & Biases or trackio, where a recipe asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cai.errors import needing

PROJECT = "cai"
"""The project that runs go to, by default, where a service has projects."""


@contextmanager
def tracked(trainer: Any, names: Sequence[str], folder: Path) -> Iterator[None]:
    """While it is open, what `trainer` logs goes to each of `names`; a run there is called as `trainer.args.run_name`.

    TensorBoard's files lie in `folder`/tensorboard. Raises MissingExtra where a package is not installed.
    """
    with ExitStack() as stack:
        for name in names:
            with needing(name):
                callback, close = _TRACKERS[name](folder)
            stack.callback(close)
            trainer.add_callback(callback)
        yield


def _tensorboard(folder: Path) -> tuple[Any, Any]:
    import tensorboard  # noqa: F401  (torch would miss it in other words)
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    writer = SummaryWriter(log_dir=str(folder / "tensorboard"))
    return TensorBoardCallback(writer), writer.close


def _wandb(folder: Path) -> tuple[Any, Any]:
    """Weights & Biases goes on with a run that is open, so each stage closes its own."""
    import wandb
    from transformers.integrations.integration_utils import WandbCallback

    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    os.environ.setdefault("WANDB_SILENT", "true")
    return WandbCallback(), wandb.finish


def _trackio(folder: Path) -> tuple[Any, Any]:
    import trackio  # noqa: F401  (the callback would miss it in other words)
    from transformers.integrations.integration_utils import TrackioCallback

    return TrackioCallback(), lambda: None


_TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}
