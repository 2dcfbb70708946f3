"""CritiqueRevisionInstructions.json: the paper released it, and NeMo-Aligner reads its own in the same form."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cai.constitution import Principle
from cai.exchange.reading import Part, as_ids, read_json, unwrapped

NAME = "CritiqueRevisionInstructions.json"

_CRITIQUE = "\n\nCritiqueRequest: ", "\n\nCritique:"
_REVISION = "\n\nRevisionRequest: ", "\n\nRevision:"


class _Instruction(Part):
    prompt: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]
    edit_request: str


def read_instructions(path: Path) -> list[dict[str, str]]:
    """Principles with critique and revision, their ids made of the keys. Raises InputError."""
    found = read_json(path, dict[str, _Instruction])
    ids = as_ids(found, str(path))
    return [
        {
            "id": name,
            "critique": unwrapped(one.prompt[0], *_CRITIQUE, f"{path}: {key}.prompt.0"),
            "revision": unwrapped(one.edit_request, *_REVISION, f"{path}: {key}.edit_request"),
        }
        for name, (key, one) in zip(ids, found.items(), strict=True)
    ]


def instructions(principles: Iterable[Principle], keys: Iterable[str]) -> dict[str, Any]:
    """The file's content for principles that have critique and revision."""
    return {
        key: {
            "prompt": [f"{one.critique}".join(_CRITIQUE)],
            "edit_request": f"{one.revision}".join(_REVISION),
        }
        for key, one in zip(keys, principles, strict=True)
    }
