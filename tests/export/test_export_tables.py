"""What the rows of each table say of the records, and what `datasets` reads back from the files."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from export_data import HOSTILE, answer, compared, completion, distilled, prompt, recipe, records, revision, stored

from cai.export.folder import export_to
from cai.export.source import open_source
from cai.export.tables import TABLES, path_of
from cai.feedback_config import CalibrationConfig
from cai.records import Comparison, Reading, Record, Revision, Verdict
from cai.selection import select
from cai.verdicts import combined, of_labels

datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    return exported(root, records())


def exported(root: Path, found: Mapping[str, Sequence[Record]], **changes: Any) -> Path:
    run = stored(root / "runs", found, settings=recipe(**changes))
    export_to(open_source(run), root / "out")
    return root / "out"


def load(folder: Path, table: str, split: str = "train") -> list[dict[str, Any]]:
    loaded = datasets.load_dataset(str(folder), table, split=split, cache_dir=str(folder.parent / "cache"))
    return list(loaded)  # type: ignore[arg-type]


def test_every_table_loads_by_its_name_without_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert set(datasets.get_dataset_config_names(str(folder))) == {table.name for table in TABLES}
    for table in TABLES:
        loaded: Any = datasets.load_dataset(str(folder), table.name, cache_dir=str(folder.parent / "cache"))
        assert set(loaded) == set(table.splits)
        for split in table.splits:
            assert loaded[split].column_names == [column.name for column in table.columns]


def test_sl_is_the_conversation_with_the_answer(folder: Path) -> None:
    rows = load(folder, "sl")
    two = next(row for row in rows if row["critique"] is None and row["stage"] == "revise")
    assert two["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": HOSTILE},
    ]
    assert two["principles"] == ["kind", "honest"] and two["round"] == 1 and two["kind"] == "harmful"
    helpful = [row for row in rows if row["stage"] == "respond"]
    assert [row["messages"][-1]["content"] for row in helpful] == [HOSTILE, ""]
    assert all(row["round"] is None and row["kind"] == "helpful" and not row["principles"] for row in helpful)
    assert {row["source"] for row in rows} == {f"questions:{name}" for name in ("one", "two", "help", "once more")}


def test_sl_has_the_runs_own_revisions_and_no_first_answers(tmp_path: Path) -> None:
    asked = prompt("one")
    chain = [revision(asked, 0), revision(asked, 1), revision(asked, 1, variant="first-2", id=f"first-2/{asked.id}/1")]
    folder = exported(tmp_path, {"respond": [], "revise": chain[:2], "ablate": chain[2:]})
    assert [row["round"] for row in load(folder, "sl")] == [1]
    assert [(row["variant"], row["round"]) for row in load(folder, "chains")] == [("", 0), ("", 1), ("first-2", 1)]


SELECTIONS = [
    {},
    {"rounds": "last"},
    {"rounds": (2, 3)},
    {"weights": {1: 2.5, 2: 0.0, 3: 0.4}},
    {"helpful_share": 0.5},
    {"drop": ()},
    {"drop": ("repetition", "truncated"), "helpful_share": 0.2, "weights": {3: 3.0}},
]


@pytest.mark.parametrize("rule", SELECTIONS)
def test_used_and_copies_are_what_the_recipe_selects(tmp_path: Path, rule: dict[str, Any]) -> None:
    flags = [(), ("repetition",), ("truncated",), ("stopped",)]
    texts = ["", "text"]
    revisions = [
        revision(
            prompt(f"p{place}"), round_, flags=flags[(place + round_) % 4], response=completion(texts[place % 4 > 0])
        )
        for place in range(9)
        for round_ in range(4)
    ]
    answers = [answer(prompt(f"h{place}", "helpful"), texts[place % 3 > 0]) for place in range(7)]
    settings = recipe(select=rule, seed=3)
    chosen = [row.id for row in select(revisions, answers, [], settings.select, 3).rows]
    folder = exported(tmp_path, {"respond": answers, "revise": revisions}, select=rule, seed=3)
    counted = {row["prompt_id"] + (f"/{row['round']}" if row["round"] else ""): row for row in load(folder, "sl")}
    assert {name: row["copies"] for name, row in counted.items() if row["used"]} == {
        name: chosen.count(name) for name in chosen
    }
    assert sum(row["copies"] for row in counted.values()) == len(chosen) > 0
    assert all(row["used"] == bool(row["copies"]) for row in counted.values())


def test_distilled_answers_are_rows_of_sl(tmp_path: Path) -> None:
    rows = [distilled(prompt("better"), 1.0), distilled(prompt("worse"), -1.0)]
    settings = {"distill": {"preference_model": "anything"}}
    folder = exported(tmp_path, {"respond": [], "revise": [], "distill": rows}, **settings)
    found = load(folder, "sl")
    assert [(row["stage"], row["used"], row["messages"][-1]["content"]) for row in found] == [
        ("distill", True, "Guarded."),
        ("distill", False, "Guarded."),
    ]


def test_one_id_in_two_stages_is_not_one_row(tmp_path: Path) -> None:
    """A prompt may stand in both files of prompts: its answer and its distilled answer then have the same id."""
    asked = prompt("both")
    found: dict[str, list[Record]] = {"respond": [answer(asked)], "revise": [], "distill": [distilled(asked, -1.0)]}
    folder = exported(tmp_path, found, distill={"preference_model": "anything"})
    assert {row["stage"]: row["copies"] for row in load(folder, "sl")} == {"respond": 1, "distill": 0}


def test_chains_hold_all_that_is_stored(folder: Path) -> None:
    """Put together again from its row, each revision is the record that was stored."""
    assert [whole(row) for row in load(folder, "chains")] == records()["revise"]


def whole(row: dict[str, Any]) -> Revision:
    asked = {"id": row["prompt_id"], "kind": row["kind"], "source": row["source"], "messages": row["prompt"]}
    check = row["check"] and {one["label"]: one["logprob"] for one in row["check"]}
    kept = {key: value for key, value in row.items() if key not in ("prompt_id", "kind", "source")}
    return Revision.model_validate({**kept, "prompt": asked, "check": check})


def test_a_pair_is_named_by_its_verdict(folder: Path) -> None:
    rows = load(folder, "preferences")
    told = [(row["p_a"], row["label"], row["chosen"], row["rejected"]) for row in rows]
    a, b, hostile = ([{"role": "assistant", "content": text}] for text in ("Answer a.", "Answer b.", HOSTILE))
    first, second = 1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(1.0))
    assert told == [
        (pytest.approx(first), pytest.approx(first), a, b),
        (pytest.approx(second), pytest.approx(1 - second), b, hostile),
        (0.5, 0.5, a, b),
    ]
    assert rows[1]["prompt"][0] == {"role": "system", "content": "Be brief."}
    for row, record in zip(rows, records()["compare"], strict=False):
        assert isinstance(record, Comparison)
        assert read_back(row) == record.verdict.readings
        assert (row["id"], row["a"], row["b"]) == (record.id, record.a.text, record.b.text)
        assert (row["principles"], row["paired"], row["p_raw"]) == (["kind"], "samples", row["p_a"])


def read_back(row: Mapping[str, Any]) -> tuple[Reading, ...]:
    """The readings of a row as the record has them."""
    return tuple(
        Reading.model_validate({**one, "logprobs": {lp["label"]: lp["logprob"] for lp in one["logprobs"]}})
        for one in row["readings"]
    )


def test_whatever_a_judge_was_asked_is_read_back_as_it_was(tmp_path: Path) -> None:
    thought = of_labels(
        Reading(first="b", principle="kind", logprobs={" (A)": -0.1, " (B)": -3.0}, reply=completion("Thinking."))
    )
    declined = Reading(first="a", principle="calm", reply=completion("No."), state="refused", reason="it declines")
    alone = Reading(first=None, principle="calm", logprobs={"a under": -9.0, "b against": -4.5}, p_a=0.75)
    clamped = combined([thought], CalibrationConfig(), (0.4, 0.6))
    made = [
        compared(prompt("cot"), clamped),
        compared(prompt("alone"), combined([alone], CalibrationConfig()), principles=("kind", "calm"), source="rounds"),
        compared(prompt("made"), Verdict(state="parsed", p_a=1.0), source="contrastive"),
        compared(prompt("declined"), combined([declined, thought], CalibrationConfig())),
    ]
    folder = exported(tmp_path, {"compare": made})
    rows = load(folder, "preferences") + load(folder, "preferences", "not_parsed")
    assert [read_back(row) for row in rows] == [one.verdict.readings for one in made]
    assert [(row["p_a"], row["p_raw"]) for row in rows] == [(one.verdict.p_a, one.verdict.p_raw) for one in made]
    assert rows[0]["p_raw"] < rows[0]["p_a"] == 0.4
    assert [row["paired"] for row in rows] == ["samples", "rounds", "contrastive", "samples"]
    assert rows[1]["principles"] == ["kind", "calm"]


def test_a_pair_without_a_verdict_stands_apart(folder: Path) -> None:
    rows = load(folder, "preferences", "not_parsed")
    assert [row["state"] for row in rows] == ["unparsed", "refused", "error", "skipped"]
    for row in rows:
        assert [row[name] for name in ("chosen", "rejected", "label", "p_a")] == [None] * 4
        assert (row["a"], row["b"], row["reason"]) == ("a", "b", "a reason")
    assert rows[0]["readings"][0]["logprobs"][1] == {"label": " (B)", "logprob": -math.inf}


def test_each_prompt_stands_once(folder: Path) -> None:
    names = {
        split: [row["prompt"][-1]["content"] for row in load(folder, "prompts", split)] for split in TABLES[3].splits
    }
    assert names == {"train": ["one", "two", "three", "help", "once more"], "held_out": ["held"]}


def test_a_split_without_rows_has_no_file(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"respond": [answer(prompt("h", "helpful"))], "revise": []})
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert files == {"sl/train.parquet", "prompts/train.parquet"}
    assert set(datasets.get_dataset_config_names(str(folder))) == {"sl", "prompts"}


def test_the_mark_counts_the_rows(folder: Path) -> None:
    mark = json.loads((folder / "export.json").read_text("utf-8"))
    for table in TABLES:
        for split in table.splits:
            assert mark["rows"][path_of(table, split)] == len(load(folder, table.name, split))
    assert mark["steps"]["revise"] == "revise-digest"
