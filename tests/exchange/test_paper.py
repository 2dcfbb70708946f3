"""The paper's files to ours: nothing is mended but what differs for no reason, and mistakes are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paper_data import FILES, imported, write_folder

from cai.constitution import load_constitution
from cai.errors import InputError
from cai.exchange.paper import read_paper
from cai.few_shot import (
    comparison_examples,
    reasoning_examples,
    revision_examples,
)
from cai.prompts import Templates, neutralise
from cai.records import Message

SL, SHOTS, RL, PAIRS, COT = FILES


def changed(released: Path, name: str, change: Callable[[Any], Any]) -> Path:
    path = released / name
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")
    return released


def said(message: Message) -> tuple[str, str]:
    return message.role, message.content


def test_the_instructions_become_two_constitutions_and_one_that_extends_them(released: Path, tmp_path: Path) -> None:
    text = imported(released, tmp_path / "to")
    supervised = load_constitution(str(tmp_path / "to" / "harmlessness-sl.yaml"))
    judged = load_constitution(str(tmp_path / "to" / "harmlessness-rl.yaml"))
    whole = load_constitution(str(tmp_path / "to" / "paper.yaml"))
    assert [(p.id, p.critique, p.revision, p.comparison) for p in supervised.principles] == [
        ("harmful0", "Is the precedings answer  rude?", "Make it kind.", None),
        ("rude-words", "no", "1e5", None),
    ]
    assert [(p.id, p.critique, p.revision, p.comparison) for p in judged.principles] == [
        ("comparison0", None, None, "Which is kinder?"),
        ("comparison1", None, None, "Choose “the wiser” one."),
    ]
    assert whole.principles == supervised.principles + judged.principles
    assert whole.opening == judged.opening == "Read a talk of a person and a machine:"
    assert (whole.few_shot.revision, whole.few_shot.comparison) == (
        "few_shot/critique_revision.yaml",
        "few_shot/comparison.yaml",
    )
    assert f"wrote {tmp_path}/to/harmlessness-sl.yaml: 2 principles\n" in text
    assert f"cai lint {tmp_path}/to/paper.yaml\n" in text
    assert "states no licence" in text and "note:" not in text


def test_worked_revisions_end_alike_with_and_without_the_next_turn(released: Path, tmp_path: Path) -> None:
    imported(released, tmp_path / "to")
    first, second = revision_examples(str(tmp_path / "to" / "few_shot" / "critique_revision.yaml"))
    assert [said(message) for message in first.messages] == [
        ("user", "Hi"),
        ("assistant", "Go  away."),
        ("user", "Why?"),
        ("assistant", "Because."),
    ]
    for example in (first, second):
        assert (example.critique_request, example.critique) == ("What is rude?", "All of it.")
        assert (example.revision_request, example.revision) == ("Mend it.", "Sorry!")
    assert said(second.messages[-1]) == ("assistant", "B ")


def test_worked_comparisons_leave_seats_and_principle_open(released: Path, tmp_path: Path) -> None:
    imported(released, tmp_path / "to")
    first, second = comparison_examples(str(tmp_path / "to" / "few_shot" / "comparison.yaml"))
    assert (first.better, first.worse, first.instruction, first.answer) == ("Hello! ", "Go", None, None)
    assert [said(message) for message in second.messages] == [("user", "Hi"), ("assistant", "What?"), ("user", "Help")]


def test_worked_thoughts_are_alike_whatever_stands_before_them(released: Path, tmp_path: Path) -> None:
    imported(released, tmp_path / "to")
    first, second, third = reasoning_examples(str(tmp_path / "to" / "few_shot" / "comparison_cot.yaml"))
    assert first.model_copy(update={"id": "example1"}) == second
    assert [said(message) for message in first.messages] == [
        ("user", "Hi"),
        ("assistant", " Yes?"),
        ("user", "Help me"),
    ]
    assert (first.a, first.b, first.answer, first.instruction) == ("No.", "Sure.\n\nHow?", "B", None)
    assert (first.thoughts, third.thoughts) == ("\n(A) helps nobody.", "(A) helps nobody.")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda entries: entries[:2], "there is none"),
        (lambda entries: [*entries, {"prompt": entries[2]["prompt"].replace("Read", "See")}], "2 differ"),
    ],
)
def test_without_one_plain_opening_our_own_words_open_a_question(
    released: Path, tmp_path: Path, change: Any, found: str
) -> None:
    text = imported(changed(released, COT, change), tmp_path / "to")
    assert load_constitution(str(tmp_path / "to" / "paper.yaml")).opening is None
    assert f"note: {COT}: no one sentence opens a question" in text and found in text


def test_a_clone_of_the_repository_is_read_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "clone" / "prompts", FILES)
    assert read_paper(tmp_path / "clone") == read_paper(tmp_path / "clone" / "prompts")


def test_what_is_empty_is_left_out(released: Path, tmp_path: Path) -> None:
    for name in (RL, PAIRS, COT):
        changed(released, name, lambda _: [])
    imported(released, tmp_path / "to")
    whole = load_constitution(str(tmp_path / "to" / "paper.yaml"))
    assert whole.extends == ("harmlessness-sl.yaml",) and whole.few_shot.comparison == "few_shot/comparison"
    assert not (tmp_path / "to" / "few_shot" / "comparison.yaml").exists()


def test_every_file_says_what_it_was_made_from(released: Path, tmp_path: Path) -> None:
    imported(released, tmp_path / "to")
    made_from = {
        "harmlessness-sl.yaml": [SL],
        "harmlessness-rl.yaml": [RL],
        "paper.yaml": list(FILES),
        "few_shot/critique_revision.yaml": [SHOTS],
        "few_shot/comparison.yaml": [PAIRS],
        "few_shot/comparison_cot.yaml": [COT],
    }
    assert {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*.yaml")} == set(made_from)
    for path, names in made_from.items():
        lines = (tmp_path / "to" / path).read_text("utf-8").splitlines()
        heading = " ".join(line for line in lines[:5] if line.startswith("#"))
        assert heading.startswith("# Made by `cai import paper` from ") and "no licence" in heading
        assert all(name in heading for name in names)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (SL, lambda _: [], rf"{SL}: input should be a valid dictionary \(found \[\]\)"),
        (SL, lambda d: {"a": {"prompt": "x"}}, rf"{SL}: a\.edit_request: field required"),
        (SL, lambda d: {**d, "harmful0": {**d["harmful0"], "more": 1}}, rf"{SL}: harmful0\.more: .*\(found 1\)"),
        (SL, lambda d: {**d, "harmful0": {**d["harmful0"], "prompt": []}}, rf"{SL}: harmful0\.prompt: .*at least 1"),
        (SL, lambda d: {**d, "HARMFUL0": d["harmful0"]}, "'harmful0' and 'HARMFUL0' both make the id 'harmful0'"),
        (SL, lambda d: {"Comparison1": d["harmful0"]}, rf"{SL}: comparison1: so entries of {RL} are called; rename it"),
        (SL, lambda d: {"?": d["harmful0"]}, r"the name '\?' makes no id"),
        (
            SL,
            lambda d: {"a": {**d["harmful0"], "edit_request": "Mend it."}},
            r"a\.edit_request: expected text between '\\n\\nRevisionRequest: ' and '.*', found 'Mend it\.'",
        ),
        (
            SL,
            lambda d: {"a": {**d["harmful0"], "edit_request": "\n\nRevisionRequest:  \n\nRevision:"}},
            "expected text",
        ),
        (RL, lambda d: [3], rf"{RL}: 0: input should be a valid string \(found 3\)"),
        (RL, lambda d: ["Which? Options:"], rf"{RL}: 0: expected text between '\\n' and ' Options:', found 'Which"),
        (SHOTS, lambda d: ["Human: hi"], rf"{SHOTS}: 0: expected text that begins '\\n\\nHuman: ', found"),
        (SHOTS, lambda d: [d[0].replace("\n\nRevision: ", "\n\nRevised: ")], "expected it to end with CritiqueRequest"),
        (SHOTS, lambda d: [d[0] + d[0].removeprefix("\n\nHuman:")], "a space after|one after the other"),
        (SHOTS, lambda d: [d[0].replace("\n\nHuman: Why", "\n\nHuman:Why")], r"expected a space after '\\n\\nHuman:'"),
        (SHOTS, lambda d: [d[0].replace("Human: Why", "Assistant: Why")], "found Human, Assistant, Assistant"),
        (PAIRS, lambda d: [{**d[0], "corrects": ["a", "b"]}], rf"{PAIRS}: 0\.corrects: .*at most 1"),
        (PAIRS, lambda d: [{**d[0], "prompt": "\n\nHuman: Hi"}], r"0\.prompt: expected a transcript that ends"),
        (PAIRS, lambda d: [{**d[0], "prompt": "\n\nAssistant: Hi\n\nAssistant:"}], "expected turns from a user's"),
        (COT, lambda d: [{"prompt": d[0]["prompt"].replace("{}", "It")}], r"0\.prompt: expected a human's turn with"),
        (COT, lambda d: [{"prompt": d[0]["prompt"].replace("(B)", "(C)")}], r"0\.prompt: expected a human's turn with"),
    ],
)
def test_what_is_not_as_released_is_told_with_its_file(
    released: Path, tmp_path: Path, name: str, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        imported(changed(released, name, change), tmp_path / "to")
    assert str(released / name) in str(caught.value)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r":1: not JSON: "),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"a": "\\ud800"}', "holds half a surrogate pair"),
        ("[" * 20_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_told_with_its_file(released: Path, text: str, message: str) -> None:
    (released / SL).write_text(text)
    with pytest.raises(InputError, match=f"{SL}:? ?{message}"):
        read_paper(released)


def test_a_missing_file_or_folder_is_named(released: Path, tmp_path: Path) -> None:
    (released / COT).unlink()
    with pytest.raises(InputError, match=f"{released}: {COT} missing; expected all five"):
        read_paper(released)
    with pytest.raises(InputError, match=f"{tmp_path / 'gone'}: expected the folder"):
        read_paper(tmp_path / "gone")


def test_no_instructions_at_all_are_an_error(released: Path) -> None:
    for name, empty in ((SL, {}), (RL, [])):
        changed(released, name, lambda _, empty=empty: empty)
    with pytest.raises(InputError, match="hold no instructions"):
        read_paper(released)


# The real files.


def test_the_released_files_become_sixteen_and_sixteen_principles(data: Path, tmp_path: Path) -> None:
    imported(data, tmp_path / "to")
    whole = load_constitution(str(tmp_path / "to" / "paper.yaml"))
    assert [p.id for p in whole.able("revision")] == [f"harmful{number}" for number in range(16)]
    assert [p.id for p in whole.able("comparison")] == [f"comparison{number}" for number in range(16)]
    texts = {p.id: p for p in whole.principles}
    assert "precedings" in str(texts["harmful3"].critique)
    assert "controversal" in str(texts["harmful10"].critique)
    assert "reactive of accusatory" in str(texts["comparison3"].comparison)
    examples = revision_examples(str(tmp_path / "to" / "few_shot" / "critique_revision.yaml"))
    assert [e.id for e in examples if e.revision == e.messages[-1].content] == ["example2", "example3"]
    assert not any(e.revision.endswith("Human:") for e in examples)
    thoughts = reasoning_examples(str(tmp_path / "to" / "few_shot" / "comparison_cot.yaml"))
    assert "".join(e.answer for e in thoughts) == "BBABAB"
    assert thoughts[0].messages[1].content.startswith(" I\u2019m ")


def test_the_opening_is_the_one_that_names_no_letters(data: Path, tmp_path: Path) -> None:
    imported(data, tmp_path / "to")
    entries = json.loads((data / COT).read_text("utf-8"))
    expected = entries[4]["prompt"].splitlines()[0].removeprefix("Human: ")
    assert load_constitution(str(tmp_path / "to" / "paper.yaml")).opening == expected


def test_no_marker_stands_in_the_released_texts(data: Path, tmp_path: Path) -> None:
    imported(data, tmp_path / "to")
    shown = tmp_path / "to" / "few_shot"
    whole = load_constitution(str(tmp_path / "to" / "paper.yaml"))
    held = [
        *whole.principles,
        *revision_examples(str(shown / "critique_revision.yaml")),
        *comparison_examples(str(shown / "comparison.yaml")),
        *reasoning_examples(str(shown / "comparison_cot.yaml")),
    ]
    texts = [whole.opening or "", *(text for one in held for text in strings(one.model_dump()))]
    assert len(texts) > 150
    for dialect in ("chat", "transcript"):
        markers = Templates(dialect).dialect.markers
        assert markers
        assert [text for text in texts if neutralise(text, markers) != text] == []


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for child in children for text in strings(child)]


def test_the_thoughts_are_the_released_ones_character_for_character(data: Path, tmp_path: Path) -> None:
    imported(data, tmp_path / "to")
    entries = [one["prompt"] for one in json.loads((data / COT).read_text("utf-8"))]
    examples = reasoning_examples(str(tmp_path / "to" / "few_shot" / "comparison_cot.yaml"))
    for entry, example in zip(entries, examples, strict=True):
        opening, rest = entry.lstrip("\n").split("\n\nH: ", 1)
        cue = ":".join(rest.split("]]]\n\n")[1].split(":")[:2])
        asked = rest.rsplit("\n", 1)[1].split(":")[0]
        names = {"user": "H", "assistant": "A"}
        talk = "".join(f"\n\n{names[m.role]}: {m.content}" for m in example.messages)
        space = "" if example.thoughts.startswith("\n") else " "
        assert entry.lstrip("\n") == (
            f"{opening}{talk}\n\n{{}}\n (A) [[[{example.a}]]]\n (B) [[[{example.b}]]]"
            f"\n\n{cue}:{space}{example.thoughts}\n\nHuman:\n{asked}: ({example.answer})"
        )
