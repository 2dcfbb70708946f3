"""The harness that kills runs works: what it compares by tells damage, and a few points go through all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos import of_workers, table
from benchmarks.chaos_compare import Difference, compare
from benchmarks.chaos_workers import Killed
from cai.store import StepFolder

ROOT = Path(__file__).resolve().parent.parent


def left(run: Path, items: list[dict[str, object]], loss: float = 0.5, weights: bytes = b"w") -> Path:
    """A run of one stage."""
    step = StepFolder(run / "rl-01234567")
    step.begin({})
    (step.path / "model").mkdir()
    (step.path / "model" / "weights").write_bytes(weights)
    (step.path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    step.metric({"step": 1, "loss": loss, "seconds_training": len(run.name)})
    step.finish({"seconds": len(run.name), "steps": 1})
    return run


ITEMS: list[dict[str, object]] = [{"id": "a", "text": "x", "reward": 0.5}, {"id": "b", "text": "y", "reward": 1.5}]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (ITEMS, Difference()),
        (ITEMS[::-1], Difference()),
        (ITEMS[:1], Difference(lost=1)),
        ([*ITEMS, ITEMS[0]], Difference(twice=1)),
        ([ITEMS[0], {**ITEMS[1], "text": "z"}], Difference(different=1)),
        ([ITEMS[0], {**ITEMS[1], "reward": 1.6}], Difference(different=1)),
        ([ITEMS[0], {**ITEMS[1], "reward": 1.5000001}], Difference(rounded=1)),
        ([*ITEMS, {**ITEMS[0], "id": "c"}], Difference(different=1)),
    ],
)
def test_records_that_are_lost_twice_or_different_are_told(
    tmp_path: Path, items: list[dict[str, object]], expected: Difference
) -> None:
    unbroken, broken = left(tmp_path / "unbroken", ITEMS), left(tmp_path / "broken", items)
    assert compare(broken, unbroken) == {"rl": expected}


def test_curves_weights_and_stages_that_differ_are_told(tmp_path: Path) -> None:
    unbroken = left(tmp_path / "unbroken", ITEMS)
    curve = compare(left(tmp_path / "curve", ITEMS, loss=0.6), unbroken)["rl"]
    assert (curve.different, curve.told) == (1, ("metrics.jsonl, step 1: loss",))
    weights = compare(left(tmp_path / "weights", ITEMS, weights=b"v"), unbroken)["rl"]
    assert (weights.different, weights.told) == (1, ("model/weights",))
    (tmp_path / "nothing").mkdir()
    assert compare(tmp_path / "nothing", unbroken)["rl"].lost == 2


def test_a_worker_that_took_something_with_it_is_told() -> None:
    sound = of_workers([Killed("respond", 0, 0, 0, 0), Killed("revise", 0, 0, 0, 0)], "command")
    assert sound["reached"] and sound["stages"]["revise"] == {"points": 1, "lost": 0, "twice": 0, "different": 0}
    assert not of_workers([Killed("respond", 0, 1, 0, 0)], "command")["reached"]
    assert not of_workers([Killed("respond", 5, 0, 0, 0)], "command")["reached"]
    assert list(table([sound]))[-1] == "| revise | 1 | 0 | 0 | 0 |"


def test_the_rows_that_are_kept_are_what_the_docs_show() -> None:
    rows = json.loads((ROOT / "benchmarks" / "chaos.json").read_text("utf-8"))
    shown = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    assert all(line in shown for line in table(rows))
    losses = ("chaos_points", "chaos_lost", "chaos_twice", "chaos_different", "chaos_vanished", "chaos_second_process")
    assert [row["name"] for row in rows if row["name"] in losses and row["reached"]] == list(losses)


@pytest.mark.slow
def test_a_few_points_go_through_the_whole_harness(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--points", "3", "--workers", "0", "--seed", "5"]
    ended = subprocess.run(
        [*command, "--to", str(tmp_path / "chaos.json")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "chaos.json").read_text("utf-8"))}
    assert rows["chaos_points"]["value"] >= 3
    assert [rows[f"chaos_{name}"]["value"] for name in ("lost", "twice", "different", "vanished", "unclean")] == [0] * 5
    assert rows["chaos_second_process"]["value"] == 3
    assert sum(row["value"] for name, row in rows.items() if name.startswith("chaos ")) == rows["chaos_points"]["value"]
