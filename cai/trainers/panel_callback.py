"""The panel in a training by TRL: looked at after steps, with a checkpoint where its weights may be gone back to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from cai.trainers.panel import Panel


class Looking(TrainerCallback):
    """Looks at the panel in the main process, whose findings all others follow; to be called after the watcher."""

    def __init__(self, panel: Panel, trainer: Any, tokenizer: Any) -> None:
        self._panel, self._trainer, self._tokenizer = panel, trainer, tokenizer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The look before the first step."""
        self._look(state)
        if state.is_world_process_zero:
            self._panel.set_aside(state.global_step, self._policy)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A look; the best one so far is made a checkpoint, so that no training is resumed from before it."""
        self._look(state)
        found, stop = self._agreed(self._panel.best == state.global_step, self._panel.stopped)
        control.should_save = control.should_save or found
        control.should_training_stop = control.should_training_stop or stop

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is whole, and the weights may take the place of those kept before."""
        if state.is_world_process_zero:
            self._panel.set_aside(state.global_step, self._policy)

    def left(self, save: Callable[[Path], None]) -> Callable[[Path], None]:
        """Saves the model that is to be left, be it an earlier one."""

        def saved(part: Path) -> None:
            self._panel.put_back(self._policy)
            save(part)

        return saved

    @property
    def _policy(self) -> Any:
        return self._trainer.accelerator.unwrap_model(self._trainer.model)

    def _look(self, state: Any) -> None:
        if state.is_world_process_zero and self._panel.due(state.global_step):
            self._panel.look(state.global_step, self._policy, self._tokenizer, self._trainer.accelerator.autocast())

    def _agreed(self, *found: bool) -> list[Any]:
        """What the main process found."""
        return broadcast_object_list(list(found))
