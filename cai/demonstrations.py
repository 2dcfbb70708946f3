"""Answers that people wrote or preferred, from files: conversations that end with an answer, or pairs."""

from __future__ import annotations

from pathlib import Path

from cai.errors import InputError
from cai.human import conversation
from cai.questions import rows
from cai.records import Kind, Prompt

SIDES = ("messages", "completion", "chosen")
"""The columns that can hold an answer; of several, the first that is filled."""

Demonstration = tuple[Prompt, str]
"""A prompt and the answer to it."""


def load_demonstrations(
    spec: str, kind: Kind, beside: Path | None = None, limit: int | None = None
) -> list[Demonstration]:
    """The first `limit` answers of a file or `hf:owner/name[:split]`, each with its prompt.

    Rows without an answer, such as conversations that end with a person's turn, are passed over. Raises InputError with
    the file and line of a row that is no conversation, and where no row has an answer.
    """
    name, found = rows(spec, beside)
    read: list[Demonstration] = []
    for where, row in found:
        if len(read) == limit:
            break
        side = next((column for column in SIDES if row.get(column)), SIDES[0])
        try:
            messages, answer = conversation(row, side)
            prompt = Prompt.of(messages, kind, f"{spec}{where}")
        except InputError as error:
            raise InputError(f"{name}{where}: {error}") from None
        if answer:
            read.append((prompt, answer))
    if not read:
        raise InputError(
            f"{name}: holds no answers to learn; expected one a row, in 'messages', 'completion' or 'chosen'"
        )
    return read
