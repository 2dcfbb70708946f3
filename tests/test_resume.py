"""A run killed at random points and started again equals an unbroken one: no item lost, none twice, none different."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

DATA_STAGES = ("respond", "revise", "compare", "evaluate")
RECIPE = ["smoke", "prompts.limit=12", "engine.latency=0.02", "engine.concurrency=4"]


def start(root: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cai", "run", *RECIPE, *extra, "--runs", str(root)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # quicker for a model this small, above all on a busy machine
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=one_thread)


def finish(root: Path, *extra: str) -> str:
    process = start(root, *extra)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def records(root: Path, stage: str) -> dict[str, Any]:
    """The stored records by id; scores, which come from training, are rounded."""
    (path,) = root.glob(f"smoke/{stage}-*/items.jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids)), f"{stage}: an item is stored twice"
    return {row["id"]: {key: _rounded(value) for key, value in row.items()} for row in rows}


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unbroken")
    finish(root)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kill_at_random_points_and_resume(unbroken: Path, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    kills = 0
    for _ in range(4):
        process = start(tmp_path)
        time.sleep(draw.uniform(1.0, 9.0))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
    finish(tmp_path)
    assert kills, "the run ended before any kill: raise its latency"
    for stage in DATA_STAGES:
        assert records(tmp_path, stage) == records(unbroken, stage), stage


@pytest.mark.slow
def test_kill_in_the_middle_of_the_chains_keeps_what_was_stored(unbroken: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "engine.latency=0.1")
    stored = 0
    while stored < 10 and process.poll() is None:
        time.sleep(0.02)
        stored = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("smoke/revise-*/items.jsonl"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
    (path,) = tmp_path.glob("smoke/revise-*/items.jsonl")
    before = path.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    assert 10 <= whole.count(b"\n") < 36
    finish(tmp_path, "--until", "revise")
    assert path.read_bytes().startswith(whole)
    assert records(tmp_path, "revise") == records(unbroken, "revise")


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_says_how_to_go_on_and_loses_nothing(
    unbroken: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = start(tmp_path, "engine.latency=0.3")
    while not list(tmp_path.glob("smoke/revise-*/items.jsonl")):
        time.sleep(0.05)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "run the same command again" in output and "Traceback" not in output
    finish(tmp_path, "--until", "revise")
    assert records(tmp_path, "revise") == records(unbroken, "revise")


@pytest.mark.slow
def test_ctrl_c_while_training_saves_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    long = ("sft.epochs=5", "sft.batch_size=2", "sft.micro_batch=2")
    process = start(tmp_path, *long)
    while not list(tmp_path.glob("smoke/sft-*/metrics.jsonl")):
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    (checkpoint,) = tmp_path.glob("smoke/sft-*/checkpoints/checkpoint-*/COMPLETE")
    step = int(checkpoint.parent.name.rsplit("-", 1)[-1])
    finish(tmp_path, *long, "--until", "sft")
    (done,) = tmp_path.glob("smoke/sft-*/DONE")
    assert json.loads(done.read_text("utf-8"))["resumed_from"] == f"checkpoint-{step}"
    (metrics,) = tmp_path.glob("smoke/sft-*/metrics.jsonl")
    steps = [json.loads(line)["step"] for line in metrics.read_text("utf-8").splitlines() if '"loss"' in line]
    assert steps == list(range(1, steps[-1] + 1)), "a step was trained twice or left out"


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    first = start(tmp_path, "engine.latency=0.5")
    while not list(tmp_path.glob("smoke/respond-*/spec.json")):
        time.sleep(0.05)
    second = start(tmp_path)
    output, _ = second.communicate(timeout=60)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert second.returncode == 4 and str(first.pid) in output
