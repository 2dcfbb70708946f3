"""What a training logs reaches the trackers that a recipe names, and nothing else does."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ppo_data import small
from rl_data import Letters, prompts
from rl_data import Log as RlLog
from sft_data import Log, rows

from cai.errors import MissingExtra
from cai.preferences import Group, Preference
from cai.train_config import PreferenceModelConfig, SftConfig
from cai.trainers.ppo import train_ppo
from cai.trainers.preference import train_preference_model
from cai.trainers.sft import train_sft

SETTINGS: dict[str, Any] = {"batch_size": 2, "micro_batch": 2, "learning_rate": 1e-3}


def trained(folder: Path, *names: str) -> Log:
    log = Log()
    config = SftConfig.model_validate({**SETTINGS, "report_to": names})
    train_sft(rows(count=6), "tiny-random", folder, config, 0, log)
    return log


def scalars(folder: Path, tag: str) -> dict[int, float]:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = events.EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return {event.step: event.value for event in read.Scalars(tag)}


def test_tensorboard_holds_the_curve_after_the_stage_is_done(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = trained(tmp_path, "tensorboard")
    assert scalars(tmp_path, "train/loss") == pytest.approx(log.curve, abs=1e-4)
    assert set(log.curve) == {1, 2, 3}


def test_the_preference_model_reports_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pairs = [Group(prompt, ("aaaa", "zzzz"), (Preference(0, 1, 0.9),), "ai") for prompt, _ in rows(count=4)]
    config = PreferenceModelConfig(**SETTINGS, report_to=("tensorboard",))
    train_preference_model(pairs, "tiny-random", tmp_path, config, 0, Log())
    assert set(scalars(tmp_path, "train/loss")) == {1, 2}


def by_ppo(folder: Path, *names: str) -> RlLog:
    log = RlLog()
    train_ppo(prompts("bad", 4), "tiny-random", Letters(), folder, small(report_to=names), 0, log)
    return log


def test_ppo_reports_what_it_logs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    told = {row["step"]: row for row in by_ppo(tmp_path, "tensorboard").rows}
    for name in ("reward", "kl_answer", "policy_loss"):
        curve = {step: row[name] for step, row in told.items()}
        assert scalars(tmp_path, f"train/{name}") == pytest.approx(curve, abs=1e-4)
    assert set(told) == {1, 2, 3}


def test_nothing_is_reported_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *given, **named: told.append((given, named)))
    trained(tmp_path)
    assert told == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "model"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"'{name}' is needed here .*\n.*pip install .*\[{name}\]"):
        trained(tmp_path, name)


@pytest.mark.slow
def test_wandb_runs_are_called_as_the_stage_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    begun = []
    monkeypatch.setattr(wandb, "init", lambda init=wandb.init, **given: begun.append(given) or init(**given))
    for number, training in enumerate((trained, by_ppo), 1):
        training(tmp_path / "quick" / f"stage-{number}", "wandb")
        assert begun[number - 1] == {"project": "cai", "name": f"quick/stage-{number}"}
        assert wandb.run is None and len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == number


REPORTING = """
import json, sys
from pathlib import Path
from test_trackers import by_ppo, trained
by_ppo(Path(sys.argv[1]).with_name("rl-1"), "trackio")
print(json.dumps(trained(Path(sys.argv[1]), "trackio").curve))
"""


@pytest.mark.slow
def test_trackio_keeps_the_curve_on_this_machine(tmp_path: Path) -> None:
    """In a process of its own: where trackio writes is settled when it is imported."""
    pytest.importorskip("trackio")
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", REPORTING, str(tmp_path / "quick" / "sft-1")]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    (database,) = (tmp_path / "trackio").glob("cai*.db")
    with closing(sqlite3.connect(database)) as store:
        found = store.execute("select run_name, metrics from metrics").fetchall()
    logged = [json.loads(metrics) for name, metrics in found if name == "quick/sft-1"]
    assert [name for name, _ in found].count("quick/rl-1") == 3
    curve = {str(row["train/global_step"]): row["train/loss"] for row in logged if "train/loss" in row}
    assert len(curve) == 3 and curve == pytest.approx(json.loads(printed.splitlines()[-1]))
