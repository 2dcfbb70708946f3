"""After a run: what each stage took, how far off its plan was, and what an engine had to compute."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.config import load_recipe
from cai.estimate import Work
from cai.findings import timing
from cai.material import Material
from cai.plan import Step, plan
from cai.store import RunFolder
from cai.timings import cells, estimates, hindsight, timings


def steps_of(runs: Path, **summaries: dict[str, Any]) -> dict[str, Step]:
    """A run whose stages named here are done."""
    steps = plan(Material(load_recipe("smoke")), RunFolder(runs, "smoke"))
    for stage, summary in summaries.items():
        steps[stage].folder.begin({})
        steps[stage].folder.finish(summary)
    return steps


def rows(steps: dict[str, Step], planned: dict[str, Work]) -> dict[str, list[str]]:
    """The cells of each row, by stage."""
    console = Console(file=io.StringIO(), width=200)
    console.print(timings(steps, planned))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    found = [[cell.strip() for cell in line.strip().strip("│").split("│")] for line in lines if "│" in line]
    return {row[0]: row[1:] for row in found}


def test_a_stage_stands_beside_its_plan(tmp_path: Path) -> None:
    steps = steps_of(
        tmp_path,
        respond={"seconds": 3.0, "items": 8, "tokens": 60},
        revise={"seconds": 12.0, "items": 8, "tokens": 600},
    )
    found = rows(steps, {"revise": Work(seconds=8.0), "sft": Work(seconds=5.0)})
    assert found["revise"] == ["12.0", "8", "600", "50", "", "8.0", "1.50 x"]
    assert found["respond"] == ["3.0", "8", "60", "20", "", "", ""], "done before this command"
    assert found["all"][0] == "15.0"
    assert "sft" not in found, "not run yet"


@pytest.mark.parametrize(
    ("work", "shown"), [(Work(seconds=None), ["unknown", ""]), (Work(seconds=0.0), ["0.0", ""]), (None, ["", ""])]
)
def test_a_plan_that_knew_no_time_is_off_by_nothing(tmp_path: Path, work: Work | None, shown: list[str]) -> None:
    steps = steps_of(tmp_path, revise={"seconds": 12.0})
    planned = {"revise": work} if work else {}
    assert rows(steps, planned)["revise"][-2:] == shown
    assert hindsight(steps, planned) == ""


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ((True, True), "planned: 20.0 s for what ran; it took 15.0 s, 0.75 times that."),
        ((True, False), "it took 15.0 s, 0.75 times that. Planned by built-in rates: revise."),
        ((False, False), "The plan had only built-in rates, since no run like this one was here before."),
    ],
)  # fmt: skip
def test_one_sentence_sums_up(tmp_path: Path, measured: tuple[bool, bool], told: str) -> None:
    steps = steps_of(tmp_path, respond={"seconds": 3.0}, revise={"seconds": 12.0}, sft={"seconds": 99.0})
    planned = {
        "respond": Work(seconds=5.0, measured=measured[0]),
        "revise": Work(seconds=15.0, measured=measured[1]),
        "compare": Work(seconds=50.0),
    }
    assert hindsight(steps, planned).endswith(told)


def test_only_what_is_not_done_is_planned(tmp_path: Path) -> None:
    steps_of(tmp_path, respond={"seconds": 3.0})
    planned = estimates(Material(load_recipe("smoke")), RunFolder(tmp_path, "smoke"))
    assert "respond" not in planned
    assert planned["sft"].seconds


@pytest.mark.parametrize(
    ("summary", "share"),
    [
        ({"prompt_tokens": 200, "cached_tokens": 50}, "25%"),
        ({"prompt_tokens": 200, "cached_tokens": 0}, "0%"),
        ({"prompt_tokens": 200}, ""),
        ({"prompt_tokens": 0, "cached_tokens": 0}, ""),
        ({}, ""),
    ],
)
def test_the_prefix_cache_is_what_was_not_computed_again(summary: dict[str, int], share: str) -> None:
    assert cells(timing("revise", {"seconds": 2.0, "tokens": 10, **summary})) == ("2.0", "5", share)
