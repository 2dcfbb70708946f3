"""Records without their texts, to choose among more of them than memory holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from cai.records import Completion, Prompt
from cai.selection import Row, answer_of

AnyRow = TypeVar("AnyRow", bound=Row)

_BESIDE = {"critique": None, "attempts": (), "earlier": (), "instruction": ""}
"""What is left out of a record beside its conversation."""

_SET: set[str] = set()
"""pydantic's note of the fields that were given, one for all outlines: it is as large as all else in them."""


def outlines(records: Iterable[AnyRow]) -> list[AnyRow]:
    """The records with all that `cai.selection.select` looks at, some 700 bytes each.

    An answer says whether it is empty and nothing more; conversations and critiques are left out.
    """
    prompts: dict[str, Prompt] = {}
    return [_outline(record, prompts) for record in records]


def _outline(record: AnyRow, prompts: dict[str, Prompt]) -> AnyRow:
    prompt = prompts.get(record.prompt.id)
    if prompt is None:
        fields = record.prompt.__dict__ | {"messages": (), "source": ""}
        prompt = prompts[record.prompt.id] = Prompt.model_construct(_fields_set=_SET, **fields)
    answer = _WRITTEN if answer_of(record) else _EMPTY
    cut = {name: answer if isinstance(value, Completion) else value for name, value in record.__dict__.items()}
    cut |= {"prompt": prompt} | {name: empty for name, empty in _BESIDE.items() if name in cut}
    return type(record).model_construct(_fields_set=_SET, **cut)


def _completion(text: str) -> Completion:
    return Completion(text=text, raw="", finish="stop", prompt_tokens=0, tokens=0, seed=0)


_WRITTEN, _EMPTY = _completion("-"), _completion("")
