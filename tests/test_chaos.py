"""The harness that kills runs works: what it compares by tells damage, and a few points go through all of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos import RECIPE, SEED, merge
from benchmarks.chaos_compare import Difference, compare, lines
from benchmarks.chaos_draw import AIMED, NEXT, SHARES, Draw
from benchmarks.chaos_rows import AT_RANDOM, Point, Tally, of_workers, rows, table
from benchmarks.chaos_strikes import AIMS, TRAINED
from benchmarks.chaos_workers import KIND, Killed
from benchmarks.pages import chaos, written
from cai.config import load_recipe
from cai.contestants import POLICIES
from cai.plan import STAGES
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


def test_rounds_of_a_training_that_differ_are_told(tmp_path: Path) -> None:
    runs = []
    for name, text in (("unbroken", "x"), ("broken", "y")):
        runs.append(left(tmp_path / name, ITEMS))
        place = StepFolder(runs[-1] / "rl-01234567" / "rounds" / "2")
        place.begin({})
        (place.path / "items.jsonl").write_text(json.dumps({"id": "a", "text": text}) + "\n")
        place.finish({"seconds": len(name), "loss": 0.5, "asked": {"items": 1, "tokens": len(name)}})
    assert compare(runs[1], runs[0])["rl"].told == ("rounds/2/items.jsonl",)
    assert lines(runs[0])["rl/rounds/2"] == [b'{"id": "a", "text": "x"}']


def test_the_recipe_has_every_stage_and_every_stage_is_struck_in_every_way() -> None:
    recipe = load_recipe(str(RECIPE))
    assert [stage for stage in STAGES if recipe.runs(stage)] == list(STAGES)
    assert {*TRAINED} == {*POLICIES, "preference_model", "helpfulness_model"}
    draw, points = Draw(SEED), 0
    struck: dict[str, set[str]] = {stage: set() for stage in STAGES}
    while points < 200:
        waiting = list(STAGES)
        while waiting and not (waiting == ["report"] and draw.enough("report", len(STAGES))):
            choice = draw.next(waiting)
            assert choice.stage in ("", *waiting[:NEXT])
            waiting = waiting[waiting.index(choice.stage) :] if choice.stage else waiting
            if choice.aim is None:
                points += 1
                struck[waiting[0]].add(choice.kind)
                draw.count(waiting[0], choice.kind)
    assert all(kinds == {*SHARES} for kinds in struck.values()), struck


def test_a_strike_that_waits_for_a_moment_waits_for_one_of_its_stage() -> None:
    draw = Draw(SEED)
    aims = [choice for choice in (draw.next(["respond", "dpo"]) for _ in range(400)) if choice.aim]
    assert 0.5 * AIMED < len(aims) / 400 < 2 * AIMED
    assert all(choice.aim and choice.aim.meets(choice.stage) for choice in aims)
    begun = next(aim for aim in AIMS if aim.event == "os.mkdir" and not aim.stages).within("dpo").path
    assert re.search(begun, "/runs/chaos/dpo-01234567")
    assert not re.search(begun, "/runs/chaos/dpo-01234567/rounds") and not re.search(begun, "/runs/chaos/sft-01234567")


def test_points_at_random_times_are_counted_apart_from_those_at_chosen_moments(tmp_path: Path) -> None:
    tally = Tally(runs=1)
    tally.points += [Point("SIGKILL", "sft", AT_RANDOM, -9, 0.1, True), Point("SIGKILL", "sft", "later", -9, 0.1, True)]
    found = {row["name"]: row for row in rows(tally, str, 2, "command", "seed 0")}
    assert (found["chaos_points"]["value"], found["chaos_points"]["reached"]) == (1, False)
    assert (found["chaos_aimed"]["value"], found["chaos_stages"]["value"]) == (1, 1)
    assert list(table([found["chaos SIGKILL"]]))[-1] == "| sft | 2 | 1 | 0 | 0 | 0 |"
    kept = tmp_path / "chaos.json"
    kept.write_text(json.dumps([{"name": "chaos gone"}, {"name": f"chaos {KIND}"}]), "utf-8")
    merge(kept, list(found.values()), 2)
    assert [row["name"] for row in json.loads(kept.read_text("utf-8"))] == [*found, f"chaos {KIND}"]


def test_a_worker_that_took_something_with_it_is_told() -> None:
    sound = of_workers([Killed("respond", 0, 0, 0, 0), Killed("revise", 0, 0, 0, 0)], "command")
    assert sound["reached"] and sound["stages"]["revise"] == {"points": 1, "lost": 0, "twice": 0, "different": 0}
    assert not of_workers([Killed("respond", 0, 1, 0, 0)], "command")["reached"]
    assert not of_workers([Killed("respond", 5, 0, 0, 0)], "command")["reached"]
    assert list(table([sound]))[-1] == "| revise | 1 | 0 | 0 | 0 | 0 |"


def test_the_rows_that_are_kept_are_what_the_docs_show() -> None:
    told = json.loads((ROOT / "benchmarks" / "chaos.json").read_text("utf-8"))
    shown = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    assert "\n".join(chaos(told)) in shown and written(shown) == shown
    losses = ("chaos_points", "chaos_lost", "chaos_twice", "chaos_different", "chaos_vanished", "chaos_damaged",
              "chaos_second_process")  # fmt: skip
    assert [row["name"] for row in told if row["name"] in losses and row["reached"]] == list(losses)
    facts = {row["name"]: row for row in told}
    assert facts["chaos_points"]["value"] >= 200 and f"seed {SEED}," in facts["chaos_points"]["detail"]
    assert {stage for row in told for stage in row.get("stages", ())} >= {*STAGES}


@pytest.mark.slow
def test_a_few_points_go_through_the_whole_harness(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--points", "3", "--workers", "0", "--seed", "5"]
    ended = subprocess.run(
        [*command, "--to", str(tmp_path / "chaos.json")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = {row["name"]: row for row in json.loads((tmp_path / "chaos.json").read_text("utf-8"))}
    assert told["chaos_points"]["value"] >= 3
    assert [
        told[f"chaos_{name}"]["value"] for name in ("lost", "twice", "different", "vanished", "damaged", "unclean")
    ] == [0] * 6
    assert told["chaos_second_process"]["value"] == 3
    assert sum(row["value"] for name, row in told.items() if name.startswith("chaos ")) == (
        told["chaos_points"]["value"] + told["chaos_aimed"]["value"]
    )
