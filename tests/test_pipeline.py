"""The whole pipeline on scripted replies and a tiny random model: every stage, every file, nothing done twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import cai.pipeline
from cai.config import Recipe, load_recipe
from cai.errors import CaiError
from cai.material import Material
from cai.pipeline import MODELS, run
from cai.plan import STAGES, Step, plan
from cai.progress import Reporter
from cai.records import Answer, Comparison, Measurement, Revision, RoundScore
from cai.store import RunFolder

QUIET = Console(quiet=True)


def run_smoke(root: Path, *overrides: str, name: str = "smoke") -> dict[str, Step]:
    recipe = load_recipe("smoke", [f"name={name}", *overrides])
    return run(Material(recipe), RunFolder(root, name), Reporter(QUIET))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Step]]]:
    root = tmp_path_factory.mktemp("runs")
    yield root, run_smoke(root)


def test_every_stage_leaves_its_records(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    records = {
        "respond": (Answer, 8),
        "revise": (Revision, 8 * 3),
        "compare": (Comparison, 8),
        "score_rounds": (RoundScore, 8 * 3),
        "evaluate": (Measurement, 3 * 12),
    }
    assert all(step.folder.done for step in steps.values()) and list(steps) == list(STAGES)
    for stage, (kind, count) in records.items():
        ids = [record.id for record in steps[stage].folder.records(kind)]  # type: ignore[attr-defined]
        assert len(ids) == len(set(ids)) == count, stage
    for stage in ("sft", "preference_model", "rl"):
        assert (steps[stage].folder.path / "model" / "model.safetensors").is_file()
        assert steps[stage].folder.metrics()
    assert {m.model for m in steps["evaluate"].folder.records(Measurement)} == set(MODELS)


def test_spec_says_what_made_the_records(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    spec = steps["compare"].folder.spec
    assert spec["parents"] == {"sft": steps["sft"].digest}
    assert spec["versions"]["torch"] and spec["recipe"]["compare"]["orders"] == "both"
    assert spec["identity"]["settings"]["max_tokens"] == 32


def test_rl_logs_reward_and_kl(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    rows = [row for row in steps["rl"].folder.metrics() if "reward" in row]
    assert len(rows) >= 2 and all("kl" in row for row in rows)


def test_report_is_written_and_loads_nothing(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    page = (steps["report"].folder.path / "report.html").read_text("utf-8")
    assert "RL-CAI" in page and "<svg" in page and 'src="http' not in page and 'href="http' not in page
    assert "RL-CAI" in (steps["report"].folder.path / "report.md").read_text("utf-8")


def test_a_second_run_asks_no_engine_and_trains_nothing(
    finished: tuple[Path, dict[str, Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, steps = finished

    def refuse(*_: Any) -> Any:
        raise AssertionError("a finished recipe opened an engine or ran a stage")

    monkeypatch.setattr(cai.pipeline, "open_engine", refuse)
    monkeypatch.setattr(cai.pipeline, "_run_step", refuse)
    again = run_smoke(root)
    assert {stage: step.digest for stage, step in again.items()} == {s: step.digest for s, step in steps.items()}


def test_another_run_reuses_what_is_the_same(finished: tuple[Path, dict[str, Step]]) -> None:
    root, steps = finished
    recipe = load_recipe("smoke", ["name=other", "rl.steps=2"])
    other = plan(Material(recipe), RunFolder(root, "other"))
    same = {stage for stage in STAGES if other[stage].folder.path == steps[stage].folder.path}
    assert same == {"respond", "revise", "sft", "compare", "preference_model", "score_rounds"}
    assert not other["rl"].folder.done


def test_until_stops_after_a_stage(tmp_path: Path) -> None:
    recipe = load_recipe("smoke")
    steps = run(Material(recipe), RunFolder(tmp_path, "smoke"), Reporter(QUIET), until="revise")
    assert [stage for stage, step in steps.items() if step.folder.done] == ["respond", "revise"]


def test_the_transcript_dialect_runs_through_every_stage(tmp_path: Path) -> None:
    steps = run_smoke(tmp_path, "models.assistant.dialect=transcript", "engine.type=transformers", "prompts.limit=3",
                      "evaluate.limit=2", "respond.max_tokens=8", "revise.max_tokens=8", "compare.max_tokens=8",
                      "evaluate.max_tokens=8")  # fmt: skip
    assert all(step.folder.done for step in steps.values())


@pytest.mark.parametrize("broken", ["prompts.harmful", "constitution", "revise.few_shot_file", "models.assistant"])
def test_a_recipe_that_names_nothing_fails_before_any_stage(tmp_path: Path, broken: str) -> None:
    recipe = load_recipe("smoke", [f"{broken}=nowhere/at/all", "engine.type=transformers"])
    folder = RunFolder(tmp_path, "smoke")
    with pytest.raises(CaiError, match="nowhere/at/all"):
        run(Material(recipe), folder, Reporter(QUIET))
    assert not list(tmp_path.glob("*/*/items.jsonl"))


def test_run_json_holds_the_resolved_recipe(finished: tuple[Path, dict[str, Step]]) -> None:
    root, _ = finished
    saved = json.loads((root / "smoke" / "run.json").read_text("utf-8"))["recipe"]
    assert Recipe.model_validate(saved) == load_recipe("smoke")
