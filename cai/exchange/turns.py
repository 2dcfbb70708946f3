r"""Transcripts as the paper's files spell them: each part after an empty line, `Name: ` and its text.

`cai/transcripts.py` reads prompts, and may tidy them; here every character is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cai.errors import InputError
from cai.exchange.reading import short
from cai.records import Message, Role

HUMAN, ASSISTANT = "Human", "Assistant"
SPEAKERS: dict[str, Role] = {HUMAN: "user", ASSISTANT: "assistant"}
LETTERS: dict[str, Role] = {"H": "user", "A": "assistant"}
"""The names within a question that stands in a human's turn itself."""


def parts(text: str, names: Sequence[str], where: str) -> list[tuple[str, str]]:
    """Each part's name and text. Raises InputError where the text begins otherwise, or holds a name without a space."""
    spelled = "|".join(map(re.escape, names))
    before, *found = re.split(rf"\n\n({spelled}): ", text)
    if before or not found:
        raise InputError(f"{where}: expected text that begins '\\n\\n{names[0]}: ', found {short(text)}")
    loose = re.search(rf"\n\n(?:{spelled}):", "\0".join(found[1::2]))
    if loose:
        raise InputError(f"{where}: expected a space after {loose[0]!r}; mend the file")
    return list(zip(found[::2], found[1::2], strict=True))


def conversation(found: Sequence[tuple[str, str]], names: dict[str, Role], last: Role, where: str) -> list[Message]:
    """The turns of a conversation. Raises InputError unless speakers take turns from a user's to `last`'s."""
    roles = [names.get(name) for name, _ in found]
    expected: list[Role] = ["assistant" if number % 2 else "user" for number in range(len(found))]
    if roles != expected or not roles or roles[-1] != last:
        spoken = ", ".join(name for name, _ in found) or "nothing"
        raise InputError(f"{where}: expected turns from a user's to the {last}'s, one after the other, found {spoken}")
    return [Message(role=role, content=said) for role, (_, said) in zip(expected, found, strict=True)]


def spelled(messages: Sequence[Message]) -> str:
    """A conversation as a transcript. A system's turn gets a name that nothing reads back."""
    names = {role: name for name, role in SPEAKERS.items()}
    return "".join(f"\n\n{names.get(one.role, 'System')}: {one.content}" for one in messages)
