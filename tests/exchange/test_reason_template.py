"""The template that asks for thoughts has the layout of the released examples, in words of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paper_data import FILES, write_folder

from cai.constitution import Principle
from cai.exchange.paper import REASONINGS, read_paper
from cai.exchange.writing import write_imported
from cai.few_shot import ReasoningExample, reasoning_examples
from cai.prompts import Rendered, Templates
from cai.records import Message

OPENING, CUE, ASKED = "Read it:", "Let me compare them step by step", "The answer is"


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    """No step asks for thoughts yet: here `respond` does."""
    folder = tmp_path / "templates" / "transcript"
    folder.mkdir(parents=True)
    (folder / "respond.jinja").write_text('{% include "reason.jinja" %}')
    return Templates("transcript", tmp_path / "templates")


def examples(source: Path, to: Path) -> tuple[ReasoningExample, ...]:
    write_imported(read_paper(source), "paper", to)
    return reasoning_examples(str(to / "few_shot" / "comparison_cot.yaml"))


def render(templates: Templates, shown: tuple[ReasoningExample, ...]) -> Rendered:
    principle = Principle.model_validate({"id": "p", "comparison": "Which is kinder?"})
    return templates.render(
        "respond",
        messages=(Message(role="user", content="Hi"),),
        few_shot=tuple(one.model_copy(update={"instruction": "IT"}) for one in shown),
        principle=principle,
        opening=OPENING,
        a="Yes",
        b="No",
    )


def expected(entries: list[str]) -> str:
    """Released examples with our words for theirs, and a question in the same layout."""
    text = ""
    for entry in entries:
        human, rest = entry.lstrip("\n").split("\n\n", 1)
        body, answer = rest.rsplit("\n", 1)
        shown, thoughts = body.split("]]]\n\nAssistant: ")
        text += f"\n\n{human.split(': ')[0]}: {OPENING}\n\n{shown.replace('{}', 'IT Options:')}]]]"
        text += f"\n\nAssistant: {CUE}:{thoughts.split(':', 1)[1]}\n{ASKED}:{answer.rsplit(':')[1]}"
    question = "H: Hi\n\nWhich is kinder? Options:\n (A) [[[Yes]]]\n (B) [[[No]]]"
    return f"{text}\n\nHuman: {OPENING}\n\n{question}\n\nAssistant: {CUE}:"


def test_made_up_examples(templates: Templates, tmp_path: Path) -> None:
    shown = examples(write_folder(tmp_path / "released", FILES), tmp_path / "to")
    entries = [one["prompt"] for one in FILES[REASONINGS]]
    assert render(templates, shown).text == expected(entries)
    assert render(templates, ()).text == expected([])


def test_the_released_examples(templates: Templates, data: Path, tmp_path: Path) -> None:
    entries = [one["prompt"] for one in json.loads((data / REASONINGS).read_text("utf-8"))]
    assert render(templates, examples(data, tmp_path / "to")).text == expected(entries)
