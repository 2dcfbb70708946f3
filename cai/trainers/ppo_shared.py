"""A step of PPO in several processes: each writes its part of the answers, and all learn from all of them."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from cai.trainers.reward import Rewarded
from cai.trainers.rollout import Rollout, Written


def part(count: int, accelerator: Accelerator) -> slice:
    """Which of so many answers this process writes; `count` is a multiple of the processes."""
    each = count // accelerator.num_processes
    return slice(accelerator.process_index * each, (accelerator.process_index + 1) * each)


def together(rollout: Rollout, rewarded: Rewarded, accelerator: Accelerator) -> tuple[Rollout, Rewarded]:
    """The parts of all processes as one, in the order in which one process would have written them."""
    if accelerator.num_processes == 1:
        return rollout, rewarded
    written = rollout.written
    prompts, given = (_gathered(one, accelerator, left=True) for one in (written.prompts, written.given))
    answers, mask = (_gathered(one, accelerator) for one in (written.answers, written.mask))
    samples: list[Any] = gather_object([*written.samples])
    said = (_gathered(one, accelerator) for one in (rollout.log_probs, rollout.reference, rollout.values))
    return Rollout(Written(prompts, given, answers, mask, tuple(samples)), *said), _rewarded(rewarded)


def _gathered(rows: Tensor, accelerator: Accelerator, left: bool = False) -> Tensor:
    """(rows of all, longest of all), filled up with 0."""
    wide: Any = accelerator.pad_across_processes(rows, dim=1, pad_index=0, pad_first=left)
    found: Any = accelerator.gather(wide)
    return found


def _rewarded(mine: Rewarded) -> Rewarded:
    rows: list[Any] = gather_object([*zip(mine.total, *mine.parts.values(), strict=True)])
    total, *parts = zip(*rows, strict=True)
    return Rewarded(total, dict(zip(mine.parts, parts, strict=True)))
