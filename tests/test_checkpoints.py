"""Which model a name such as RUN/STAGE means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cai.checkpoints import Checkpoint, preference_model, trained
from cai.config import load_recipe
from cai.errors import InputError
from cai.store import RunFolder

STAGES = ("sft", "preference_model", "rl")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def store(*done: str, models: tuple[str, ...] = STAGES) -> RunFolder:
    """A run `mine` whose stages `done` are done; those of `models` have left one."""
    folder = RunFolder(Path("runs"), "mine")
    steps = {stage: folder.step(stage, f"{stage}0123456789") for stage in ("respond", *STAGES)}
    folder.remember(load_recipe("smoke").model_dump(), steps)
    for stage, step in steps.items():
        step.begin({})
        if stage in models:
            (step.path / "model").mkdir()
        if stage in done:
            step.finish({"seconds": 1})
    return folder


def model_folder(path: Path, *kinds: str) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"architectures": list(kinds)} if kinds else {}))
    return path


def test_a_stage_of_a_run_is_the_model_it_left_with_the_recipe_that_made_it() -> None:
    folder = store(*STAGES)
    found = trained("mine/rl", Path("runs"), ["sft", "rl"], "to talk to")
    assert found == Checkpoint(folder.steps["rl"].path / "model", load_recipe("smoke"))


@pytest.mark.parametrize("name", ["other/rl", "owner/name", "mine-too", ""])
def test_a_name_of_no_run_is_nothing(name: str) -> None:
    store(*STAGES)
    assert trained(name, Path("runs"), STAGES, "to use") is None


def test_a_folder_comes_before_a_run_of_that_name() -> None:
    store(*STAGES)
    Path("mine", "rl").mkdir(parents=True)
    assert trained("mine/rl", Path("runs"), STAGES, "to use") is None


@pytest.mark.parametrize(
    ("name", "done", "models", "known"),
    [
        ("mine/rl", ("sft",), STAGES, "mine/sft"),
        ("mine/sft", (), STAGES, "none yet"),
        ("mine", ("sft", "rl"), STAGES, "mine/sft, mine/rl"),
        ("mine/preference_model", STAGES, STAGES, "mine/sft, mine/rl"),
        ("mine/respond", ("respond", "rl"), STAGES, "mine/rl"),
        ("mine/sft", ("sft", "rl"), ("rl",), "mine/rl"),
    ],
)
def test_a_stage_without_a_model_is_met_by_those_that_have_one(
    name: str, done: tuple[str, ...], models: tuple[str, ...], known: str
) -> None:
    store(*done, models=models)
    with pytest.raises(InputError) as caught:
        trained(name, Path("runs"), ["sft", "rl"], "to talk to")
    stage = name.partition("/")[2]
    assert str(caught.value) == f"run 'mine' has no model {stage!r} to talk to; it has: {known}"


def test_a_preference_model_is_that_of_a_run_or_a_folder() -> None:
    folder = store(*STAGES)
    assert (
        preference_model("mine/preference_model", Path("runs")).folder
        == folder.steps["preference_model"].path / "model"
    )
    scorer = model_folder(Path("scorer"), "Qwen2ForSequenceClassification")
    assert preference_model("scorer", Path("runs")) == Checkpoint(scorer)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere/preference_model", "no preference model 'nowhere/preference_model': not a folder that holds a model"),
        ("empty", "no preference model 'empty': not a folder that holds a model, and no run of that name in runs/"),
        ("mine/sft", "run 'mine' has no model 'sft' to score answers with; it has: mine/preference_model"),
        ("talks", "talks holds LlamaForCausalLM, which gives no score; expected a preference model"),
        ("unsaid", "unsaid holds an unknown model, which gives no score"),
    ],
)
def test_what_gives_no_score_is_refused(name: str, told: str) -> None:
    store(*STAGES)
    Path("empty").mkdir()
    model_folder(Path("talks"), "LlamaForCausalLM")
    model_folder(Path("unsaid"))
    with pytest.raises(InputError) as caught:
        preference_model(name, Path("runs"))
    assert told in str(caught.value)
