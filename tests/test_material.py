"""What a recipe points at is read and checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.config import load_recipe
from cai.errors import CaiError, InputError
from cai.material import Material


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
    loaded = material("revise.few_shot=2", "compare.few_shot=3")
    assert loaded.revision_examples == material("revise.few_shot=5").revision_examples[:2]
    assert loaded.comparison_examples == material("compare.few_shot=4").comparison_examples[:3]
    assert material("revise.few_shot=0").revision_examples == ()


def test_a_dialect_is_read_once_and_from_the_folder_of_the_recipe(tmp_path: Path) -> None:
    loaded = material()
    models = loaded.recipe.models
    assert loaded.templates(models.assistant) is loaded.templates(models.pretrained)
    with pytest.raises(InputError, match=r"mine/chat/dialect\.yaml"):
        material("templates=mine").templates(models.assistant)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("constitution=nowhere", "no file 'nowhere' and nothing of that name ships in constitutions/"),
        ("prompts.harmful=nowhere.txt", "no file 'nowhere.txt' and nothing of that name ships in prompts/"),
        ("prompts.helpful=empty.txt", "empty.txt: holds no prompts"),
        ("revise.few_shot=99", "99 examples asked for, few_shot/critique_revision holds 5"),
        ("compare.few_shot=99", "99 examples asked for, few_shot/comparison holds 4"),
        ("compare.few_shot_file=mine.yaml", "mine.yaml:1: examples: required and missing"),
        ("templates=nowhere", "nowhere/chat/dialect.yaml: cannot be read"),
        ("constitution=one-sided.yaml", "constitution 'one-sided': no principle serves revision"),
    ],
)
def test_every_part_is_checked_before_anything_runs(tmp_path: Path, override: str, told: str) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    (tmp_path / "one-sided.yaml").write_text("name: one-sided\nprinciples: [{id: a, comparison: The kinder one}]\n")
    assert told in complaint(override)


@pytest.mark.parametrize(("held_out", "what"), [("0.0001", "evaluation"), ("0.9999", "training")])
def test_a_split_that_leaves_no_prompts_says_what_to_change(tmp_path: Path, held_out: str, what: str) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\nthree\n")
    told = complaint("prompts.harmful=few.txt", f"prompts.held_out={held_out}")
    assert told.startswith("prompts.harmful: few.txt has 3 prompts and leaves none for " + what)
    assert "add prompts or change held_out" in told


def test_nothing_is_read_before_it_is_asked_for() -> None:
    loaded = material("constitution=nowhere")
    assert loaded.prompts["harmful"].train
    with pytest.raises(CaiError):
        _ = loaded.constitution
