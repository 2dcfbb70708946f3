"""The whole pipeline on scripted replies and a tiny random model: every stage, every file, nothing done twice."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import cai.engines.pool
import cai.pipeline
from cai.config import Recipe, load_recipe
from cai.engines.base import Request
from cai.engines.scripted import ScriptedBackend
from cai.errors import CaiError, EngineError, InputError, ItemFailed
from cai.findings import dropped, findings
from cai.material import Material
from cai.pipeline import run
from cai.plan import STAGES, Step, plan
from cai.progress import Reporter
from cai.prompts import Rendered
from cai.records import (
    Answer,
    Classified,
    Comparison,
    Completion,
    Distilled,
    Harm,
    Match,
    Measurement,
    OverRefusal,
    Revision,
    RoundScore,
)
from cai.store import RunFolder
from cai.trials.choosing import Choice
from cai.verify import verify

QUIET = Console(quiet=True)


def run_smoke(root: Path, *overrides: str, name: str = "smoke") -> dict[str, Step]:
    recipe = load_recipe("smoke", [f"name={name}", *overrides])
    return run(Material(recipe), RunFolder(root, name), Reporter(QUIET))


ABLATE = "ablate={limit: 4, principles: [1]}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Step]]]:
    root = tmp_path_factory.mktemp("runs")
    yield root, run_smoke(root, ABLATE)


def test_every_stage_leaves_its_records(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    records = {
        "respond": (Answer, 8),
        "revise": (Revision, 8 * 3),
        "ablate": (Revision, 4 * 2 * 2),
        "compare": (Comparison, 8),
        "score_rounds": (RoundScore, 8 * 3 + 4 * 2 * 2),
        "evaluate": (Measurement, 3 * 12),
        "win_rates": (Match, 3 * 12),
        "harmfulness": (Harm, 3 * 6),
        "refusals": (Classified, 3 * 12),
        "over_refusal": (OverRefusal, 3 * 8),
        "hhh": (Choice, 4 * 6),
    }
    assert all(step.folder.done for step in steps.values())
    assert list(steps) == [stage for stage in STAGES if load_recipe("smoke", [ABLATE]).runs(stage)]
    for stage, (kind, count) in records.items():
        ids = [record.id for record in steps[stage].folder.records(kind)]  # type: ignore[attr-defined]
        assert len(ids) == len(set(ids)) == count, stage
    for stage in ("sft", "preference_model", "rl"):
        assert (steps[stage].folder.path / "model" / "model.safetensors").is_file()
        assert steps[stage].folder.metrics()
    assert {m.model for m in steps["evaluate"].folder.records(Measurement)} == {"base", "SL-CAI", "RL-CAI"}


def test_ablations_start_from_the_runs_own_first_answers_and_train_nothing(
    finished: tuple[Path, dict[str, Step]],
) -> None:
    _, steps = finished
    own, made = (list(steps[stage].folder.records(Revision)) for stage in ("revise", "ablate"))
    asked = [prompt.id for prompt in Material(load_recipe("smoke")).prompts["harmful"].train[:4]]
    assert sorted({one.prompt.id for one in made}) == sorted(asked)
    assert {one.round for one in made} == {1, 2} and {one.variant for one in made} == {"direct", "principles=1"}
    assert {one.variant for one in own} == {""}
    assert not {one.id for one in own} & {one.id for one in made}
    assert steps["sft"].folder.summary["rows"] <= 8 * 2 + 8
    assert steps["sft"].parents == ("respond", "revise")


def test_the_findings_of_the_run_hold_no_ablation(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    found = findings(Material(load_recipe("smoke", [ABLATE])), steps)
    assert {one.variant for one in found.revisions} == {one.variant for one in found.round_scores} == {""}
    assert (len(found.revisions), len(found.round_scores)) == (24, 24)
    assert (len(found.ablated), len(found.ablated_scores), found.distilled) == (16, 16, [])
    assert {one.id for one in found.ablated} == {one.id for one in found.ablated_scores}


def test_a_safety_preamble_is_scored_by_an_earlier_run_and_learned_where_it_helps(
    finished: tuple[Path, dict[str, Step]],
) -> None:
    root, before = finished
    recipe = load_recipe("smoke", ["name=safe", "distill={preference_model: smoke/preference_model, max_tokens: 24}"])
    material, folder = Material(recipe, runs=root), RunFolder(root, "safe")
    steps = run(material, folder, Reporter(QUIET), until="sft")
    made = list(steps["distill"].folder.records(Distilled))
    assert {one.id for one in made} == {prompt.id for prompt in material.prompts["harmful"].train}
    assert steps["distill"].folder.summary["tokens"] == sum(one.plain.tokens + one.guarded.tokens for one in made)
    rose = [one for one in made if one.gain > 0]
    left_out = steps["sft"].folder.summary["left_out"].get("safety context did not raise the score", 0)
    assert left_out == len(made) - len(rose)
    learned = [one for one in rose if not set(one.flags) & set(recipe.select.drop)]
    assert steps["sft"].folder.summary["rows"] == before["sft"].folder.summary["rows"] + len(learned)
    assert steps["revise"].folder.path == before["revise"].folder.path
    again = run(material, folder, Reporter(QUIET), until="distill")
    assert again["distill"].digest == steps["distill"].digest


@pytest.mark.parametrize("stage", ["distill", "ablate", "sleep"])
def test_a_run_can_not_end_at_a_stage_that_it_does_not_have(tmp_path: Path, stage: str) -> None:
    with pytest.raises(InputError, match=f"this recipe has no stage '{stage}', only respond, revise, sft, "):
        run(Material(load_recipe("smoke")), RunFolder(tmp_path, "smoke"), Reporter(QUIET), until=stage)
    assert not list(tmp_path.glob("*/*/items.jsonl"))


def test_spec_says_what_made_the_records(finished: tuple[Path, dict[str, Step]]) -> None:
    _, steps = finished
    spec = steps["compare"].folder.spec
    assert spec["parents"] == {stage: steps[stage].digest for stage in ("revise", "sft")}
    assert spec["versions"]["torch"] and spec["recipe"]["compare"]["judge"]["orders"] == "both"
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

    monkeypatch.setattr(cai.engines.pool, "open_engine", refuse)
    monkeypatch.setattr(cai.pipeline, "_run_step", refuse)
    again = run_smoke(root, ABLATE)
    assert {stage: step.digest for stage, step in again.items()} == {s: step.digest for s, step in steps.items()}


def test_another_run_reuses_what_is_the_same(finished: tuple[Path, dict[str, Step]]) -> None:
    root, steps = finished
    recipe = load_recipe("smoke", ["name=other", "rl.steps=2"])
    other = plan(Material(recipe), RunFolder(root, "other"))
    same = {stage for stage in other if other[stage].folder.path == steps[stage].folder.path}
    assert same == {"respond", "revise", "sft", "compare", "preference_model"}, "scores cover ablations too"
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
    assert Recipe.model_validate(saved) == load_recipe("smoke", [ABLATE])


def test_run_json_holds_which_stages_are_done_as_they_are(tmp_path: Path) -> None:
    """So that a stage whose folder is gone is not taken for one that was not begun."""
    steps = run(Material(load_recipe("smoke")), RunFolder(tmp_path, "smoke"), Reporter(QUIET), until="respond")
    assert json.loads((tmp_path / "smoke" / "run.json").read_text("utf-8"))["done"] == ["respond"]
    assert verify(tmp_path, "smoke").sound
    shutil.rmtree(steps["respond"].folder.path)
    (damage,) = [one for one in verify(tmp_path, "smoke").findings if one.damage]
    assert "is missing; run.json says that it was done" in str(damage)


# Items that fail.


class Failing(ScriptedBackend):
    """Refuses the prompts that `refuses` picks, by their text."""

    refuses: Callable[[str], bool] = staticmethod(lambda text: False)
    asked = 0

    async def generate(self, request: Request) -> Completion:
        type(self).asked += 1
        self._check(request.prompt)
        return await super().generate(request)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self._check(prompt)
        return await super().score(prompt, labels)

    def _check(self, prompt: Rendered) -> None:
        if type(self).refuses(" ".join(message.content for message in prompt.messages)):
            raise ItemFailed("a prompt of 9000 tokens is too long")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    engine = type("Failing", (Failing,), {})
    monkeypatch.setattr(cai.engines.pool, "open_engine", lambda config, *_: engine(config))
    return engine


def refuse(engine: type[Failing], refuses: Callable[[str], bool]) -> None:
    engine.refuses, engine.asked = staticmethod(refuses), 0


def revise(root: Path, *overrides: str) -> Step:
    recipe = load_recipe("smoke", list(overrides))
    return run(Material(recipe), RunFolder(root, "smoke"), Reporter(QUIET), until="revise")["revise"]


def failures(root: Path) -> list[dict[str, str]]:
    (path,) = root.glob("smoke/revise-*/failures.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def harmful(*overrides: str) -> list[Any]:
    return list(Material(load_recipe("smoke", list(overrides))).prompts["harmful"].train)


def test_items_that_fail_stop_the_stage_at_its_end_and_are_asked_again(tmp_path: Path, failing: type[Failing]) -> None:
    lost = [prompt.messages[0].content for prompt in harmful()[2:5]]
    refuse(failing, lambda text: "Revision request" in text and any(question in text for question in lost))
    with pytest.raises(EngineError) as caught:
        revise(tmp_path, "revise.few_shot=0")
    (folder,) = tmp_path.glob("smoke/revise-*")
    assert str(caught.value) == (
        "revise: 3 of 8 items failed (first: a prompt of 9000 tokens is too long); run the same command again to ask "
        f"those again, or allow some with failures=0.38; failures.jsonl in {folder} lists them"
    )
    assert caught.value.exit_code == 5
    assert not (folder / "DONE").exists()
    assert {row["id"] for row in failures(tmp_path)} == {prompt.id for prompt in harmful()[2:5]}
    assert all(row["error"] == "a prompt of 9000 tokens is too long" and row["time"] for row in failures(tmp_path))
    assert (folder / "items.jsonl").read_bytes().count(b"\n") == 5 * 3 + 3, "first answers stay stored"
    refuse(failing, lambda text: False)
    step = revise(tmp_path, "revise.few_shot=0")
    assert failing.asked == 3 * 4, "only the rounds that were missing are asked"
    assert failures(tmp_path) == []
    assert step.folder.done and step.folder.summary["failed"] == 0
    assert len({record.id for record in step.folder.records(Revision)}) == 8 * 3


@pytest.mark.parametrize(("share", "done"), [("0.24", False), ("0.25", True), ("0.9", True)])
def test_a_share_of_the_items_may_fail(tmp_path: Path, failing: type[Failing], share: str, done: bool) -> None:
    lost = [prompt.messages[0].content for prompt in harmful()[:2]]
    refuse(failing, lambda text: any(question in text for question in lost))
    if not done:
        with pytest.raises(EngineError, match="2 of 8 items failed"):
            revise(tmp_path, f"failures={share}")
        return
    step = revise(tmp_path, f"failures={share}")
    assert step.folder.summary["failed"] == len(failures(tmp_path)) == 2
    refuse(failing, lambda text: False)
    assert revise(tmp_path).folder.summary["failed"] == 2, "a knob: a stage that is done is not run again"
    assert failing.asked == 0


def test_a_prompt_without_a_first_answer_is_not_ablated(tmp_path: Path, failing: type[Failing]) -> None:
    lost = harmful()[0]
    refuse(failing, lambda text: lost.messages[0].content in text)
    recipe = load_recipe("smoke", [ABLATE, "failures=0.25"])
    steps = run(Material(recipe), RunFolder(tmp_path, "smoke"), Reporter(QUIET), until="ablate")
    made = {one.prompt.id for one in steps["ablate"].folder.records(Revision)}
    assert made == {prompt.id for prompt in harmful()[1:4]}
    assert steps["ablate"].folder.summary["items"] == 3 and steps["ablate"].folder.summary["failed"] == 0


def test_a_dead_engine_is_not_asked_for_every_item(tmp_path: Path, failing: type[Failing]) -> None:
    refuse(failing, lambda text: True)
    with pytest.raises(EngineError) as caught:
        revise(tmp_path, "prompts.limit=100", "engine.concurrency=4", "failures=0.9")
    assert str(caught.value) == (
        "respond: the first 16 items to end all failed (first: a prompt of 9000 tokens is too long); "
        "mend that and run the same command again"
    )
    assert 16 <= failing.asked < 16 + 4, "those in flight come on top"


def test_an_engine_that_answered_once_is_asked_to_the_end(tmp_path: Path, failing: type[Failing]) -> None:
    kept = harmful("prompts.limit=40")[0].messages[0].content
    ours = [prompt.messages[0].content for prompt in harmful("prompts.limit=40")[1:]]
    refuse(failing, lambda text: kept not in text and any(question in text for question in ours))
    with pytest.raises(EngineError, match=r"39 of 40 items failed .*allow some with failures=0\.98"):
        revise(tmp_path, "prompts.limit=40", "engine.concurrency=1", "revise.few_shot=0")


def test_what_was_complete_before_is_no_sign_of_life(tmp_path: Path, failing: type[Failing]) -> None:
    lost = [prompt.messages[0].content for prompt in harmful("prompts.limit=60")[2:]]
    refuse(failing, lambda text: any(question in text for question in lost))
    with pytest.raises(EngineError, match="58 of 60 items failed"):
        revise(tmp_path, "prompts.limit=60", "engine.concurrency=1", "revise.few_shot=0")
    refuse(failing, lambda text: True)
    with pytest.raises(EngineError, match="the first 16 items to end all failed"):
        revise(tmp_path, "prompts.limit=60", "engine.concurrency=1", "revise.few_shot=0")


def test_a_run_goes_on_to_its_report_without_the_items_that_failed(tmp_path: Path, failing: type[Failing]) -> None:
    """Whole chains, rounds of chains, comparisons and measurements are missing, and said to be."""
    recipe = load_recipe("smoke", ["failures=0.5", "revise.few_shot=0"])
    material = Material(recipe)
    chains = [prompt.messages[0].content for prompt in material.prompts["harmful"].train]
    held_out = [prompt.messages[0].content for prompt in material.prompts["helpful"].held_out]

    def refuses(text: str) -> bool:
        late = "Revision request" in text and chains[1] in text
        judged = "Options" in text and chains[2] in text
        return late or judged or chains[0] in text or held_out[0] in text

    refuse(failing, refuses)
    steps = run(material, RunFolder(tmp_path, "smoke"), Reporter(QUIET))
    told = dropped(material, steps, list(steps["compare"].folder.records(Comparison)))
    failed = {name: count for name, count in told.items() if "failed" in name}
    assert failed == {
        "revise: items failed": 2,
        "compare: items failed": 2,
        "evaluate: items failed": 3,
    }
    page = (steps["report"].folder.path / "report.html").read_text("utf-8")
    assert all(name in page for name in failed)
    assert len(list(steps["score_rounds"].folder.records(RoundScore))) == 6 * 3 + 1


@pytest.mark.parametrize(
    ("settings", "figures"),
    [
        (
            "{algorithm: ppo, steps: 2, prompts_per_step: 2, samples: 2, minibatch: 2, micro_batch: 2, max_tokens: 8}",
            {"kl_answer", "explained_variance"},
        ),
        (
            "{algorithm: best_of_n, steps: 2, prompts_per_step: 2, samples: 3, batch_size: 2, max_tokens: 8, "
            "micro_batch: 2}",
            {"reward_best", "kl_bound"},
        ),
    ],
)
def test_other_algorithms_train_in_a_whole_recipe(
    finished: tuple[Path, dict[str, Step]], settings: str, figures: set[str]
) -> None:
    root, before = finished
    recipe = load_recipe("smoke", ["name=other", ABLATE, f"rl={settings}"])
    steps = run(Material(recipe), RunFolder(root, "other"), Reporter(QUIET), "rl")
    assert steps["preference_model"].digest == before["preference_model"].digest, "nothing before it runs again"
    rows = steps["rl"].folder.metrics()
    assert [row["step"] for row in rows] == [1, 2]
    assert all(figures | {"reward", "reward/preference_model", "answers/refusal"} <= row.keys() for row in rows)
    assert (steps["rl"].folder.path / "model" / "model.safetensors").is_file()
