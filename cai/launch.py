"""Trainings in several processes of this machine: starts them, follows the first one, and takes what came of it.

`accelerate launch` starts them on GPUs; on a CPU, where it would silently start one, torch's own launcher does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cai import errors
from cai.config import Recipe
from cai.errors import EngineError, InputError, MissingExtra, needing
from cai.job import Job
from cai.rl_config import BestOfNConfig, PpoConfig
from cai.store import write_json

ASKED, PROGRESS, PIDS, LOG = "asked.json", "progress", "pids", "ranks.log"
"""In a stage's folder `launch`: what is asked, how far the first process is, who they are, and what they print."""

_CONFIGS = Path(__file__).parent / "accelerate"

_LINES = 12
"""Of their log, in an error."""


def launched(job: Job) -> bool:
    """Whether the job's stage is a training that runs in several processes.

    Raises InputError where it cannot, as the recipe has it.
    """
    stage, recipe = job.step.stage, job.material.recipe
    if recipe.train.processes == 1 or not _shared(stage, recipe):
        return False
    _check(stage, recipe)
    return True


def _shared(stage: str, recipe: Recipe) -> bool:
    """Whether processes can share it. What samples and finetunes by turns runs in one process."""
    if stage == "rl":
        return not isinstance(recipe.rl, BestOfNConfig)
    return stage in ("sft", "preference_model", "helpfulness_model") or (
        stage == "dpo" and recipe.dpo is not None and recipe.dpo.rounds == 1
    )


def _check(stage: str, recipe: Recipe) -> None:
    settings, strategy = getattr(recipe, stage), recipe.train.strategy
    if strategy != "ddp" and getattr(settings, "adapter", None) is not None:
        raise InputError(f"{stage}.adapter: LoRA is small and needs no {strategy}; take train.strategy: ddp")
    if strategy != "ddp" and isinstance(settings, PpoConfig):
        raise InputError(f"rl: PPO writes answers with whole weights, which {strategy} cuts; take train.strategy: ddp")
    if stage == "rl" and recipe.rl.panel and not isinstance(settings, PpoConfig):
        raise InputError(
            "rl.panel: RLOO and GRPO are watched in one process; take PPO, no panel, or train.processes: 1"
        )
    if strategy == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise MissingExtra("deepspeed", "deepspeed")


def run_launched(job: Job) -> dict[str, Any]:
    """Has the processes run the job's stage. Returns the first one's summary.

    Raises what the first of them to fail raised, or EngineError where one ended without a word or they did not meet;
    KeyboardInterrupt once all have stopped after Ctrl-C, with a checkpoint.
    """
    folder = job.folder.path / "launch"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier attempt
    folder.mkdir()
    write_json(folder / ASKED, _asked(job))
    with job.training() as watch, (folder / LOG).open("wb") as log:
        command, environment = _command(job.material.recipe, folder)
        with subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        ) as process:
            _follow(process, folder, watch)
    summary, asked = _came_of_it(folder, job.step.stage, process.returncode), job.material.recipe.train.processes
    if summary["processes"] != asked:
        raise EngineError(f"{job.step.stage}: {summary['processes']} processes met of {asked} that were to share it")
    shutil.rmtree(folder)
    return summary


def _asked(job: Job) -> dict[str, Any]:
    material = job.material
    return {
        "recipe": material.recipe.model_dump(mode="json"),
        "beside": material.beside and str(material.beside),
        "runs": str(material.runs),
        "root": str(job.folder.path.parent.parent),
        "stage": job.step.stage,
        "digest": job.step.digest,
        "launcher": os.getpid(),
    }


def _command(recipe: Recipe, folder: Path) -> tuple[list[str], dict[str, str]]:
    """How the processes are started, and their environment."""
    with needing("train"):
        from cai.trainers.processes import gpus
    train, job = recipe.train, ["-m", "cai.rank", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", _threads(train.processes))}
    if not gpus():
        if train.strategy != "ddp":
            raise InputError(f"train.strategy: {train.strategy} needs GPUs, and this machine has none; take ddp")
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(train.processes)]
        return [sys.executable, "-m", *torchrun, *job], {**environment, "ACCELERATE_USE_CPU": "true"}
    if train.processes > gpus():
        raise InputError(f"train.processes: {train.processes}; this machine has {gpus()} GPUs")
    config = train.config or str(_CONFIGS / f"{train.strategy}.yaml")
    asked = ["--config_file", config, "--num_processes", str(train.processes), "--main_process_port", "0"]
    return [sys.executable, "-m", "accelerate.commands.launch", *asked, *job], environment


def _threads(processes: int) -> str:
    return str(max(1, (os.cpu_count() or 1) // processes))


def _follow(process: subprocess.Popen[bytes], folder: Path, watch: Any) -> None:
    """Shows how far the first process is until all end.

    Ctrl-C is passed to each of them, and not to their launcher, which would kill them before their checkpoint is whole;
    a second one ends them at once.
    """
    told, asked = "", False
    while process.poll() is None:
        try:
            told = _show(folder / PROGRESS, told, watch)
            time.sleep(0.1)
        except KeyboardInterrupt:
            for pid in _pids(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if asked else signal.SIGINT)
            if asked or not _pids(folder):
                process.kill()
            asked = True
    _show(folder / PROGRESS, told, watch)


def _show(file: Path, told: str, watch: Any) -> str:
    """Passes on what the first process says, where it is new. Returns it."""
    said = file.read_text("utf-8") if file.is_file() else told
    if said and said != told:
        watch.step(**json.loads(said))
    return said


def _pids(folder: Path) -> list[int]:
    return [int(file.name) for file in (folder / PIDS).glob("*")]


def _came_of_it(folder: Path, stage: str, code: int) -> dict[str, Any]:
    """The summary of the first process, or the error of any."""
    outcomes = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("outcome-*.json"))]
    for outcome in outcomes:
        if "error" in outcome:
            raise _error(outcome["error"], outcome["message"])
    if code or not outcomes:
        last = _last_lines((folder / LOG).read_text("utf-8", "replace"))
        raise EngineError(
            f"{stage}: a process of the training ended with exit code {code}; the last lines of {folder / LOG}:\n"
            + "\n".join(last)
        )
    return outcomes[0]["summary"]


def _last_lines(log: str) -> list[str]:
    """Those of the processes themselves, before their launcher's own account."""
    lines = log.splitlines()
    theirs = next((number for number, line in enumerate(lines) if "torch/distributed/elastic" in line), len(lines))
    return lines[:theirs][-_LINES:]


def _error(name: str, message: str) -> BaseException:
    kind = getattr(errors, name, EngineError)
    if kind is errors.Interrupted:
        return KeyboardInterrupt()
    made = kind.__new__(kind, message)
    made.args = (message,)
    return made
