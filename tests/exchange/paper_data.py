"""A small folder in the form of the paper's released files, in words of our own, and where the paper's own may lie."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.commands.exchange import import_constitution

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "paper"

TALK = "\n\nHuman: Hi\n\nAssistant: Go  away.\n\nHuman: Why?\n\nAssistant: Because."
ASKED = "\n\nCritiqueRequest: What is rude?\n\nCritique: All of it.\n\nRevisionRequest: Mend it.\n\nRevision: Sorry!"
THOUGHTS = (
    "Human: Read a talk of a person (H) and a machine (A):\n\nH: Hi\n\nA:  Yes?\n\nH: Help me\n\n{}\n (A) [[[No.]]]\n"
    " (B) [[[Sure.\n\nHow?]]]\n\nAssistant: Think about it:\n(A) helps nobody.\n\nHuman:\nSo it is: (B)"
)
PLAIN = THOUGHTS.replace("a person (H) and a machine (A)", "a person and a machine").replace("it:\n(A)", "it: (A)")

FILES: dict[str, Any] = {
    "CritiqueRevisionInstructions.json": {
        "harmful0": {
            "prompt": ["\n\nCritiqueRequest: Is the precedings answer  rude?\n\nCritique:"],
            "edit_request": "\n\nRevisionRequest: Make it kind.\n\nRevision:",
        },
        "Rude Words": {
            "prompt": ["\n\nCritiqueRequest: no\n\nCritique:"],
            "edit_request": "\n\nRevisionRequest: 1e5\n\nRevision:",
        },
    },
    "CritiqueRevisionFewShotPrompts.json": [f"{TALK}{ASKED}\n\nHuman:", f"\n\nHuman: A\n\nAssistant: B {ASKED}"],
    "RLMadisonInstructions.json": ["\nWhich is kinder? Options:", "\nChoose “the wiser” one. Options:"],
    "RLMadisonFewShotPrompts.json": [
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "corrects": ["Hello! "], "incorrects": ["Go"]},
        {
            "prompt": "\n\nHuman: Hi\n\nAssistant: What?\n\nHuman: Help\n\nAssistant:",
            "corrects": ["Sure"],
            "incorrects": ["No"],
        },
    ],
    "RLMadisonPrecogFewShotPrompts.json": [
        {"prompt": f"\n\n{THOUGHTS}"},
        {"prompt": f"\n{THOUGHTS}"},
        {"prompt": PLAIN},
    ],
}


def write_folder(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder


def imported(source: Path, to: Path) -> str:
    """What the command prints."""
    console = Console(file=io.StringIO(), width=200)
    import_constitution(console, "paper", source, to)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
