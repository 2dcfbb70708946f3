"""The export of a real run, from its first prompt to its last comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from rich.console import Console

from cai.config import load_recipe
from cai.export.folder import export_to
from cai.export.source import open_source
from cai.material import Material
from cai.pipeline import run
from cai.plan import plan
from cai.progress import Reporter
from cai.store import RunFolder

CHANGES = ["select.weights={1: 2.0}", "revise.samples=2", "revise.resample={times: 1, flags: [repetition, truncated]}"]


@pytest.mark.slow
def test_what_sft_learned_from_is_what_is_marked(tmp_path: Path) -> None:
    settings, folder = load_recipe("smoke", CHANGES), RunFolder(tmp_path / "runs", "smoke")
    steps = run(Material(settings), folder, Reporter(Console(quiet=True)), "compare")
    made = export_to(open_source(folder), tmp_path / "out")
    rows: list[dict[str, Any]] = parquet.read_table(tmp_path / "out" / "sl" / "train.parquet").to_pylist()
    summary = steps["sft"].folder.summary
    assert sum(row["copies"] for row in rows) == summary["rows"] + summary["too_long"] > 0
    counted = {f"{one.part.table.name}/{one.part.split}": one.rows for one in made.written}
    assert counted["sl/train"] == 8 * 2 * 2 + 8 and counted["chains/train"] == 8 * 2 * 3
    assert counted["preferences/train"] + counted["preferences/not_parsed"] == 8
    assert made.notes == ("prompts has no held-out ones: evaluate not done",)
    again = plan(Material(load_recipe(str(tmp_path / "out" / "recipe.yaml")), tmp_path / "out"), folder)
    assert [stage for stage, step in again.items() if step.folder.done] == ["respond", "revise", "sft", "compare"]
