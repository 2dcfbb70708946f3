"""Conversations that wait for an answer, from hh-rlhf transcripts and from lists of messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cai.errors import InputError
from cai.records import Message, Role

_TURN = re.compile(r"(?:\A\s*|\r?\n\r?\n)(Human|Assistant):")
_SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def is_transcript(text: str) -> bool:
    """Whether `text` opens as hh-rlhf transcripts do: an empty line, then `Human:`."""
    return re.match(r"\r?\n\r?\nHuman:", text) is not None


def from_text(text: str) -> tuple[Message, ...]:
    """One user's turn. Raises InputError where it is empty or cannot be stored."""
    return (_message("user", text, "the prompt"),)


def from_transcript(text: str) -> tuple[Message, ...]:
    r"""The conversation of a transcript up to its last human turn.

    Only `\n\nHuman:` and `\n\nAssistant:` open a turn. hh-rlhf has turns without a word, which are left out, and turns
    in a row by one speaker, which become one turn of several paragraphs. Raises InputError where the transcript does
    not start with a human turn.
    """
    return _waiting(_spoken(text))


def last_answer(text: str) -> str:
    """The assistant's answer that a transcript ends with; empty where it ends with a human turn.

    Raises InputError as `from_transcript`.
    """
    turns = _spoken(text)
    return turns[-1][1] if turns and turns[-1][0] == "assistant" else ""


def _spoken(text: str) -> list[tuple[Role, str]]:
    before, *parts = _TURN.split(text)
    if before.strip() or not parts:
        raise InputError(f"expected a transcript that starts with '\\n\\nHuman:', found {_short(text)}; {_WANTED}")
    turns: list[tuple[Role, str]] = []
    for speaker, said in zip(parts[::2], parts[1::2], strict=True):
        role, content = _SPEAKERS[speaker], said.strip()
        if turns and content and turns[-1][0] == role:
            content = f"{turns.pop()[1]}\n\n{content}"
        if content:
            turns.append((role, content))
    return turns


def from_messages(items: Sequence[Any]) -> tuple[Message, ...]:
    """The conversation of a list of {role, content} up to its last user's turn.

    Raises InputError where a role is unknown or roles do not take turns.
    """
    return _waiting([_turn(number, item) for number, item in enumerate(items, 1)])


_WANTED = "give text, a transcript, or a list of {role, content}"


def _turn(number: int, item: Any) -> tuple[Role, str]:
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        raise InputError(f"message {number}: expected {{role, content}} with text, found {_short(item)}")
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InputError(f"message {number}: unknown role {role!r}; expected {', '.join(_ROLES)}")
    return _ROLES[role], item["content"]


def _waiting(turns: list[tuple[Role, str]]) -> tuple[Message, ...]:
    """Drops a final answer and checks that a user and an assistant take turns after an optional system message."""
    asked = turns[:-1] if turns and turns[-1][0] == "assistant" else turns
    start = 1 if asked and asked[0][0] == "system" else 0
    for index, (role, _) in enumerate(asked[start:]):
        expected = "assistant" if index % 2 else "user"
        if role != expected:
            raise InputError(f"message {start + index + 1}: expected a turn of the {expected}, found {role!r}")
    if len(asked) == start:
        raise InputError(f"holds no user's turn; {_WANTED}")
    return tuple(_message(role, content, f"message {number}") for number, (role, content) in enumerate(asked, 1))


def _message(role: Role, content: str, what: str) -> Message:
    text = content.strip()
    if not text:
        raise InputError(f"{what} is empty; give it text or delete the row")
    if "\0" in text:
        raise InputError(f"{what} holds a NUL byte; delete it")
    if not _is_unicode(text):
        raise InputError(f"{what} holds half a surrogate pair, which UTF-8 cannot store; delete it")
    return Message(role=role, content=text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
