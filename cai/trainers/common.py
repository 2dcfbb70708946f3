"""What all trainers share: the watcher that reports, checkpoints and stops, and where checkpoints lie."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import datasets
import torch
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback, TrainerState
from trl.trainer.base_trainer import _BaseTrainer

from cai.disk import no_space
from cai.errors import CaiError, InputError, Interrupted, StoreError, first_line
from cai.quiet import hush
from cai.store import flush_below, free_bytes, replace_folder
from cai.train_config import TrainConfig
from cai.trainers.processes import any_of_them, first, share, wait
from cai.trainers.trackers import PROJECT, run_name, tracked

hush()
datasets.disable_progress_bars()
_BaseTrainer._send_telemetry = lambda self: None  # TRL tells the hub which trainer begins; nothing leaves a run unasked

_COMPLETE = "COMPLETE"

_ROOM = 1 << 16
"""Bytes free below which a write that failed is taken to have failed for want of space."""

_OF_THIS_ATTEMPT = ("train_loss",)
"""Figures that a trainer gives of the steps since it was taken up again, as if they were of all."""


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
        self.interrupted = any_of_them(self.interrupted)
        if self.interrupted:
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Stores every number that was logged."""
        told = {key: value for key, value in (logs or {}).items() if key not in _OF_THIS_ATTEMPT}
        numbers = {key: value for key, value in told.items() if isinstance(value, int | float)}
        self._watch.metric({"step": state.global_step, **numbers})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called once this process's part of a checkpoint is whole: only a marked one is resumed from."""
        wait()
        if first():
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
    beside: TrainerCallback | None = None,
    ended: bool = False,
) -> dict[str, Any]:
    """Trains from the last whole checkpoint in `folder`/checkpoints, and leaves `folder`/model. Returns the figures.

    `save` writes the model into a folder where it is not the trainer's own; `beside` is called after the watcher.
    `ended`: the training ended at that checkpoint, before its last step. Raises Interrupted after Ctrl-C, MissingExtra
    where a package of `report_to` is not installed, StoreError for a checkpoint that no training wrote.
    """
    trainer.remove_callback(PrinterCallback)
    for callback in (watcher, beside):
        if callback:
            trainer.add_callback(callback)
    start = latest_checkpoint(folder / "checkpoints")
    if start and (ended or _at_end(start)):
        _restore(trainer, start)
    else:
        _count_on(trainer, start)
        with tracked(trainer, report_to, folder), watcher.on_interrupt(), told_if_full(folder), told_if_not_ours(start):
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    trainer.model.config.use_cache = True  # the trainers switch it off, and generation from the saved model would crawl
    leave_model(folder, save or trainer.save_model)
    return {"steps": trainer.state.global_step, "loss": _mean_loss(trainer), "resumed_from": start and start.name}


def _mean_loss(trainer: Any) -> float:
    """Over all steps. Its trainer's own counts from where it was taken up again."""
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return sum(losses) / max(1, len(losses))


def _at_end(checkpoint: Path) -> bool:
    """Whether it was written after the last step: what followed was cut off, and no step is left."""
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state.global_step >= state.max_steps


def _count_on(trainer: Any, checkpoint: Path | None) -> None:
    """Has TRL count tokens on from those of a checkpoint: it would begin at 0, and the curve would fall."""
    history = TrainerState.load_from_json(str(checkpoint / "trainer_state.json")).log_history if checkpoint else []
    for row in history:
        if "num_tokens" in row and hasattr(trainer, "_total_train_tokens"):
            trainer._total_train_tokens = int(row["num_tokens"])


@contextmanager
def told_if_full(folder: Path) -> Iterator[None]:
    """Around what writes weights: a full disk becomes StoreError, in whatever words a library put it."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if isinstance(error, CaiError) or (free_bytes(folder) > _ROOM and "No space left" not in str(error)):
            raise
        raise no_space(folder) from error


@contextmanager
def told_if_not_ours(checkpoint: Path | None) -> Iterator[None]:
    """Around what reads a checkpoint: one that holds more than tensors and plain values becomes StoreError, unrun."""
    try:
        yield
    except UnpicklingError as error:
        if checkpoint is None:
            raise
        raise StoreError(
            f"{checkpoint} holds what no training writes ({first_line(error)}); delete that folder and run the same "
            "command again, which goes on from an earlier one, or from the start of this stage"
        ) from None


def _restore(trainer: Any, checkpoint: Path) -> None:
    """Puts a trainer where a checkpoint left it, without a further step."""
    trainer._load_from_checkpoint(str(checkpoint))
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def leave_model(folder: Path, save: Callable[[Path], None]) -> None:
    """Leaves `folder`/model, which `save` writes, whole or not at all. The checkpoints stay until the step is done.

    Of several processes that share a training all call it: weights that are cut among them are put together.
    """
    part = folder / "model.part"
    with told_if_full(folder):
        save(part)
    wait()
    if first():
        _put(part, folder / "model")
    wait()


def _put(part: Path, model: Path) -> None:
    (part / "training_args.bin").unlink(missing_ok=True)  # a pickle that no one needs, with paths of this machine
    replace_folder(model, part)


def mark_complete(checkpoint: Path) -> None:
    """Only a checkpoint that is marked so is resumed from; by then it has reached the disk."""
    flush_below(checkpoint)
    (checkpoint / _COMPLETE).touch()


def step_of(checkpoint: Path | str | None) -> int:
    """After how many steps a checkpoint was written; 0 where there is none."""
    return int(Path(checkpoint).name.rsplit("-", 1)[-1]) if checkpoint else 0


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; torn ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / _COMPLETE).is_file():
            whole.append(path)
        elif first():
            shutil.rmtree(path)
    return max(whole, key=step_of, default=None)


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
        "run_name": run_name(folder),
        "project": PROJECT,
        "dataloader_pin_memory": cuda,
    }


def batches(batch_size: int, micro_batch: int) -> dict[str, Any]:
    """How this process's part of a batch is cut into forward passes. Raises InputError where it can't be."""
    here = share(batch_size, "batch_size")
    micro = min(here, micro_batch)
    if here % micro:
        raise InputError(f"micro_batch: {here} rows a process cannot be cut into passes of {micro}; take a divisor")
    return {"per_device_train_batch_size": micro, "gradient_accumulation_steps": here // micro}


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
