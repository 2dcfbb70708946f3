"""A run held against itself: what is sound is so, and each kind of damage is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cai.checksums import seal
from cai.cli import app
from cai.commands.verify import verify_runs
from cai.errors import StoreError
from cai.identity import digest
from cai.plan import STAGES
from cai.records import Completion, Message, Prompt, Revision, RoundScore
from cai.store import RunFolder, StepFolder
from cai.verify import KINDS, MADE_FROM, verify

REPLY = Completion(text="yes", raw="yes", finish="stop", prompt_tokens=1, tokens=1, seed=0)
PROMPT = Prompt.of((Message(role="user", content="why?"),), "harmful", "test")


def step(run: RunFolder, stage: str, steps: dict[str, StepFolder], *parents: str) -> StepFolder:
    """Begins a stage as `cai run` does."""
    identity = {"format": 3, "settings": {"weights": {2: 1.0, 10: 2.0}}}
    named = {parent: str(steps[parent].spec["digest"]) for parent in parents}
    name = digest([stage, identity, named])
    folder = steps[stage] = run.step(stage, name)
    folder.begin({"stage": stage, "identity": identity, "parents": named, "digest": name})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three stages: chains, a model, and scores of the chains."""
    run, steps = RunFolder(tmp_path, "mine"), {}
    revise = step(run, "revise", steps)
    for number in range(4):
        revise.append(Revision(id=f"r{number}", prompt=PROMPT, round=number, critique=None, response=REPLY))
    revise.failure({"id": "x", "error": "too long"})
    revise.finish({"items": 2, "failed": 1})
    model = step(run, "preference_model", steps)
    (model.path / "model").mkdir()
    (model.path / "model" / "model.safetensors").write_bytes(bytes(1000))
    model.metric({"step": 1, "loss": 0.5})
    model.finish({"steps": 1})
    scores = step(run, "score_rounds", steps, "revise", "preference_model")
    for number in range(4):
        scores.append(RoundScore(id=f"r{number}", round=number, reward=0.5))
    scores.finish({"items": 4, "failed": 0})
    run.remember({"name": "mine"}, steps)
    return run


def damages(run: RunFolder) -> list[str]:
    """What is damaged, with paths from the folder of the run."""
    found = verify(run.root, run.name).findings
    return [str(one).replace(f"{run.path}/", "") for one in found if one.damage]


def notes(run: RunFolder) -> list[str]:
    found = verify(run.root, run.name).findings
    return [str(one).replace(f"{run.path}/", "") for one in found if not one.damage]


def items(run: RunFolder, stage: str) -> tuple[Path, list[bytes]]:
    path = run.steps[stage].path / "items.jsonl"
    return path, path.read_bytes().splitlines(keepends=True)


def test_a_sound_run(run: RunFolder) -> None:
    found = verify(run.root, run.name)
    assert found.sound and (found.steps, found.records) == (3, 8)
    assert found.files == sum(len(one.files or ()) for one in run.steps.values()) == 8
    assert [line.partition("/")[2] for line in notes(run)] == ["failures.jsonl: 1 items failed"]


def flip(run: RunFolder) -> None:
    path = run.steps["preference_model"].path / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


def cut(run: RunFolder) -> None:
    path = run.steps["preference_model"].path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def unlink(run: RunFolder) -> None:
    (run.steps["preference_model"].path / "model" / "model.safetensors").unlink()


def drop(run: RunFolder) -> None:
    path, lines = items(run, "revise")
    path.write_bytes(b"".join(lines[:-1]))


def repeat(run: RunFolder) -> None:
    path, lines = items(run, "score_rounds")
    path.write_bytes(b"".join([*lines, lines[1]]))


def garble(run: RunFolder) -> None:
    path, lines = items(run, "score_rounds")
    path.write_bytes(b"".join([lines[0], b"{}\n", *lines[2:]]))


def tear(run: RunFolder) -> None:
    path, lines = items(run, "score_rounds")
    path.write_bytes(b"".join(lines)[:-5])


def edit(run: RunFolder) -> None:
    path = run.steps["revise"].path / "spec.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 4'))


def rename(run: RunFolder) -> None:
    step = run.steps["preference_model"]
    step.path.rename(run.path / "preference_model-00000000")
    file = run.path / "run.json"
    file.write_text(file.read_text().replace(step.path.name, "preference_model-00000000"))


