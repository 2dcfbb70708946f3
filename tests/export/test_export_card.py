"""The card: what its header tells the hub, what it counts, and that nothing in it can act."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_data import HOSTILE, answer, compared, completion, prompt, recipe, records, revision, stored
from huggingface_hub import DatasetCard

from cai.config import Recipe
from cai.export.card import CARES
from cai.export.folder import export_to
from cai.export.source import open_source
from cai.export.tables import TABLES
from cai.identity import digest, identity_of
from cai.records import Record, Verdict


def card(
    root: Path, found: Mapping[str, Sequence[Record]] | None = None, settings: Recipe | None = None, **given: Any
) -> str:
    run = stored(root / "runs", records() if found is None else found, settings=settings, **given)
    export_to(open_source(run), root / "out")
    return (root / "out" / "README.md").read_text("utf-8")


def header(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_hub_reads_the_header(tmp_path: Path) -> None:
    text = card(tmp_path)
    read: Any = DatasetCard(text).data
    assert read.license == "other" and "constitutional-ai" in read.tags and read.size_categories == ["n<1K"]
    splits = {one["config_name"]: [file["split"] for file in one["data_files"]] for one in header(text)["configs"]}
    assert splits == {table.name: list(table.splits) for table in TABLES}
    for one in header(text)["configs"]:
        assert all((tmp_path / "out" / file["path"]).is_file() for file in one["data_files"])


def test_it_says_what_made_the_data(tmp_path: Path) -> None:
    settings = recipe(seed=7, description="Why it was made.")
    text = card(tmp_path, settings=settings)
    for said in (
        "made",
        "tiny-random",
        "26.9k parameters",
        "scripted",
        "Seed: 7",
        "Why it was made.",
        "arXiv:2212.08073",
    ):
        assert said in text, said
    assert digest(identity_of(settings)) in text
    assert "| revise | `revise-d` | 2026-01-02T03:04:05+0000 | 0.0.1 |" in text


def test_it_counts_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    text = card(tmp_path)
    for table, split, rows in (("sl", "train", 5), ("chains", "train", 6), ("preferences", "not_parsed", 4)):
        assert f"| `{table}` | `{split}` | {rows} |" in text
    assert "- revise: items that the model could not answer: 2" in text
    for state in ("unparsed", "refused", "error", "skipped"):
        assert f"- pairs in not\\_parsed, {state}: 1" in text


def test_it_counts_what_training_left_out(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", {**records(), "sft": [], "preference_model": []})
    run.steps["sft"].finish({"too_long": 3, "left_out": {"repetition": 4}})
    run.steps["preference_model"].finish({"too_long": 5})
    export_to(open_source(run), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text("utf-8").replace("\\", "")
    assert "rows of sl that SL-CAI did not learn from, repetition: 4" in text
    assert "rows of sl that SL-CAI did not learn from, longer than max_length: 3" in text
    assert "pairs that the preference model did not learn from, longer than max_length: 5" in text


def test_it_names_every_column_of_what_is_there(tmp_path: Path) -> None:
    text = card(tmp_path, {name: found for name, found in records().items() if name != "compare"})
    columns = text.split("## Columns")[1]
    for table in TABLES:
        there = table.name != "preferences"
        assert (f"### {table.name}\n" in columns) is there
        assert all(f"| `{column.name}` |" in columns for column in table.columns if there)


def test_it_says_what_the_data_is_not_good_for(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert all(care in text for care in CARES)
    assert "No model took part." in text and "can't judge" in text
    assert "the same seat won twice in 0%" in text  # an even judge


def test_labels_by_construction_are_said_to_be_no_judge_s(tmp_path: Path) -> None:
    mine = tmp_path / "rules.yaml"
    words = {"critique": "C", "revision": "R", "instruction": "Be kind.", "opposite": "Be cruel."}
    mine.write_text(yaml.safe_dump({"name": "mine", "principles": [{"id": "a", **words}]}))
    constructed = {"answers": {"type": "contrastive", "label": "construction"}}
    made = {"compare": [compared(prompt("made"), Verdict(state="parsed", p_a=1.0), source="contrastive")]}
    text = card(tmp_path, made, recipe(constitution=str(mine), compare=constructed))
    assert "No judge gave the labels." in text and "labelled by that alone" in text
    assert "can't judge" not in text and "judges the pairs" not in text and "the judge gave" not in text
    assert "and label was written by a model" in card(tmp_path / "judged")


def test_it_measures_no_judge_where_none_was_asked(tmp_path: Path) -> None:
    assert "the judge gave" not in card(tmp_path, {name: records()[name] for name in ("respond", "revise")})


def test_nothing_that_a_model_wrote_is_in_it(tmp_path: Path) -> None:
    chain = [revision(prompt("PROMPT"), round_, response=completion("REPLY"), critique=None) for round_ in range(3)]
    text = card(tmp_path, {"respond": [answer(prompt("PROMPT", "helpful"), "REPLY")], "revise": chain})
    assert "REPLY" not in text and "PROMPT" not in text


@pytest.mark.parametrize("field", ["description", "constitution"])
def test_what_a_user_wrote_is_text_and_no_markup(tmp_path: Path, field: str) -> None:
    rules = tmp_path / "rules.yaml"
    principles = [{"id": "a", "critique": "C", "revision": "R", "comparison": "Q"}]
    said = {"name": "name", "source": HOSTILE if field == "constitution" else "", "principles": principles}
    rules.write_text(yaml.safe_dump(said), "utf-8")
    changes = {"description": HOSTILE} if field == "description" else {}
    text = card(tmp_path, settings=recipe(constitution=str(rules), **changes))
    body = text.split("---\n", 2)[2]
    assert header(text)["license"] == "other" and "\nlicense" not in body
    assert "javascript:1" in body  # it is quoted
    assert not re.search(r"(?<!\\)<(img|/script)|(?<!\\)\]\(javascript|\x1b|\u202e", body)
    assert "{{ 1 }}" not in body and r"\{\{ 1 \}\}" in body


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    text = card(tmp_path, waiting=("compare", "evaluate"))
    assert "preferences is missing: compare not done" in text
    assert "prompts has no held-out ones: evaluate not done" in text


def test_no_path_of_this_machine_is_in_it(tmp_path: Path) -> None:
    named = {"models": {"assistant": str(tmp_path / "my-model")}, "prompts": {"harmful": str(tmp_path / "p.txt")}}
    text = card(tmp_path, settings=recipe(**named)).replace("\\", "")
    assert "| assistant | my-model |" in text and str(tmp_path) not in text
