"""`cai` in a forked child of a process that has imported everything: a start costs milliseconds instead of seconds."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

IMPORTED = (
    "cai.cli", "cai.commands.runs", "cai.findings", "cai.pipeline", "cai.timings", "cai.stages.report",
    "cai.stages.plots", "cai.trainers.sft", "cai.trainers.preference", "cai.trainers.preference_reward",
    "cai.trainers.ppo", "cai.trainers.scorer", "cai.trainers.dpo",
    "cai.trainers.best_of_n", "cai.engines.scripted", "trackio", "py3langid", "uvloop", "matplotlib",
    "transformers.models.llama.modeling_llama",
)  # fmt: skip
OUT_OF_MEMORY = signal.SIGUSR1
"""The signal at which a child takes all the memory that it may have."""

SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class Aim:
    """An operation on a file, before which a child strikes itself: its audit event, and its path below the stage's.

    `stages`: those that do it; none: all.
    """

    event: str
    path: str
    about: str
    stages: tuple[str, ...] = ()

    def meets(self, stage: str) -> bool:
        """Whether this stage does it."""
        return not self.stages or stage in self.stages

    def within(self, stage: str) -> Aim:
        """The same in the folder of one stage."""
        return replace(self, path=rf"/{stage}-[0-9a-f]{{8}}{self.path}")


@dataclass
class Child:
    """A child that runs `cai`."""

    pid: int
    log: Path
    code: int | None = None

    def ended(self, within: float) -> int | None:
        """Its exit code (below 0: the signal that ended it), or None if it is at work after so many seconds."""
        end = time.monotonic() + within
        while self.code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= end:
                return None
            else:
                time.sleep(0.002)
        return self.code

    def said(self) -> str:
        """What it printed."""
        return self.log.read_text("utf-8", "replace")


def warm_up() -> None:
    """Imports what a run needs. No thread may be begun here: a fork takes none along."""
    for name in IMPORTED:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    _lighten()


def _lighten() -> None:
    """Leaves out what takes most of a small run's time and can lose nothing.

    That is drawing plots, reading the model that tells languages apart, and thawing what is imported.
    """
    from cai.languages import known

    known("en")
    for name, module in sys.modules.items():
        if name.startswith("cai.stages.") and hasattr(module, "svg"):
            setattr(module, "svg", lambda *_: "<svg/>")  # noqa: B010 - the type of a function is no matter here
    gc.collect()
    gc.freeze()
    setattr(gc, "unfreeze", lambda: None)  # noqa: B010 - as above


def start(arguments: list[str], log: Path, aim: Aim | None = None, strike: Callable[[], Any] | None = None) -> Child:
    """Forks a child that runs `cai` with these arguments; at the operation that is aimed at it calls `strike`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return Child(pid, log)
    try:
        code = _run(arguments, log, aim, strike)
    except BaseException:  # noqa: BLE001 - a forked child must never return into its parent's code
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str], log: Path, aim: Aim | None, strike: Callable[[], Any] | None) -> int:
    from cai.cli import main

    into = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(into, 1)
    os.dup2(into, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(OUT_OF_MEMORY, lambda *_: exhaust())
    if aim and strike:
        sys.addaudithook(_hook(aim, strike))
    sys.argv = ["cai", *arguments]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _hook(aim: Aim, strike: Callable[[], Any]) -> Callable[[str, tuple[Any, ...]], None]:
    struck = False

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal struck
        if event != aim.event or struck:
            return
        path = arguments[1 if event == "os.rename" else 0]
        if isinstance(path, str | os.PathLike) and re.search(aim.path, os.fspath(path)):
            struck = True
            strike()

    return hear


_TAKEN: list[bytearray] = []


def exhaust() -> None:
    """Leaves this process no memory: no more address space than it has, and none of what its allocators have left."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9, 1 << 8, 1 << 7):
        try:
            while True:
                _TAKEN.append(bytearray(size))
        except MemoryError:
            continue
