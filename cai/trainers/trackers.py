"""Sends a training's figures to TensorBoard, Weights & Biases or trackio, where a recipe asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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


@contextmanager
def reporting(names: Sequence[str], folder: Path) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """The same for a training that is no trainer of TRL's: what is yielded sends the figures of one step.

    They are called as those of TRL's trainers, `train/` and their names. Raises MissingExtra.
    """
    with ExitStack() as stack:
        reports: list[Callable[[int, dict[str, float]], Any]] = []
        for name in names:
            with needing(name):
                report, close = _REPORTS[name](folder)
            stack.callback(close)
            reports.append(report)

        def report_all(step: int, row: Mapping[str, float]) -> None:
            for report in reports:
                report(step, {f"train/{name}": value for name, value in row.items()})

        yield report_all


def _to_tensorboard(folder: Path) -> tuple[Any, Any]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(log_dir=str(folder / "tensorboard"))

    def report(step: int, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    return report, writer.close


def _to_wandb(folder: Path) -> tuple[Any, Any]:
    import wandb

    _settle_wandb()
    run = wandb.init(project=os.environ["WANDB_PROJECT"], name=run_name(folder))
    return lambda step, row: run.log(row, step=step), run.finish


def _to_trackio(folder: Path) -> tuple[Any, Any]:
    import trackio

    run = trackio.init(project=PROJECT, name=run_name(folder))
    return lambda step, row: run.log(row, step=step), trackio.finish


_REPORTS = {"tensorboard": _to_tensorboard, "wandb": _to_wandb, "trackio": _to_trackio}


def run_name(folder: Path) -> str:
    """What the training in `folder` is called where it is tracked."""
    return f"{folder.parent.name}/{folder.name}"


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

    _settle_wandb()
    return WandbCallback(), wandb.finish


def _settle_wandb() -> None:
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    os.environ.setdefault("WANDB_SILENT", "true")


def _trackio(folder: Path) -> tuple[Any, Any]:
    import trackio  # noqa: F401  (the callback would miss it in other words)
    from transformers.integrations.integration_utils import TrackioCallback

    return TrackioCallback(), lambda: None


_TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}
