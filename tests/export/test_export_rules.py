"""The constitution and the recipe beside the data: that they can be run again, and what is said where they changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from export_data import recipe, records, stored

from cai.config import Recipe, load_recipe
from cai.constitution import load_constitution
from cai.export.folder import Export, export_to
from cai.export.source import open_source
from cai.material import Material
from cai.plan import plan
from cai.resources import shipped
from cai.store import RunFolder

PRINCIPLE = {"id": "a", "critique": "Criticise.", "revision": "Revise: no,\n  not: that.", "comparison": "Which?"}
EXAMPLES = yaml.safe_load((shipped("prompts") / "few_shot" / "critique_revision.yaml").read_text("utf-8"))


def export(root: Path, settings: Recipe) -> tuple[Export, Path]:
    run = stored(root / "runs", records(), settings=settings)
    return export_to(open_source(run), root / "out"), root / "out"


def test_the_recipe_is_the_runs_own(tmp_path: Path) -> None:
    settings = recipe(seed=3, revise={"rounds": 3, "round_tags": {1: ["harm"]}}, select={"weights": {2: 0.5}})
    _, folder = export(tmp_path, settings)
    read = load_recipe(str(folder / "recipe.yaml"))
    assert read.model_copy(update={"constitution": "harmless"}) == settings
    assert read.constitution == "constitution.yaml"


@pytest.mark.parametrize("name", ["smoke", "quickstart", "paper"])
def test_a_run_of_it_has_the_same_addresses(tmp_path: Path, name: str) -> None:
    """`cai run FOLDER/recipe.yaml` finds every stage of the run done, but for the report, which shows more."""
    settings = load_recipe(name, ["preference_model.human=[]"])  # what lies on a hub is not asked for in tests
    _, folder = export(tmp_path, settings)
    again = Material(load_recipe(str(folder / "recipe.yaml")), folder)
    found, new = (plan(material, RunFolder(tmp_path, "made")) for material in (Material(settings), again))
    assert {stage: step.digest for stage, step in found.items() if stage != "report"} == {
        stage: step.digest for stage, step in new.items() if stage != "report"
    }


@pytest.mark.parametrize("name", ["harmless", "helpful"])
def test_a_shipped_constitution_is_written_as_it_is(tmp_path: Path, name: str) -> None:
    _, folder = export(tmp_path, recipe(constitution=name))
    assert load_constitution(str(folder / "constitution.yaml")) == load_constitution(name)


def test_what_it_extends_and_its_examples_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shown.yaml").write_text(yaml.safe_dump(EXAMPLES | {"examples": EXAMPLES["examples"][:2]}))
    mine = tmp_path / "mine" / "rules.yaml"
    changed = {"id": "general-harm", "weight": 2.5, "notes": None}
    given = {
        "name": "mine",
        "extends": "harmless",
        "without": ["crime-and-violence"],
        "principles": [changed, PRINCIPLE],
    }
    mine.write_text(yaml.safe_dump(given | {"few_shot": {"revision": "shown.yaml"}}))
    settings = recipe(constitution=str(mine))
    made, folder = export(tmp_path, settings)
    before, after = load_constitution(str(mine)), load_constitution(str(folder / "constitution.yaml"))
    assert after.principles == before.principles and after.extends == after.without == ()
    assert {one.id for one in after.principles} >= {"a", "general-harm"} and "crime-and-violence" not in str(after)
    assert made.notes == () and isinstance(after.few_shot.revision, tuple)
    again = Material(load_recipe(str(folder / "recipe.yaml")), folder)
    assert again.revision_examples == Material(settings).revision_examples


def test_a_constitution_that_changed_since_is_said(tmp_path: Path) -> None:
    mine = tmp_path / "rules.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE]}))
    run = stored(tmp_path / "runs", records(), settings=recipe(constitution=str(mine)))
    mine.write_text(yaml.safe_dump({"name": "other", "principles": [PRINCIPLE | {"critique": "Other words."}]}))
    made = export_to(open_source(run), tmp_path / "out")
    (note,) = made.notes
    assert "constitution.yaml has changed since the run: revise drew" in note
    assert note in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("field", "changed"), [("comparison", True), ("instruction", False)])
def test_the_words_that_the_judge_goes_by_are_those_that_count(tmp_path: Path, field: str, changed: bool) -> None:
    mine = tmp_path / "rules.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE]}))
    run = stored(tmp_path / "runs", records(), settings=recipe(constitution=str(mine)))
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE | {field: "Other words."}]}))
    notes = export_to(open_source(run), tmp_path / "out").notes
    assert ["compare drew" in note for note in notes] == [True] * changed


def test_a_change_that_no_stage_saw_is_none(tmp_path: Path) -> None:
    mine = tmp_path / "rules.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE]}))
    run = stored(tmp_path / "runs", records(), settings=recipe(constitution=str(mine)))
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE | {"notes": "A thought."}]}))
    assert export_to(open_source(run), tmp_path / "out").notes == ()


def test_one_that_can_draw_nothing_now_has_changed(tmp_path: Path) -> None:
    mine = tmp_path / "rules.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE]}))
    run = stored(tmp_path / "runs", records(), settings=recipe(constitution=str(mine)))
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [{"id": "a", "comparison": "Which?"}]}))
    assert "revise drew" in export_to(open_source(run), tmp_path / "out").notes[0]


@pytest.mark.parametrize("left", ["", "principles: [oops"])
def test_one_that_is_gone_or_broken_is_said_and_the_recipe_keeps_its_name(tmp_path: Path, left: str) -> None:
    mine = tmp_path / "rules.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [PRINCIPLE]}))
    run = stored(tmp_path / "runs", records(), settings=recipe(constitution=str(mine)))
    mine.write_text(left) if left else mine.unlink()
    made = export_to(open_source(run), tmp_path / "out")
    assert "constitution.yaml is missing" in made.notes[0]
    assert not (tmp_path / "out" / "constitution.yaml").exists()
    assert load_recipe(str(tmp_path / "out" / "recipe.yaml")).constitution == str(mine)
    text = (tmp_path / "out" / "README.md").read_text("utf-8").replace("\\", "")
    assert "Constitution: rules.yaml" in text and "constitution.yaml` beside" not in text and str(tmp_path) not in text
