"""What a recipe points at is read and checked before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cai.config import load_recipe
from cai.errors import CaiError, InputError
from cai.few_shot import ReasoningExample
from cai.material import Material
from cai.records import Message
from cai.store import RunFolder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named relative to where the command runs."""
    monkeypatch.chdir(tmp_path)


def material(*overrides: str) -> Material:
    return Material(load_recipe("smoke", list(overrides)))


def complaint(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        material(*overrides).load()
    return str(caught.value)


def test_limits_cut_training_and_held_out_prompts_apart() -> None:
    whole = material("prompts.limit=~", "evaluate.limit=~").prompts
    cut = material("prompts.limit=3", "evaluate.limit=2").prompts
    for kind in ("harmful", "helpful"):
        assert (len(cut[kind].train), len(cut[kind].held_out)) == (3, 2)
        assert cut[kind].train == whole[kind].train[:3]
        assert cut[kind].held_out == whole[kind].held_out[:2]
        assert len(whole[kind].train) + len(whole[kind].held_out) >= 160


def test_a_limit_beyond_the_set_takes_all_of_it() -> None:
    assert material("prompts.limit=99999").prompts["harmful"] == material("prompts.limit=~").prompts["harmful"]


def test_each_kind_keeps_its_name_and_its_duplicates_are_counted(tmp_path: Path) -> None:
    lines = [f"question {n}" for n in range(40)]
    (tmp_path / "mine.txt").write_text("\n".join([*lines, *lines[:5]]))
    split = material("prompts.helpful=mine.txt", "prompts.limit=~", "evaluate.limit=~").prompts["helpful"]
    assert {prompt.kind for prompt in (*split.train, *split.held_out)} == {"helpful"}
    assert len(split.train) + len(split.held_out) == 40
    assert split.duplicates == 5


def test_examples_are_the_first_of_their_file() -> None:
    loaded = material("revise.few_shot=2", "compare.judge.few_shot=3")
    assert loaded.revision_examples == material("revise.few_shot=5").revision_examples[:2]
    assert loaded.comparison_examples == material("compare.judge.few_shot=4").comparison_examples[:3]
    assert material("revise.few_shot=0").revision_examples == ()


def test_a_judge_that_thinks_is_shown_examples_with_thoughts_and_one_without_seats_none() -> None:
    thinking = material("compare.judge={mode: cot, few_shot: 2}").comparison_examples
    assert [type(one) for one in thinking] == [ReasoningExample] * 2
    assert material("compare.judge={mode: contrast, against: nothing}").comparison_examples == ()


OPPOSED = "{id: a, comparison: C, instruction: I, opposite: O, critique: C, revision: R}"


@pytest.mark.parametrize(
    ("principle", "compare", "lacking"),
    [
        ("{id: a, comparison: The kinder one, critique: C, revision: R}", "judge.mode=contrast", "contrast"),
        ("{id: a, comparison: The kinder one, critique: C, revision: R}", "judge.mode=score", "instruction"),
        ("{id: a, instruction: Be kind, critique: C, revision: R}", "judge.mode=cot", "comparison"),
        ("{id: a, comparison: C, critique: C, revision: R}", "answers.type=contrastive", "contrast"),
        ("{id: a, instruction: I, critique: C, revision: R}", "judge={mode: contrast, against: nothing}", None),
        (OPPOSED, "answers.type=contrastive", None),
        (OPPOSED.replace("comparison: C, ", ""), "answers={type: contrastive, label: construction}", None),
    ],
)
def test_a_constitution_must_have_the_words_that_the_judge_goes_by(
    tmp_path: Path, principle: str, compare: str, lacking: str | None
) -> None:
    (tmp_path / "mine.yaml").write_text(f"name: mine\nprinciples: [{principle}]\n")
    settings = ("constitution=mine.yaml", f"compare.{compare}")
    if lacking:
        assert f"constitution 'mine': no principle serves {lacking}" in complaint(*settings)
    else:
        material(*settings).load()


def test_the_models_that_are_compared_are_named_as_the_recipe_names_them() -> None:
    loaded = material("compare.answers={type: models, models: [helpful, sft]}")
    assert loaded.paired == {"helpful": loaded.recipe.models.helpful}
    assert material().paired == {}


def test_a_dialect_is_read_once_and_from_the_folder_of_the_recipe(tmp_path: Path) -> None:
    loaded = material()
    models = loaded.recipe.models
    assert loaded.templates(models.assistant) is loaded.templates(models.pretrained)
    with pytest.raises(InputError, match=r"templates: mine/chat is missing"):
        material("templates=mine").templates(models.assistant)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("constitution=nowhere", "no file 'nowhere' and nothing of that name ships in constitutions/"),
        ("prompts.harmful=nowhere.txt", "no file 'nowhere.txt' and nothing of that name ships in prompts/"),
        ("prompts.helpful=empty.txt", "empty.txt: holds no prompts"),
        ("revise.few_shot=99", "99 examples asked for, few_shot/critique_revision holds 5"),
        ("compare.judge.few_shot=99", "99 examples asked for, few_shot/comparison holds 4"),
        ("compare.judge.few_shot_file=mine.yaml", "mine.yaml:1: examples: required and missing"),
        ("compare.judge={mode: cot, few_shot: 99}", "99 examples asked for, few_shot/comparison_cot holds 4"),
        ("compare.judge={mode: cot, few_shot_file: mine.yaml}", "mine.yaml:1: examples: required and missing"),
        ("templates=nowhere", "templates: nowhere/chat is missing; put your chat templates there"),
        ("constitution=one-sided.yaml", "constitution 'one-sided': no principle serves revision"),
        ("compare.answers={type: models, models: [assistant, jugde]}", "compare.answers.models: 'jugde' is no part of"),
        ("compare.answers={type: models, models: [sft, gone/rl]}", "'gone/rl' is no part of `models` and no RUN/STAGE"),
        ("preference_model.human=[{pairs: empty.jsonl}]", "empty.jsonl: is empty; expected"),
    ],
)
def test_every_part_is_checked_before_anything_runs(tmp_path: Path, override: str, told: str) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    (tmp_path / "one-sided.yaml").write_text("name: one-sided\nprinciples: [{id: a, comparison: The kinder one}]\n")
    assert told in complaint(override)


