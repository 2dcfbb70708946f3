"""Trainings in several processes: the same curve as in one, Ctrl-C, a killed command, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cai.config import Recipe
from cai.errors import InputError, MissingExtra
from cai.launch import _CONFIGS, _check, _error, _last_lines, _shared
from cai.launch_config import LaunchConfig
from cai.store import RunFolder
from cai.trainers.processes import share

RECIPE = """
name: shared
constitution: harmless
models: {assistant: tiny-random}
engine: {type: scripted}
prompts: {limit: 10}
respond: {max_tokens: 24}
revise: {rounds: 1, few_shot: 1, max_tokens: 24}
sft: {batch_size: 4, micro_batch: 2, learning_rate: 1e-3, save_every: 1}
compare: {max_tokens: 24, preflight: {limit: 0}}
preference_model: {batch_size: 2, micro_batch: 2, learning_rate: 1e-3, held_out: 0.2}
rl:
  {algorithm: ppo, steps: 2, prompts_per_step: 4, samples: 2, minibatch: 4, micro_batch: 4, max_tokens: 8,
   learning_rate: 1e-3, panel: {prompts: 1, every: 1}, rewards: [{type: preference_model}, {type: judge},
   {type: llama2, helpfulness: preference_model}]}
"""


def run(folder: Path, *overrides: str, until: str) -> subprocess.Popen[bytes]:
    recipe = folder / "shared.yaml"
    recipe.write_text(RECIPE)
    command = [sys.executable, "-m", "cai", "run", str(recipe), *overrides, "--runs", str(folder / "runs")]
    return subprocess.Popen([*command, "--until", until], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ended(process: subprocess.Popen[bytes], code: int = 0) -> str:
    shown = process.communicate(timeout=600)[0].decode()
    assert process.returncode == code, shown
    return shown


def curve(folder: Path, stage: str, figure: str = "loss") -> list[float]:
    step = RunFolder(folder / "runs", "shared").steps[stage]
    return [row[figure] for row in step.metrics() if figure in row]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    ended(run(folder, until="rl"))
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    ended(run(folder, "train.processes=2", until="rl"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "preference_model"])
def test_two_processes_learn_what_one_learns(alone: Path, two: Path, stage: str) -> None:
    summary = RunFolder(two / "runs", "shared").steps[stage].summary
    assert summary["processes"] == 2
    assert curve(two, stage) == pytest.approx(curve(alone, stage), rel=1e-4)
    assert len(curve(two, stage)) == summary["steps"] > 2


CLOCK = ("seconds_generating", "seconds_reading", "seconds_scoring", "seconds_training")


@pytest.mark.slow
def test_ppo_writes_the_same_answers_and_learns_the_same_in_two_processes(alone: Path, two: Path) -> None:
    one, shared = (RunFolder(folder / "runs", "shared").steps["rl"] for folder in (alone, two))
    assert (shared.summary["processes"], shared.summary["steps"]) == (2, 2)
    assert not (shared.path / "launch").exists()
    assert [row["step"] for row in shared.metrics()] == [0, 1, 2]  # the panel is looked at before the first
    learned = [row for row in shared.metrics() if "kl" in row]
    assert [row["reward/llama2"] for row in learned] == pytest.approx([0, 0], abs=1e-5), "whitened over both"
    assert all(abs(row["reward/llama2/raw"]) > 1e-3 for row in learned)
    for row, other in zip(one.metrics(), shared.metrics(), strict=True):
        assert row.keys() == other.keys()
        told = {name: value for name, value in row.items() if name not in CLOCK}
        assert {name: other[name] for name in told} == pytest.approx(told, rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_ctrl_c_stops_all_of_them_with_a_checkpoint_from_which_they_go_on(alone: Path, tmp_path: Path) -> None:
    process = run(tmp_path, "train.processes=2", "sft.epochs=1", until="sft")
    _wait_for(tmp_path, "runs/shared/sft-*/checkpoints/checkpoint-1/COMPLETE")
    process.send_signal(signal.SIGINT)
    shown = ended(process, 130)
    assert "Traceback" not in shown
    done = len(curve(tmp_path, "sft"))
    ended(run(tmp_path, "train.processes=2", until="sft"))
    assert curve(tmp_path, "sft") == pytest.approx(curve(alone, "sft"), rel=1e-4)
    resumed = RunFolder(tmp_path / "runs", "shared").steps["sft"].summary["resumed_from"]
    assert resumed == (f"checkpoint-{done}")


@pytest.mark.slow
def test_they_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    process = run(tmp_path, "train.processes=2", "sft.epochs=200", until="sft")
    pids = _wait_for(tmp_path, "runs/shared/sft-*/launch/pids/*", 2)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while (left := [pid for pid in pids if _runs(int(pid.name))]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


@pytest.mark.slow
def test_what_one_of_them_refuses_is_told(alone: Path, tmp_path: Path) -> None:
    shown = ended(run(tmp_path, "train.processes=2", "sft.batch_size=3", "sft.micro_batch=3", until="sft"), 2)
    assert "3 rows of a step cannot be shared by 2 processes" in shown


def _wait_for(folder: Path, pattern: str, count: int = 1) -> list[Path]:
    deadline = time.monotonic() + 300
    while len(found := list(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.05)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]


def recipe(**settings: Any) -> Recipe:
    return Recipe.model_validate({"name": "a", "models": {"assistant": "tiny-random"}, **settings})


def test_what_samples_and_finetunes_by_turns_runs_in_one_process() -> None:
    assert _shared("sft", recipe())
    assert _shared("rl", recipe())
    assert not _shared("rl", recipe(rl={"algorithm": "best_of_n"}))
    assert not _shared("revise", recipe())
    assert _shared("dpo", recipe(dpo={}))


@pytest.mark.parametrize(
    ("stage", "settings", "told"),
    [
        ("sft", {"sft": {"adapter": {}}}, "LoRA is small and needs no fsdp"),
        ("rl", {"rl": {"algorithm": "ppo"}}, "PPO writes answers with whole weights, which fsdp cuts"),
        ("rl", {"rl": {"panel": {}}}, "RLOO and GRPO are watched in one process"),
    ],
)
def test_what_cannot_be_shared_is_refused(stage: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        _check(stage, recipe(train={"processes": 2, "strategy": "fsdp"}, **settings))


def test_deepspeed_is_a_package_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="deepspeed"):
        _check("sft", recipe(train={"processes": 2, "strategy": "deepspeed"}))


def test_one_process_cuts_no_model() -> None:
    with pytest.raises(ValueError, match="expected `processes` of 2 or more"):
        LaunchConfig(strategy="fsdp")


def test_rows_are_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert share(12, "batch_size") == 3
    with pytest.raises(InputError, match="batch_size: 6 rows of a step cannot be shared by 4 processes"):
        share(6, "batch_size")


def test_an_error_of_a_process_is_raised_as_it_was() -> None:
    error = _error("InputError", "sft: no row")
    assert isinstance(error, InputError)
    assert (str(error), error.exit_code) == ("sft: no row", 2)
    assert isinstance(_error("Interrupted", ""), KeyboardInterrupt)


def test_of_a_log_the_processes_own_last_lines_are_shown() -> None:
    log = "\n".join([*map(str, range(20)), "ValueError: bad", "E1 torch/distributed/elastic/x failed", "Root Cause"])
    assert _last_lines(log) == [*map(str, range(9, 20)), "ValueError: bad"]
    assert _last_lines("one\ntwo") == ["one", "two"]


def test_the_configs_that_ship_are_ones_that_accelerate_reads() -> None:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    for strategy in ("ddp", "fsdp", "deepspeed"):
        file = _CONFIGS / f"{strategy}.yaml"
        asked = ["--config_file", str(file), "--num_processes", "2", "-m", "cai.rank", "folder"]
        found, _, _ = _validate_launch_command(launch_command_parser().parse_args(asked))
        assert found.num_processes == 2
        assert (found.use_fsdp, found.use_deepspeed) == (strategy == "fsdp", strategy == "deepspeed")
        assert found.mixed_precision == "bf16"
