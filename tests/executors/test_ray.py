"""Data stages on a real Ray of two workers: the same records, whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from cai.errors import EngineError
from cai.executor_config import RayExecutor
from cai.executors.ray import run_on_ray

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'constitutional-ai[ray]'"),
]

_CLUSTER = """
import ray, sys
here = ray.init("local", num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, logging_level="ERROR")
print(here.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
_AUTH = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "OMP_NUM_THREADS": "1"}
SLOW = ("engine.latency=0.15", "engine.concurrency=4")


class Cluster:
    """A Ray of its own, whose workers the tests can see and which ends with them."""

    def __init__(self) -> None:
        self.address = ""
        for _ in range(3):  # Ray gives itself 30 s to start, which a busy machine may need more than once
            if not self.address:
                self._start()
        assert self.address, "Ray did not start"

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_AUTH
        )
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()

    def replicas(self) -> list[psutil.Process]:
        """The workers that are replicas by now."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [one for one in children if "_Actor" in "".join(_cmdline(one))]

    def close(self) -> None:
        self._process.communicate(timeout=60)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    one = Cluster()
    yield one
    one.close()


def start(runs: Path, *extra: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cai", "run", "smoke", "prompts.limit=24", *extra, "--runs", str(runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_AUTH)


def on_ray(runs: Path, cluster: Cluster, *extra: str) -> "subprocess.Popen[str]":
    ray = ("executor.type=ray", "executor.concurrency=2", f"executor.address={cluster.address}", "without=[respond]")
    return start(runs, *ray, *SLOW, *extra, "--until", "revise")


def output_of(process: "subprocess.Popen[str]", code: int = 0) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == code, output
    return output


def lines(runs: Path, stage: str = "revise") -> list[str]:
    """What is stored of a stage."""
    found = list(runs.glob(f"smoke/{stage}-*/items.jsonl"))
    return found[0].read_text("utf-8").splitlines() if found else []


def records(runs: Path, stage: str) -> dict[str, Any]:
    """What is stored of a stage, by id and in their order: on Ray they come in any."""
    return {one["id"]: one for one in sorted(map(json.loads, lines(runs, stage)), key=lambda one: one["id"])}


def shards(runs: Path) -> list[Path]:
    return list(runs.glob("smoke/revise-*/shards/*.jsonl"))


def _whole_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:  # stored and dropped meanwhile
        return 0


def wait_for_shards(process: "subprocess.Popen[str]", runs: Path, count: int) -> None:
    """Until so many records lie in shards or in the run."""
    while sum(map(_whole_lines, shards(runs))) + len(lines(runs)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The records of the local executor, sorted: on Ray they come in any order."""
    runs = tmp_path_factory.mktemp("local")
    output_of(start(runs, "without=[respond]", "--until", "revise"))
    return sorted(lines(runs))


def test_a_replica_that_is_killed_loses_nothing_and_nothing_comes_twice(
    cluster: Cluster, local: list[str], tmp_path: Path
) -> None:
    process = on_ray(tmp_path, cluster, "engine.latency=1")
    while len(replicas := cluster.replicas()) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    wait_for_shards(process, tmp_path, 12)
    os.kill(replicas[0].pid, signal.SIGKILL)
    assert process.poll() is None
    output_of(process)
    assert sorted(lines(tmp_path)) == local
    assert not list(tmp_path.glob("smoke/revise-*/shards"))


def test_a_driver_that_is_killed_or_stopped_goes_on_where_it_was(
    cluster: Cluster, local: list[str], tmp_path: Path
) -> None:
    """Killed, then stopped by Ctrl-C, then finished without Ray: it is the same stage at the same address."""
    process = on_ray(tmp_path, cluster)
    wait_for_shards(process, tmp_path, 12)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = {line for path in shards(tmp_path) for line in path.read_text("utf-8").splitlines()} | set(lines(tmp_path))
    process = on_ray(tmp_path, cluster)
    wait_for_shards(process, tmp_path, 30)
    process.send_signal(signal.SIGINT)
    output = output_of(process, 130)
    assert "run the same command again" in output and "Traceback" not in output
    assert left <= set(lines(tmp_path)), "what lay in shards was stored first"
    stored = lines(tmp_path)
    output_of(start(tmp_path, "without=[respond]", "--until", "revise"))
    assert lines(tmp_path)[: len(stored)] == stored
    assert sorted(lines(tmp_path)) == local
    ids = [json.loads(line)["id"] for line in lines(tmp_path)]
    assert len(ids) == len(set(ids))


def test_items_that_fail_are_listed_and_asked_again(cluster: Cluster, tmp_path: Path) -> None:
    """No server is there: every item fails, the engine is taken for dead, and the stage is not done."""
    engine = ("engine.type=openai", "engine.base_url=http://127.0.0.1:9/v1", "engine.retries=0", "engine.concurrency=4")
    ray = ("executor.type=ray", f"executor.address={cluster.address}")
    models = ("models.pretrained={model: tiny-random, engine: {type: scripted}}",)
    output = output_of(start(tmp_path, "without=[respond]", *engine, *models, *ray, "--until", "revise"), 5)
    assert "items to end all failed" in output and "Traceback" not in output
    (failures,) = tmp_path.glob("smoke/revise-*/failures.jsonl")
    assert 16 <= len(failures.read_text("utf-8").splitlines()) <= 24
    assert not list(tmp_path.glob("smoke/revise-*/DONE"))


def test_judging_and_evaluating_give_the_records_of_the_local_executor(cluster: Cluster, tmp_path: Path) -> None:
    """The same stages at the same addresses, upon the same models: none but these is made anew on Ray."""
    again, few = ("compare", "evaluate", "win_rates"), ("prompts.limit=8", "without=[rl]", "evaluate.limit=4")
    here, there = tmp_path / "here", tmp_path / "there"
    output_of(start(here, *few, "--until", "win_rates"))
    shutil.copytree(here, there)
    for stage in again:
        (folder,) = there.glob(f"smoke/{stage}-*")
        shutil.rmtree(folder)
    ray = ("executor.type=ray", "executor.concurrency=2", f"executor.address={cluster.address}")
    output_of(start(there, *few, *ray, "--until", "win_rates"))
    assert {path.name for path in (there / "smoke").glob("*-*")} == {path.name for path in (here / "smoke").glob("*-*")}
    for stage in again:
        found, expected = records(there, stage), records(here, stage)
        assert len(found) == len(lines(there, stage)) >= 8
        scores, others = ([one.pop("reward", 0.0) for one in some.values()] for some in (found, expected))
        assert found == expected, stage
        assert scores == pytest.approx(others, abs=1e-5), "the last digits hang on what is scored in one batch"


@pytest.mark.parametrize(
    ("address", "told"), [(None, "Ray did not start on this machine"), ("10.0.0.1:6379", "Ray at 10.0.0.1:6379")]
)
def test_a_ray_that_is_not_there_is_an_error_to_act_on(
    monkeypatch: pytest.MonkeyPatch, address: str | None, told: str
) -> None:
    """A raylet that is not up within 30 seconds is told of by a bare Exception."""
    import ray

    def late(*_: Any, **__: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config, nothing = RayExecutor(type="ray", address=address), cast("Any", None)
    with pytest.raises(EngineError, match=rf"{told} .*timed out during startup"):
        run_on_ray([nothing], nothing, {}, print, print, print, config, [])
