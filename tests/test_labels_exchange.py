"""Pairs out to Argilla and Label Studio, labels back: in their documented forms, blind, every mistake named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cai.errors import InputError
from cai.labels import HumanLabel, seated_first
from cai.labels_exchange import LABEL_STUDIO_CONFIG, read_labels, to_argilla, to_label_studio
from cai.records import Comparison, Completion, Message, Prompt, Verdict


def completion(text: str) -> Completion:
    return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=0)


def comparison(name: str) -> Comparison:
    asked = Prompt.of((Message(role="user", content=name),), "harmful", "test")
    verdict = Verdict(state="parsed", p_a=0.123456)
    given: dict[str, Any] = {"id": f"{asked.id}/0-1", "prompt": asked, "principles": ("secret-rule",)}
    return Comparison(**given, a=completion(f"{name} a"), b=completion(f"{name} b"), verdict=verdict)


PAIRS = [comparison(f"Question {n}?") for n in range(8)]


def argilla_back(side: Callable[[int], Any]) -> str:
    """What Argilla's `records.to_json` gives once people have answered."""
    rows = to_argilla(PAIRS, "made")
    for n, row in enumerate(rows):
        row["responses"] = {
            "better": [{"value": side(n), "user_id": "5a4c1d2e-0000-4000-8000-000000000001"}],
            "note": [{"value": f"note {n}", "user_id": "5a4c1d2e-0000-4000-8000-000000000001"}],
        }
        row |= {"status": "completed", "_server_id": None}
    return json.dumps(rows)


def label_studio_back(side: Callable[[int], Any], kind: str = "choices") -> str:
    """What Label Studio's JSON export gives once people have answered."""
    tasks = to_label_studio(PAIRS, "made")
    for n, task in enumerate(tasks):
        value = {"choices": [side(n)]} if kind == "choices" else {"selected": {"first": "left"}.get(side(n), "right")}
        result = [{"id": "x1", "from_name": "better", "to_name": "prompt", "type": kind, "value": value}]
        result.append(
            {"id": "x2", "from_name": "note", "to_name": "prompt", "type": "textarea", "value": {"text": ["n"]}}
        )
        done = {"id": n, "completed_by": 7, "was_cancelled": False, "lead_time": 4.25, "result": result}
        task |= {"id": n, "annotations": [done], "predictions": []}
    return json.dumps(tasks)


@pytest.mark.parametrize("writer", [to_argilla, to_label_studio])
def test_nothing_that_the_judge_said_goes_out(writer: Callable[..., list[dict[str, Any]]]) -> None:
    text = json.dumps(writer(PAIRS, "made"))
    assert "0.123" not in text and "secret-rule" not in text
    for n in range(8):
        assert f"Question {n}? a" in text and f"Question {n}? b" in text


def test_a_record_of_argilla_has_the_parts_that_its_json_has() -> None:
    row = to_argilla(PAIRS, "made")[0]
    assert row.keys() == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    first = seated_first(PAIRS[0].id, "")
    assert row["fields"] == {
        "prompt": "Question 0?",
        "first": f"Question 0? {first}",
        "second": f"Question 0? {'b' if first == 'a' else 'a'}",
    }


def test_the_labelling_interface_names_the_fields_of_a_task() -> None:
    task = to_label_studio(PAIRS, "made")[0]
    for field in ("prompt", "first", "second"):
        assert f"${field}" in LABEL_STUDIO_CONFIG and field in task["data"]


@pytest.mark.parametrize("back", [argilla_back, label_studio_back, lambda side: label_studio_back(side, "pairwise")])
def test_sides_come_back_as_answers(back: Callable[[Callable[[int], str]], str]) -> None:
    found = read_labels(back(lambda n: "first" if n % 2 else "second"), "back.json")
    for n, (one, label) in enumerate(zip(PAIRS, found, strict=True)):
        first = seated_first(one.id, "")
        second = "b" if first == "a" else "a"
        assert (label.comparison, label.choice, label.first) == (one.id, first if n % 2 else second, first)
    assert {"a", "b"} == {label.choice for label in found}


def test_who_how_long_and_why_come_back_too() -> None:
    ours = read_labels(label_studio_back(lambda n: "tie"), "back.json")[0]
    assert (ours.labeller, ours.seconds, ours.note, ours.choice) == ("user-7", 4.25, "n", "tie")
    theirs = read_labels(argilla_back(lambda n: "tie"), "back.json")[3]
    assert (theirs.labeller, theirs.note) == ("5a4c1d2e-0000-4000-8000-000000000001", "note 3")


def test_a_cancelled_task_is_a_skip_and_an_empty_answer_is_none() -> None:
    tasks = json.loads(label_studio_back(lambda n: "first"))
    tasks[0]["annotations"][0] |= {"was_cancelled": True, "result": []}
    tasks[1]["annotations"][0]["result"] = []
    tasks[2]["annotations"][0]["completed_by"] = {"id": 3, "email": "ana@example.org"}
    found = read_labels(json.dumps(tasks), "back.json")
    assert (len(found), found[0].choice, found[1].labeller) == (7, "skip", "ana@example.org")
    assert len(read_labels(argilla_back(lambda n: None if n else "first"), "back.json")) == 1


def test_argilla_may_have_dropped_the_metadata() -> None:
    rows = json.loads(argilla_back(lambda n: "first"))
    bare = json.dumps([{**row, "metadata": {}} for row in rows])
    assert read_labels(bare, "back.json") == read_labels(json.dumps(rows), "back.json")


def test_our_own_lines_come_back_as_they_were() -> None:
    labels = [
        HumanLabel.of("1/0-1", "ana", "a", first="b", note="x\ny", seconds=2.0),
        HumanLabel.of("2", "ben", "skip"),
    ]
    assert read_labels("".join(f"{one.model_dump_json()}\n" for one in labels), "labels.jsonl") == labels


ANSWERED = (
    '[{"fields": {}, "responses": {"better": [{"value": "first", "user_id": "x"}]}, "metadata": {"shown_first": "a"}, '
    '"id": "1"}]'
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no label"),
        ("[]", "holds no label"),
        ("{", r"back\.json:1: not JSON"),
        ("[1]", r"back\.json: record 1: expected an object, found int"),
        ('{"comparison": "1", "labeller": "ana", "choice": "c"}', r"back\.json:1: not a label"),
        ('{"comparison": "1", "labeller": "../x", "choice": "a"}', "no name of a labeller"),
        ('{"comparison": "1", "labeller": "ana", "choice": "a", "more": 1}', r"back\.json:1: not a label"),
        ('[{"annotations": [{"result": []}]}]', r"record 1: not a label \(no 'data'\)"),
        (ANSWERED.replace("first\", \"user", "third\", \"user"), r"expected one of first, .*found 'third'"),
        (ANSWERED.replace('"a"', '"c"'), r"record 1: not a label"),
        ('{"fields": 3}', r"back\.json:1: not a label"),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_labels(text, "back.json")
