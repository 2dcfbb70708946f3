"""What all trainers share: the watcher that reports, checkpoints and stops, and where checkpoints lie."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import datasets
import torch
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.base_trainer import _BaseTrainer

from cai.errors import Interrupted
from cai.quiet import hush
from cai.store import replace_folder
from cai.train_config import TrainConfig
from cai.trainers.trackers import PROJECT, tracked

hush()
datasets.disable_progress_bars()
_BaseTrainer._send_telemetry = lambda self: None  # TRL tells the hub which trainer begins; nothing leaves a run unasked

_COMPLETE = "COMPLETE"


class Watch(Protocol):
    """Where a trainer reports to."""

    def step(self, done: int, total: int) -> None:
        """One optimizer step ended."""
        ...

    def metric(self, row: dict[str, Any]) -> None:
        """A row of logged figures."""
        ...


class Watcher(TrainerCallback):
    """Passes figures on, marks checkpoints complete, and turns Ctrl-C into a checkpoint and a stop."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.interrupted = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Reports the step; after Ctrl-C asks for a checkpoint and the end."""
        self._watch.step(state.global_step, state.max_steps)
        if self.interrupted:
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Stores every number that was logged."""
        numbers = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float)}
        self._watch.metric({"step": state.global_step, **numbers})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called once a checkpoint is whole: only a marked one is resumed from."""
        mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """The first Ctrl-C finishes the step and saves; a second one ends at once. Raises Interrupted after it."""

        def remember(*_: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, remember)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if self.interrupted:
            raise Interrupted("stopped after a finished step; run the same command again to go on from it")


def run(
    trainer: Any,
    folder: Path,
    watcher: Watcher,
    report_to: Sequence[str] = (),
    save: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Trains from the last whole checkpoint in `folder`/checkpoints, and leaves `folder`/model. Returns the figures.

    `save` writes the model into a folder where it is not the trainer's own. Raises Interrupted after Ctrl-C,
    MissingExtra where a package of `report_to` is not installed.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watcher)
    start = latest_checkpoint(folder / "checkpoints")
    with tracked(trainer, report_to, folder), watcher.on_interrupt():
        result = trainer.train(resume_from_checkpoint=str(start) if start else None)
    trainer.model.config.use_cache = True  # the trainers switch it off, and generation from the saved model would crawl
    leave_model(folder, save or trainer.save_model)
    return {"steps": trainer.state.global_step, "loss": result.training_loss, "resumed_from": start and start.name}


def leave_model(folder: Path, save: Callable[[Path], None]) -> None:
    """Leaves `folder`/model, which `save` writes, whole or not at all; the checkpoints are no longer needed."""
    part = folder / "model.part"
    save(part)
    replace_folder(folder / "model", part)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def mark_complete(checkpoint: Path) -> None:
    """Only a checkpoint that is marked so is resumed from."""
    (checkpoint / _COMPLETE).touch()


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; torn ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / _COMPLETE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rsplit("-", 1)[-1]), default=None)


def arguments(folder: Path, seed: int, save_every: int, gradient_checkpointing: bool) -> dict[str, Any]:
    """Settings that every TRL trainer gets: float32 on a CPU, bfloat16 on a GPU, named after its folder."""
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(folder / "checkpoints"),
        "seed": seed % 2**32,
        "data_seed": seed % 2**32,
        "use_cpu": not cuda,
        "bf16": cuda,
        "gradient_checkpointing": gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "save_strategy": "steps",
        "save_steps": save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_first_step": True,
        "disable_tqdm": True,
        "report_to": "none",  # `tracked` reports, to where the recipe says
        "run_name": f"{folder.parent.name}/{folder.name}",
        "project": PROJECT,
        "dataloader_pin_memory": cuda,
    }


def batches(batch_size: int, micro_batch: int) -> dict[str, Any]:
    """How a batch is cut into forward passes."""
    micro = min(batch_size, micro_batch)
    return {"per_device_train_batch_size": micro, "gradient_accumulation_steps": batch_size // micro}


def optimisation(config: TrainConfig) -> dict[str, Any]:
    """How steps are taken; a constant rate that is warmed up has a name of its own."""
    warmed = config.warmup > 0 and config.schedule == "constant"
    return {
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if warmed else config.schedule,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}[config.optimizer],
    }