@pytest.mark.parametrize(("held_out", "what"), [("0.0001", "evaluation"), ("0.9999", "training")])
def test_a_split_that_leaves_no_prompts_says_what_to_change(tmp_path: Path, held_out: str, what: str) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\nthree\n")
    told = complaint("prompts.harmful=few.txt", f"prompts.held_out={held_out}")
    assert told.startswith("prompts.harmful: few.txt has 3 prompts and leaves none for " + what)
    assert "add prompts or change held_out" in told


# Safety context distillation.


def preference_folder(path: Path, kind: str = "LlamaForSequenceClassification") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"architectures": [kind]}))
    return path


def run_with_preference_model(runs: Path, *overrides: str) -> Path:
    """A run `earlier` whose preference model is trained. Returns the model's folder."""
    folder = RunFolder(runs, "earlier")
    step = folder.step("preference_model", "0123456789")
    step.begin({})
    step.finish({"seconds": 1})
    folder.remember(load_recipe("smoke", list(overrides)).model_dump(), {"preference_model": step})
    return preference_folder(step.path / "model")


def distilling(*overrides: str, scorer: str = "scorer", preamble: str = "preambles/safety", **options: Any) -> Material:
    settings = f"distill={{preference_model: {scorer}, preamble: {preamble}}}"
    return Material(load_recipe("smoke", [settings, *overrides]), **options)


def test_the_preamble_comes_before_the_assistants_own_system_prompt(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\nBe careful.\n\n")
    assert distilling(preamble="mine.txt").guarded.system == "Be careful."
    own = distilling("models.assistant.system=Be brief.", preamble="mine.txt")
    assert own.guarded.system == "Be careful.\n\nBe brief."
    assert own.assistant.system == "Be brief."
    assert "harm" in (distilling().guarded.system or "")


def test_an_empty_preamble_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"mine\.txt: holds no text; expected a safety preamble"):
        distilling(preamble="mine.txt", scorer=str(preference_folder(tmp_path / "scorer"))).load()


def test_a_preference_model_of_a_run_is_shown_prompts_as_that_run_showed_them(tmp_path: Path) -> None:
    ours = "models.pretrained={use: assistant, system: Be brief.}"
    theirs = "models.pretrained={use: assistant, dialect: transcript, system: 'Two people talk.'}"
    left = run_with_preference_model(tmp_path / "kept", theirs)
    loaded = distilling(ours, scorer="earlier/preference_model", runs=tmp_path / "kept")
    assert (loaded.scorer.model, loaded.scorer.dialect) == (str(left), "transcript")
    asked = loaded.scoring.render("respond", messages=[Message(role="user", content="Hi")]).text
    assert asked.startswith("Two people talk.\n\nHuman: Hi")


def test_a_preference_model_in_a_folder_is_shown_prompts_as_this_run_shows_them(tmp_path: Path) -> None:
    left = preference_folder(tmp_path / "scorer")
    loaded = distilling("models.pretrained={use: assistant, system: Be brief.}")
    assert loaded.scorer.model == "scorer" and left.is_dir()
    first = loaded.scoring.render("respond", messages=[Message(role="user", content="Hi")]).messages[0]
    assert (first.role, first.content) == ("system", "Be brief.")


def test_the_preference_model_of_the_very_run_is_refused() -> None:
    with pytest.raises(InputError, match="smoke/preference_model is trained after stage distill of this very run"):
        distilling(scorer="smoke/preference_model").load()


def test_nothing_is_read_before_it_is_asked_for() -> None:
    loaded = material("constitution=nowhere")
    assert loaded.prompts["harmful"].train
    with pytest.raises(CaiError):
        _ = loaded.constitution
