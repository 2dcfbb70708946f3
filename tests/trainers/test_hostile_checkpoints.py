"""A checkpoint may come from somebody else: what is a pickle with code in it is refused, and the code is not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_data import small
from rl_data import Letters, Stop, prompts
from sft_data import Log, rows

from cai.errors import Interrupted, StoreError
from cai.train_config import SftConfig
from cai.trainers.common import latest_checkpoint
from cai.trainers.ppo import train_ppo
from cai.trainers.sft import train_sft

READ = {"sft": ("optimizer.pt", "scheduler.pt", "rng_state.pth"), "ppo": ("optimizer.bin", "kept.pt")}
NOT_NEEDED = {"training_args.bin", "random_states_0.pkl"}
"""Never read; and read by accelerate, which goes on without it. PPO draws each step from a seed of its own."""


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def by_sft(folder: Path, interrupted: bool) -> None:
    config = SftConfig(batch_size=2, micro_batch=2, learning_rate=1e-3)
    train_sft(rows(), "tiny-random", folder, config, 0, Log(interrupt_at=1 if interrupted else None))


def by_ppo(folder: Path, interrupted: bool) -> None:
    train_ppo(prompts("bad", 4), "tiny-random", Letters(), folder, small(), 0, Stop(after=1 if interrupted else 99))


TRAININGS: dict[str, Callable[[Path, bool], None]] = {"sft": by_sft, "ppo": by_ppo}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_planted_pickle_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(Interrupted):
        TRAININGS[name](tmp_path, True)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint
    found = {path.name for path in checkpoint.iterdir() if path.suffix in (".pt", ".pth", ".bin", ".pkl")}
    assert found - NOT_NEEDED == set(READ[name])
    mark = tmp_path / "ran"
    for file in READ[name]:
        kept = (checkpoint / file).read_bytes()
        torch.save(Evil(mark), checkpoint / file)
        with pytest.raises(StoreError, match=rf"{checkpoint.name} holds what no training writes .*delete that folder"):
            TRAININGS[name](tmp_path, False)
        (checkpoint / file).write_bytes(kept)
    for file in found & NOT_NEEDED:
        torch.save(Evil(mark), checkpoint / file)
    TRAININGS[name](tmp_path, False)
    assert (tmp_path / "model").is_dir() and not mark.exists()
