"""One of the processes that share a training: `python -m cai.rank FOLDER`, as cai/launch.py starts them."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.config import stored_recipe
from cai.engines.pool import Pool
from cai.errors import CaiError, StoreError
from cai.job import Job
from cai.launch import ASKED, PIDS, PROGRESS
from cai.material import Material
from cai.plan import plan
from cai.progress import Reporter
from cai.runners import RUNNERS
from cai.store import RunFolder, StepFolder, write_json


class Spoken:
    """The watch of the first process: figures go to the store, progress to the one that started it."""

    def __init__(self, folder: StepFolder, progress: Path) -> None:
        self._folder, self._progress = folder, progress

    def step(self, done: int, total: int) -> None:
        """So many optimizer steps are done."""
        write_json(self._progress, {"done": done, "total": total})

    def metric(self, row: dict[str, Any]) -> None:
        """A row of logged figures."""
        self._folder.metric(row)


class Silent:
    """The watch of every other one, which logs the same."""

    def step(self, done: int, total: int) -> None:
        """Says nothing."""

    def metric(self, row: dict[str, Any]) -> None:
        """Keeps nothing."""


def main(folder: Path) -> int:
    """Runs the stage that is asked, and writes what came of it. Returns the exit code."""
    asked, rank = json.loads((folder / ASKED).read_text("utf-8")), int(os.environ["RANK"])
    _end_with(asked["launcher"])
    (folder / PIDS).mkdir(exist_ok=True)
    (folder / PIDS / str(os.getpid())).touch()
    try:
        outcome: dict[str, Any] = {"summary": _run(asked, folder, rank)}
    except KeyboardInterrupt:
        outcome = {"error": "Interrupted", "message": "stopped"}
    except CaiError as error:
        outcome = {"error": type(error).__name__, "message": str(error)}
    write_json(folder / f"outcome-{rank}.json", outcome)
    return 0


def _run(asked: dict[str, Any], folder: Path, rank: int) -> dict[str, Any]:
    from cai.trainers.processes import met, settle

    settle()
    recipe = stored_recipe(asked["recipe"], asked["stage"])
    material = Material(recipe, asked["beside"] and Path(asked["beside"]), Path(asked["runs"]))
    material.load()
    steps = plan(material, RunFolder(Path(asked["root"]), recipe.name))
    step = steps[asked["stage"]]
    if step.digest != asked["digest"]:
        raise StoreError(f"{step.stage}: files of the recipe changed while it ran; run the same command again")
    reporter = Reporter(Console(file=io.StringIO()))
    watch = Spoken(step.folder, folder / PROGRESS) if rank == 0 else Silent()
    with Pool(reporter.loading) as pool:
        try:
            summary = RUNNERS[step.stage](Job(step, steps, material, reporter, pool, watch))
        finally:
            step.folder.close()
    return {**summary, "processes": met()}


def _end_with(launcher: int) -> None:
    """Ends this process with the command that started it: one that goes on unseen would write beside the next."""

    def look() -> None:
        while _alive(launcher):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