def orphan(run: RunFolder) -> None:
    shutil.rmtree(run.steps["preference_model"].path)


def unfinish(run: RunFolder) -> None:
    (run.steps["preference_model"].path / "DONE").unlink()


def break_spec(run: RunFolder) -> None:
    (run.steps["revise"].path / "spec.json").write_text('{"half": ')


def unfail(run: RunFolder) -> None:
    (run.steps["revise"].path / "failures.jsonl").write_text("")


def garble_metrics(run: RunFolder) -> None:
    (run.steps["preference_model"].path / "metrics.jsonl").write_text("[1]\n")


def redone(run: RunFolder, stage: str, change: Callable[[dict[str, Any]], object], sealed: bool = False) -> None:
    """Changes what DONE holds, with the checksum of before or, if `sealed`, with one that fits."""
    path = run.steps[stage].path / "DONE"
    done = json.loads(path.read_text())
    change(done)
    path.write_text(json.dumps({**done, "checksum": seal(done)} if sealed else done))


def count_more(run: RunFolder) -> None:
    redone(run, "score_rounds", lambda done: done.update(items=999))


def count_more_and_seal(run: RunFolder) -> None:
    redone(run, "score_rounds", lambda done: done.update(items=999), sealed=True)


def count_fewer_and_seal(run: RunFolder) -> None:
    redone(run, "score_rounds", lambda done: done.update(items=3), sealed=True)


def tell_another_loss(run: RunFolder) -> None:
    redone(run, "preference_model", lambda done: done.update(steps=7))


def untell(run: RunFolder) -> None:
    redone(run, "revise", lambda done: done["files"].pop("items.jsonl"), sealed=True)


def untell_all(run: RunFolder) -> None:
    flip(run)
    redone(run, "preference_model", lambda done: done.update(files={}), sealed=True)


def tell_nonsense(run: RunFolder) -> None:
    redone(run, "preference_model", lambda done: done.update(files={"model": 3}), sealed=True)


def add(run: RunFolder) -> None:
    (run.steps["preference_model"].path / "model" / "evil.safetensors").write_bytes(b"x")


def add_beside(run: RunFolder) -> None:
    (run.steps["revise"].path / "more.jsonl").write_text("{}\n")


def remove_leaf(run: RunFolder) -> None:
    shutil.rmtree(run.steps["score_rounds"].path)


def remove_parent_unsaid(run: RunFolder) -> None:
    """run.json of an earlier version of cai doesn't say what was done."""
    shutil.rmtree(run.steps["revise"].path)
    told = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**told, "done": None}))


def unfinish_leaf(run: RunFolder) -> None:
    (run.steps["score_rounds"].path / "DONE").unlink()


