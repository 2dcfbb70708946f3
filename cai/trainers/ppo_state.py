"""How far PPO has come, and the checkpoints from which it goes on as if it had never stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cai.trainers.common import latest_checkpoint, mark_complete, told_if_full, told_if_not_ours

_KEPT = "kept.pt"


class Clock:
    """The parts of a step, one after the other; what a GPU was given is done before a part ends."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last part ended."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        before, self._last = self._last, time.perf_counter()
        return self._last - before


@dataclass
class Progress:
    """Steps taken, tokens written, the last step's figures, and seconds spent.

    `generating`: on writing answers, and nothing else; `reading`: on what policy, reference and critic say of them;
    `scoring`: on their reward; `training`: on the rest.
    """

    step: int = 0
    tokens: int = 0
    generating: float = 0.0
    reading: float = 0.0
    scoring: float = 0.0
    training: float = 0.0
    last: dict[str, float] = field(default_factory=dict)

    def note(self, row: dict[str, float], tokens: int, seconds: Mapping[str, float]) -> dict[str, float]:
        """Takes in a step whose parts took so many `seconds`, and returns all that is logged of it."""
        self.step, self.tokens, self.last = self.step + 1, self.tokens + tokens, row
        for part, spent in seconds.items():
            setattr(self, part, getattr(self, part) + spent)
        told = {f"seconds_{part}": spent for part, spent in seconds.items()}
        return {"step": self.step, **row, "tokens": tokens, "num_tokens": self.tokens, **told}

    def figures(self) -> dict[str, Any]:
        """What a training comes to."""
        share = self.generating / (self.generating + self.reading + self.scoring + self.training)
        told = {name: self.last[name] for name in ("reward", "kl")}
        return {"steps": self.step, "tokens": self.tokens, **told, "generating_share": share}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        vars(self).update(state)


class Checkpoints:
    """Trained weights, optimizer and random states, as accelerate writes them, and the state of each of `kept`.

    `model` is what the optimizer trains, before it is wrapped; its frozen weights are read from where they came from.
    Whatever is read holds tensors and plain values, or it is refused: no pickle's code is run. (accelerate would run
    that of objects that are registered with it.)
    """

    def __init__(self, folder: Path, accelerator: Accelerator, model: nn.Module, *kept: Any) -> None:
        self._folder, self._accelerator, self._kept = folder, accelerator, kept
        self._trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        accelerator.register_save_state_pre_hook(self._without_frozen)

    def save(self, step: int) -> None:
        """Keeps all that the next step depends on; older checkpoints go once this one is whole."""
        place = self._folder / f"checkpoint-{step}"
        with told_if_full(self._folder):
            self._accelerator.save_state(str(place))
            if self._accelerator.is_main_process:
                torch.save([one.state_dict() for one in self._kept], place / _KEPT)
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            mark_complete(place)
            for other in set(self._folder.glob("checkpoint-*")) - {place}:
                shutil.rmtree(other)

    def resume(self) -> str | None:
        """Goes on from the last whole checkpoint, if there is one, and returns its name. Raises StoreError."""
        with self._accelerator.main_process_first():
            found = latest_checkpoint(self._folder)
        if found:
            with told_if_not_ours(found):
                self._accelerator.load_state(str(found), strict=False)  # frozen weights lie in no checkpoint
                states = torch.load(found / _KEPT, map_location="cpu", weights_only=True)
            for one, state in zip(self._kept, states, strict=True):
                one.load_state_dict(state)
        return found and found.name

    def _without_frozen(self, models: list[Any], states: list[dict[str, Tensor]], folder: str) -> None:
        whole = states[0]
        states[0] = {name: whole[name] for name in whole if name.removeprefix("module.") in self._trained}
