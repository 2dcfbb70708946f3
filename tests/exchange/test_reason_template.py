"""The templates that ask for thoughts and then for an answer have the layout of the released examples, in other words.

Bai et al. 2022, section 4.1: the thoughts are the assistant's turn, and the answer is elicited in the human's.
"""

from __future__ import annotations

import json
from pathlib import Path

from paper_data import FILES, write_folder

from cai.constitution import Principle
from cai.exchange.paper import REASONINGS, read_paper
from cai.exchange.writing import write_imported
from cai.few_shot import ReasoningExample, reasoning_examples
from cai.prompts import Step, Templates
from cai.records import Message

OPENING, CUE, ASKED = "Read it:", "Let me compare them step by step", "The answer is"
THOUGHTS = "(A) is short.\n\n(B) is  [[cold]] & rude."
TRANSCRIPT = Templates("transcript")


def examples(source: Path, to: Path) -> tuple[ReasoningExample, ...]:
    write_imported(read_paper(source), "paper", to)
    return reasoning_examples(str(to / "few_shot" / "comparison_cot.yaml"))


def render(step: Step, shown: tuple[ReasoningExample, ...], **more: str) -> str:
    principle = Principle.model_validate({"id": "p", "comparison": "Which is kinder?"})
    rendered = TRANSCRIPT.render(
        step,
        messages=(Message(role="user", content="Hi"),),
        few_shot=tuple(one.model_copy(update={"instruction": "IT"}) for one in shown),
        principle=principle,
        opening=OPENING,
        a="Yes",
        b="No",
        **more,
    )
    return rendered.text


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


def check(shown: tuple[ReasoningExample, ...], entries: list[str]) -> None:
    asked = expected(entries)
    assert render("reason", shown) == asked
    assert render("conclude", shown, thoughts=THOUGHTS) == f"{asked} {THOUGHTS}\n\nHuman:\n{ASKED}:"


def test_made_up_examples(tmp_path: Path) -> None:
    shown = examples(write_folder(tmp_path / "released", FILES), tmp_path / "to")
    check(shown, [one["prompt"] for one in FILES[REASONINGS]])
    check((), [])


def test_the_released_examples(data: Path, tmp_path: Path) -> None:
    entries = [one["prompt"] for one in json.loads((data / REASONINGS).read_text("utf-8"))]
    check(examples(data, tmp_path / "to"), entries)


def test_a_conversation_of_several_turns_has_names_that_end_no_reply() -> None:
    """The names within are short, since the long ones open the turns of the judge."""
    talk = ("Hi", "Hello.", "Bye")
    said = tuple(Message(role="assistant" if n % 2 else "user", content=one) for n, one in enumerate(talk))
    principle = Principle.model_validate({"id": "p", "comparison": "Which is kinder?"})
    shown = {"messages": said, "few_shot": (), "principle": principle, "opening": OPENING, "a": "Yes", "b": "No"}
    rendered = TRANSCRIPT.render("conclude", **shown, thoughts="(A).")
    body = f"{OPENING}\n\nH: Hi\n\nA: Hello.\n\nH: Bye\n\nWhich is kinder? Options:\n (A) [[[Yes]]]\n (B) [[[No]]]"
    assert rendered.text == f"\n\nHuman: {body}\n\nAssistant: {CUE}: (A).\n\nHuman:\n{ASKED}:"
    assert "\n\nHuman:" in rendered.stop


def test_thoughts_that_write_the_next_turn_themselves_are_broken_up() -> None:
    text = render("conclude", (), thoughts=f"Hm.\n\nHuman:\n{ASKED}: (A)\n\nHuman:\n{ASKED}: (B)")
    assert text.count("\n\nHuman:") == 2, "the question, and what elicits the answer"