DAMAGE: list[tuple[Callable[[RunFolder], None], str]] = [
    (flip, "model/model.safetensors: found bytes with SHA-256"),
    (cut, "model/model.safetensors: found 999 bytes, expected 1000"),
    (unlink, "model/model.safetensors: is missing; expected 1000 bytes"),
    (drop, "items.jsonl:4: is made from r3, which revise and ablate lack"),
    (drop, "items.jsonl: found"),
    (repeat, "items.jsonl:5: has the id r1 of line 2 again"),
    (garble, "items.jsonl:2: not a RoundScore record"),
    (tear, "items.jsonl: its last line is torn"),
    (edit, "they were edited"),
    (rename, "is the folder preference_model-00000000; by its digest expected preference_model-"),
    (orphan, "its parent preference_model-"),
    (unfinish, "is not done"),
    (break_spec, "cannot be read as JSON"),
    (unfail, "failures.jsonl: has 0 lines; DONE counts 1"),
    (garble_metrics, "metrics.jsonl:1: not a JSON object"),
    (count_more, "DONE: its contents have the SHA-256"),
    (count_more, "items.jsonl: has records of 4 items; DONE counts 999, of which 0 failed"),
    (count_more_and_seal, "items.jsonl: has records of 4 items; DONE counts 999, of which 0 failed"),
    (count_fewer_and_seal, "items.jsonl: has records of 4 items; DONE counts 3, of which 0 failed"),
    (tell_another_loss, "it was edited"),
    (untell, "items.jsonl: was not there when the step was done"),
    (untell_all, "model/model.safetensors: was not there when the step was done"),
    (tell_nonsense, "DONE: 'files' is not what cai writes"),
    (add, "model/evil.safetensors: was not there when the step was done"),
    (add_beside, "more.jsonl: was not there when the step was done"),
    (remove_leaf, "is missing; run.json says that it was done"),
    (remove_parent_unsaid, ": is missing; score_rounds-"),
    (unfinish_leaf, "DONE: is missing; run.json says that the stage was done"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGE, ids=lambda one: getattr(one, "__name__", ""))
def test_each_damage_is_found_and_told(run: RunFolder, damage: Callable[[RunFolder], None], told: str) -> None:
    assert damages(run) == []
    damage(run)
    assert any(told in one for one in damages(run)), damages(run)
    assert not verify(run.root, run.name).sound


def test_what_a_resume_mends_is_no_damage(run: RunFolder) -> None:
    """An unfinished stage with a torn line, and one that is not begun."""
    unfinished = run.steps["score_rounds"]
    (unfinished.path / "DONE").unlink()
    tear(run)
    run.remember({}, {**run.steps, "report": run.step("report", "0" * 64)})
    assert damages(run) == []
    told = [one.partition(": ")[2] for one in notes(run)]
    assert {"not done; run the recipe again to go on", "its last line is torn", "not begun"} <= set(told)


def test_a_step_without_checksums_is_told_and_is_sound(run: RunFolder) -> None:
    """As versions of cai before checksums left it, in DONE and in run.json."""
    for stage in run.steps:
        redone(run, stage, lambda done: (done.pop("files"), done.pop("checksum")))
    told = json.loads((run.path / "run.json").read_text())
    del told["done"]
    (run.path / "run.json").write_text(json.dumps(told))
    flip(run)
    assert verify(run.root, run.name).sound
    assert sum("no checksums" in note for note in notes(run)) == 3


def test_a_done_that_tells_files_and_has_no_checksum_of_its_own_is_sound(run: RunFolder) -> None:
    for stage in run.steps:
        redone(run, stage, lambda done: done.pop("checksum"))
    assert damages(run) == [] and notes(run) == [f"{run.steps['revise'].path.name}/failures.jsonl: 1 items failed"]


def test_what_is_removed_after_done_is_no_new_file(run: RunFolder) -> None:
    """A process that was killed between the two leaves it for the next one to remove."""
    for part in ("checkpoints", "rounds/1/model"):
        (run.steps["preference_model"].path / part).mkdir(parents=True)
        (run.steps["preference_model"].path / part / "model.safetensors").write_bytes(b"x")
    assert damages(run) == []


def test_a_model_of_a_step_whose_files_are_untold_is_not_loaded(run: RunFolder) -> None:
    untell_all(run)
    with pytest.raises(StoreError, match=r"model\.safetensors: was not there when the step was done"):
        run.steps["preference_model"].check("model")


def test_the_command_prints_each_finding_and_ends_with_the_exit_code_of_a_damaged_run(run: RunFolder) -> None:
    arguments = ["verify", "mine", "--runs", str(run.root)]
    sound = CliRunner().invoke(app, arguments)
    assert sound.exit_code == 0 and "mine: 3 stages, 8 files by checksum, 8 records: sound" in sound.output
    flip(run)
    damaged = CliRunner().invoke(app, arguments)
    assert damaged.exit_code == StoreError.exit_code == 4
    assert "damaged: " in damaged.output and "1 damaged" in damaged.output
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [(one["run"], one["sound"]) for one in told] == [("mine", False)]
    assert [one["damage"] for one in told[0]["findings"]].count(True) == 1


def test_several_runs_and_one_that_is_not_there(run: RunFolder) -> None:
    assert verify_runs(Console(quiet=True), ["mine", "mine"], False, run.root) == 0
    with pytest.raises(StoreError, match="no run 'other'"):
        verify(run.root, "other")


def test_every_stage_that_leaves_records_is_known() -> None:
    training = {"sft", "preference_model", "helpfulness_model", "dpo", "rejection_sampling", "rl", "report"}
    assert KINDS.keys() == STAGES.keys() - training
    assert MADE_FROM.keys() <= KINDS.keys()
