"""What befalls a run: signals, no memory, no disk. Each is done to a process from outside, or by the process itself."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos_child import OUT_OF_MEMORY, Aim

TRAINED = ("sft", "preference_model", "helpfulness_model", "dpo", "rejection_sampling", "rl")
"""The stages that train."""

AIMS = (
    Aim("os.mkdir", r"/.*checkpoint-\d+$", "as a checkpoint is begun", TRAINED),
    Aim(
        "open",
        r"/.*checkpoint-\d+/(optimizer|scheduler|rng_state|random_states|trainer_state)",
        "within a checkpoint",
        TRAINED,
    ),
    Aim("open", r"/.*/COMPLETE$", "before a checkpoint is marked whole", TRAINED),
    Aim("os.rename", r"/.*model$", "before a model takes its place", TRAINED),
    Aim("open", r"/.*\.DONE\.\d+\.tmp$", "before DONE is begun"),
    Aim("os.rename", r"/(.*/)?DONE$", "before DONE takes its place"),
    Aim("shutil.rmtree", r"/.*checkpoints$", "before checkpoints are removed", TRAINED),
    Aim("os.mkdir", r"$", "as a stage begins"),
    Aim("os.mkdir", r"/rounds/2$", "as a round begins", ("dpo", "rejection_sampling")),
    Aim("os.rename", r"/rounds/\d/(best|loss)\.json$", "as a round is stored", ("rejection_sampling",)),
    Aim("open", r"/panel\.jsonl$", "as the panel is stored", ("rl",)),
    Aim("open", r"/report\.(html|md)", "as the report is written", ("report",)),
)
"""The moments at which most can go wrong."""


@dataclass(frozen=True)
class Strike:
    """One kind. `codes`: how a run may end of it; `patience`: seconds until it must have."""

    name: str
    about: str
    do: Callable[[int], None]
    codes: frozenset[int]
    patience: float = 300.0


def strikes(disk: Path, mounted: bool) -> dict[str, Strike]:
    """All kinds, by name. `disk` holds the runs; `mounted`: it is a small file system that can be filled."""
    full = Strike(
        "full disk",
        "the small tmpfs that holds the run is filled up" if mounted else "RLIMIT_FSIZE 0: no file can be written",
        (lambda pid: fill(disk)) if mounted else _no_files,
        frozenset({4}),
    )
    found = (
        Strike("SIGKILL", "kill -9; the kernel's OOM killer does the same", _send(signal.SIGKILL), frozenset({-9})),
        Strike("SIGTERM", "kill, a scheduler's notice", _send(signal.SIGTERM), frozenset({143, -15})),
        Strike("Ctrl-C", "SIGINT", _send(signal.SIGINT), frozenset({130, -2})),
        Strike(
            "out of memory",
            "RLIMIT_AS set to what the process has, and what is free of that taken: whatever it asks for is refused",
            _send(OUT_OF_MEMORY),
            frozenset(range(1, 256)) | {-6, -9, -11},
            8.0,
        ),
        full,
    )  # fmt: skip
    return {strike.name: strike for strike in found}


def fill(disk: Path) -> None:
    """Leaves no byte free."""
    with _ballast(disk).open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def relieve(disk: Path) -> None:
    """Takes away what `fill` wrote."""
    _ballast(disk).unlink(missing_ok=True)


@contextmanager
def small_disk(place: Path, megabytes: int = 48) -> Iterator[bool]:
    """A tmpfs at `place`; a plain folder where mounting is not permitted. Yields which it is."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def _ballast(disk: Path) -> Path:
    return disk / "ballast"


def _send(number: int) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


def _no_files(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
