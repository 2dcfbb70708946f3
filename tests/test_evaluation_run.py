"""An evaluation from a recipe to figures, report and command: resumable records, guests, exit codes."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cai.cli import app
from cai.commands.joining import joined
from cai.config import load_recipe
from cai.engines.base import Request
from cai.engines.scripted import ScriptedBackend
from cai.errors import EngineError, InputError
from cai.evaluated import evaluation_of
from cai.material import Material
from cai.pipeline import run
from cai.plan import Step
from cai.progress import Reporter
from cai.records import Comparison, Completion, Match, Measurement
from cai.store import RunFolder
from cai.suite_costs import SUITE_COSTS, suite_records
from cai.verify import KINDS

sys.path.insert(0, str(Path(__file__).parent))

from test_pipeline import QUIET, run_smoke

pytestmark = pytest.mark.slow

SUITES = ("win_rates", "harmfulness", "refusals", "over_refusal", "hhh")
GUEST = 'guests={other: {model: other, system: "Be brief.", engine: {type: scripted}}}'


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Step]]]:
    """The smoke run with a guest and a labelled file."""
    root = tmp_path_factory.mktemp("runs")
    yield root, run_smoke(root, GUEST, f"refusals={{labelled: {_labelled(root)}}}", "evaluate.limit=12")


def _labelled(root: Path) -> Path:
    rows = [{"prompt": f"Q{n}?", "answer": f"A{n}.", "label": "compliance"} for n in range(12)]
    path = root / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def records(step: Step, stage: str) -> list[Any]:
    return list(step.folder.records(KINDS[stage]))


def test_every_suite_looks_at_every_model(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    models = {"base", "SL-CAI", "RL-CAI", "other"}
    for stage in ("harmfulness", "over_refusal"):
        assert {one.model for one in records(steps[stage], stage)} == models
    assert {one.model for one in records(steps["refusals"], "refusals")} == {*models, ""}
    assert {one.model for one in records(steps["hhh"], "hhh")} == {*models, "preference model"}
    played = Counter(one.models for one in records(steps["win_rates"], "win_rates"))
    assert len(played) == 6 and set(played.values()) == {24}
    assert ("RL-CAI", "other") in played, "guests come last"


def test_a_guest_answers_the_same_prompts_and_has_no_distance(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    own = [one for one in steps["evaluate"].folder.records(Measurement) if one.model == "base"]
    guest = records(steps["guests"], "guests")
    assert {one.prompt.id for one in guest} == {one.prompt.id for one in own}
    assert {(one.kl_base, one.kl_sl) for one in guest} == {(None, None)}
    assert [one.response.text for one in guest] != [one.response.text for one in own], "its own system prompt"


def test_nothing_is_sampled_for_a_match(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    said = {
        one.prompt.id: one.response.text
        for stage in ("evaluate", "guests")
        for one in steps[stage].folder.records(Measurement)
        if one.model == ("other" if stage == "guests" else "base")
    }
    assert steps["win_rates"].folder.summary["tokens"] == 0
    assert {one.b.text for one in records(steps["win_rates"], "win_rates") if one.models == ("base", "other")} <= set(
        said.values()
    )


def test_the_figures_are_those_of_the_records(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    found = evaluation_of({stage: step.folder for stage, step in steps.items()}, 100)
    assert {one.kind for one in found.duels} == {"harmful", "helpful"} and len(found.duels) == 12
    (row,) = [one for one in found.harm if one.model == "other"]
    rated = [one.harm for one in records(steps["harmfulness"], "harmfulness") if one.model == "other"]
    assert row.harm and row.harm.value == pytest.approx(sum(rated) / len(rated))
    assert found.classifier and found.classifier.accuracy.n == 12
    assert set(found.choices) == {"base", "SL-CAI", "RL-CAI", "other", "preference model"}
    json.dumps(found.as_json(), allow_nan=False)


def test_the_report_shows_it(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    html = (steps["report"].folder.path / "report.html").read_text("utf-8")
    markdown = (steps["report"].folder.path / "report.md").read_text("utf-8")
    for title in ("Win rates, by the judge", "Elo", "Over-refusal", "The classifier of refusals, measured"):
        assert title in html and title in markdown
    assert '<section id="evaluation">' in html


@pytest.mark.parametrize("stage", ["win_rates", "refusals"])
def test_a_suite_that_was_stopped_goes_on_and_ends_with_the_same_records(
    stage: str, finished: tuple[Path, dict[str, Step]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, steps = finished
    shutil.copytree(root / "smoke", tmp_path / "smoke")
    shutil.copy(root / "answers.jsonl", tmp_path)
    folder = tmp_path / "smoke" / steps[stage].folder.path.name
    (folder / "DONE").unlink()
    lines = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    (folder / "items.jsonl").write_text("".join(lines[:10]) + lines[10][:25])
    asked: list[str] = []
    score = ScriptedBackend.score

    async def counted(self: ScriptedBackend, prompt: Any, labels: Any) -> list[float]:
        asked.append("question")
        return await score(self, prompt, labels)

    monkeypatch.setattr(ScriptedBackend, "score", counted)
    again = run_smoke(tmp_path, GUEST, f"refusals={{labelled: {root / 'answers.jsonl'}}}", "evaluate.limit=12")
    before = {one.id: one for one in records(steps[stage], stage)}
    assert {one.id: one for one in records(again[stage], stage)} == before
    skipped = sum(one.verdict.state == "skipped" for one in before.values()) if stage == "win_rates" else 0
    most = (len(before) - 10) * (2 if stage == "win_rates" else 5)
    assert 0 < len(asked) <= most and (skipped or len(asked) == most)


# The command.


def cai(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_the_command_prints_tables_or_json(finished: tuple[Path, dict[str, Step]]) -> None:
    root, _ = finished
    shown = cai("evaluate", "smoke", "--runs", root)
    assert shown.exit_code == 0, shown.output
    for title in ("Win rates, by the judge", "Elo", "Harmfulness", "Over-refusal", "multiple choice"):
        assert title in shown.output
    told = json.loads(cai("evaluate", "smoke", "--runs", root, "--json").stdout)
    assert {"win_rates", "elo", "harmfulness", "refusals", "over_refusal", "hhh", "frontier"} <= told.keys()


def test_a_run_does_not_fall_below_itself_and_a_fall_ends_with_6(
    finished: tuple[Path, dict[str, Step]], tmp_path: Path
) -> None:
    root, steps = finished
    shutil.copytree(root, tmp_path / "runs")
    same = cai("evaluate", "smoke", "--runs", tmp_path / "runs", "--against", "smoke", "--max-drop", "harmlessness=0")
    assert same.exit_code == 0 and "no difference can be told" in same.output
    shutil.copytree(tmp_path / "runs" / "smoke", tmp_path / "runs" / "worse")
    file = tmp_path / "runs" / "worse" / steps["harmfulness"].folder.path.name / "items.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "harm": min(4.0, row["harm"] + 1)}) + "\n" for row in rows))
    saved = json.loads((tmp_path / "runs" / "worse" / "run.json").read_text())
    places = {stage: place.replace("smoke/", "worse/") for stage, place in saved["steps"].items()}
    (tmp_path / "runs" / "worse" / "run.json").write_text(json.dumps({**saved, "steps": places}))
    asked = ("evaluate", "worse", "--runs", tmp_path / "runs", "--against", "smoke")
    fell = cai(*asked, "--max-drop", "harmlessness=0.05")
    assert fell.exit_code == 6, fell.output
    assert "harmlessness fell by 0.2" in fell.output and "more than 0.05" in fell.output
    assert cai(*asked, "--max-drop", "harmlessness=0.5").exit_code == 0
    assert cai(*asked).exit_code == 0


def _copied(root: Path, to: Path, name: str, file: Path, rows: list[dict[str, Any]]) -> None:
    """The smoke run under another name, with other records in one file."""
    shutil.copytree(root / "smoke", to / name, dirs_exist_ok=True)
    (to / name / file).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    saved = json.loads((to / name / "run.json").read_text())
    places = {stage: place.replace("smoke/", f"{name}/") for stage, place in saved["steps"].items()}
    (to / name / "run.json").write_text(json.dumps({**saved, "steps": places}))


def test_a_gate_that_too_few_prompts_can_hold_does_not_pass(
    finished: tuple[Path, dict[str, Step]], tmp_path: Path
) -> None:
    root, steps = finished
    shutil.copytree(root, tmp_path / "runs")
    file = Path(steps["harmfulness"].folder.path.name) / "items.jsonl"
    rows = [json.loads(line) for line in (root / "smoke" / file).read_text().splitlines()]
    few = sorted({row["prompt"]["id"] for row in rows})[:9]
    collapsed = [{**row, "harm": 4.0} for row in rows if row["prompt"]["id"] in few]
    _copied(root, tmp_path / "runs", "few", file, collapsed)
    asked = ("evaluate", "few", "--runs", tmp_path / "runs", "--against", "smoke")
    unsure = cai(*asked, "--max-drop", "harmlessness=0.05")
    assert isinstance(unsure.exception, InputError) and unsure.exception.exit_code == 2
    assert "can't be checked: RL-CAI: 9 prompts can't tell a fall of any size; 10 are needed" in str(unsure.exception)
    assert "Win rates, by the judge" in unsure.output, "what is known is printed all the same"
    assert cai(*asked).exit_code == 0, "nothing was to be checked"
    _copied(root, tmp_path / "runs", "base", file, [row for row in rows if row["model"] == "base"])
    lacking = cai("evaluate", "base", "--runs", tmp_path / "runs", "--against", "smoke", "--max-drop", "harmlessness=1")
    assert "share no prompt with this figure of SL-CAI, RL-CAI, other" in str(lacking.exception)


def test_a_guest_that_is_not_there_takes_nothing_away(finished: tuple[Path, dict[str, Step]], tmp_path: Path) -> None:
    root, _ = finished
    shutil.copytree(root, tmp_path / "runs")
    before = (tmp_path / "runs" / "smoke" / "run.json").read_bytes()
    mistyped = "x={model: no-such/model, engine: {type: transformers}}"
    failed = cai("evaluate", "smoke", "--runs", tmp_path / "runs", "--model", mistyped, "--suite", "over_refusal")
    assert isinstance(failed.exception, EngineError), failed.output
    assert (tmp_path / "runs" / "smoke" / "run.json").read_bytes() == before
    shown = cai("evaluate", "smoke", "--runs", tmp_path / "runs")
    assert shown.exit_code == 0 and "Over-refusal" in shown.output


def test_pairs_that_are_given_are_the_ones_asked_about(finished: tuple[Path, dict[str, Step]], tmp_path: Path) -> None:
    root, steps = finished
    shutil.copytree(root, tmp_path / "runs")
    rows = [{"prompt": f"Q{n}?", "chosen": f"Good {n}.", "rejected": f"Bad {n}."} for n in range(3)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = ("--suite", "hhh", "--pairs", tmp_path / "mine.jsonl", "--json")
    told = json.loads(cai("evaluate", "smoke", "--runs", tmp_path / "runs", *asked).stdout)
    assert steps["hhh"].folder.count() == 6 * len(told["hhh"]) and told["hhh"]["base"]["n"] == 3


def test_a_server_joins_by_its_address(finished: tuple[Path, dict[str, Step]]) -> None:
    root, _ = finished
    folder = RunFolder(root, "smoke")
    found = joined(folder, ["big=https://host.example:8000/v1#org/Big-8B", "o={model: m, system: Hi}"], [], None).guests
    assert found is not None and {"big", "o", "other"} == found.keys()
    engine: Any = found["big"].engine
    assert (found["big"].model, engine.type, engine.base_url) == (
        "org/Big-8B",
        "openai",
        "https://host.example:8000/v1",
    )
    assert found["o"].system == "Hi"


def test_a_model_and_a_suite_join_a_run_that_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [f"{suite}=null" for suite in SUITES]
    before = run(Material(load_recipe("smoke", overrides)), RunFolder(tmp_path, "smoke"), Reporter(QUIET))
    bare = cai("evaluate", "smoke", "--runs", tmp_path)
    assert isinstance(bare.exception, Exception) and "has no suite of an evaluation" in str(bare.exception)
    asked: list[Request] = []
    generate = ScriptedBackend.generate

    async def counted(self: ScriptedBackend, request: Request) -> Completion:
        asked.append(request)
        return await generate(self, request)

    monkeypatch.setattr(ScriptedBackend, "generate", counted)
    joined = cai("evaluate", "smoke", "--runs", tmp_path, "--model", "guest=other", "--suite", "win_rates")
    assert joined.exit_code == 0, joined.output
    assert "guest" in joined.output and len(asked) == 12, "the guest's answers, and nothing else"
    steps = RunFolder(tmp_path, "smoke").steps
    assert steps["evaluate"].path == before["evaluate"].folder.path
    assert len(list(steps["win_rates"].records(Match))) == 6 * 12
    assert list(before["compare"].folder.records(Comparison)) == list(steps["compare"].records(Comparison))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "other"], "expected NAME=MODEL"),
        (["--model", "base=other"], "--model: 'base' is a model of every run"),
        (["--model", "x=http://host/v1"], "names no model of that server"),
        (["--model", "x=http://me:secretword@host/v1#m"], "an address holds no user, password or query"),
        (
            ["--model", "x={model: m, engine: {type: openai, api_key: secretword}}"],
            "holds a key, a token or a password",
        ),
        (["--pairs", "pairs.jsonl"], "--pairs: goes with --suite hhh"),
        (["--dry"], "--dry: goes with --lm-eval"),
        (["--lm-eval", "arc_easy", "--suite", "foo", "--against", "x"], "nothing else; leave out --suite, --against"),
        (["--lm-eval", "arc_easy", "--model", "sft", "--model", "rl"], "--lm-eval: takes one --model, found 2"),
        (["--suite", "elo"], "--suite elo: expected one of win_rates"),
        (["--max-drop", "harmlessness=0.1"], "give it --against RUN"),
        (["--against", "nowhere"], "no run 'nowhere'"),
        (["--lm-eval", "arc_easy", "--model", "dpo"], "has no such model; it has base, SL-CAI, RL-CAI"),
    ],
)
def test_mistakes_are_told(arguments: list[str], told: str, finished: tuple[Path, dict[str, Step]]) -> None:
    root, _ = finished
    failed = cai("evaluate", "smoke", "--runs", root, *arguments)
    assert failed.exit_code != 0
    assert told in str(failed.exception) and "secretword" not in str(failed.exception)


def test_lm_eval_is_told_its_command_line(
    finished: tuple[Path, dict[str, Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, steps = finished
    shown = cai("evaluate", "smoke", "--runs", root, "--lm-eval", "arc_easy,piqa", "--dry")
    assert shown.exit_code == 0
    model = steps["rl"].folder.path / "model"
    assert shown.output.startswith(
        f"lm_eval --model hf --model_args pretrained={model},dtype=auto --tasks arc_easy,piqa"
    )
    assert "--apply_chat_template" in shown.output
    base = cai("evaluate", "smoke", "--runs", root, "--lm-eval", "arc_easy", "--model", "sft", "--dry")
    assert str(steps["sft"].folder.path) in base.output
    monkeypatch.setenv("PATH", "")
    missing = cai("evaluate", "smoke", "--runs", root, "--lm-eval", "arc_easy")
    assert "pip install 'lm_eval[hf]'" in str(missing.exception)


def test_what_a_suite_leaves_was_foreseen(finished: tuple[Path, dict[str, Step]]) -> None:
    root, steps = finished
    recipe = load_recipe("smoke", [GUEST, f"refusals={{labelled: {root / 'answers.jsonl'}}}", "evaluate.limit=12"])
    material = Material(recipe, None, root)
    for stage in ("guests", *SUITES):
        assert suite_records(stage, material) == steps[stage].folder.count(), stage
        calls, read, written = SUITE_COSTS[stage](material)
        assert calls >= steps[stage].folder.count() and read > 0
        assert written >= steps[stage].folder.summary["tokens"]
