"""Demonstrations: conversations, TRL's prompt and completion, and the preferred side of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cai.demonstrations import load_demonstrations
from cai.errors import InputError

TURNS = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."}]


def file(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "shown.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"prompt": "Hello?", "completion": " Hi. "},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"prompt": "Hello?", "chosen": "Hi.", "rejected": "What?"},
        {"chosen": "\n\nHuman: Hello?\n\nAssistant: Hi.", "rejected": "\n\nHuman: Hello?\n\nAssistant: What?"},
    ],
)
def test_every_form_gives_the_prompt_and_its_answer(tmp_path: Path, row: dict[str, Any]) -> None:
    ((prompt, answer),) = load_demonstrations(file(tmp_path, row), "helpful")
    assert [(one.role, one.content) for one in prompt.messages] == [("user", "Hello?")]
    assert (answer, prompt.kind) == ("Hi.", "helpful")


def test_a_conversation_without_an_answer_is_passed_over_and_the_limit_counts_answers(tmp_path: Path) -> None:
    rows = [{"messages": TURNS[:1]}, *({"prompt": f"{n}?", "completion": "Yes."} for n in range(4))]
    found = load_demonstrations(file(tmp_path, *rows), "harmful", limit=2)
    assert [prompt.messages[0].content for prompt, _ in found] == ["0?", "1?"]


def test_a_row_that_is_no_conversation_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shown.jsonl:2: "):
        load_demonstrations(file(tmp_path, {"messages": TURNS}, {"messages": "Hello"}), "helpful")


def test_a_file_without_answers_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no answers to learn; expected"):
        load_demonstrations(file(tmp_path, {"messages": TURNS[:1]}), "helpful")
