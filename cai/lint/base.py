"""What the rules look at: the instructions of a constitution, and their words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cai.constitution import Constitution, Principle, Wording
from cai.yamlfile import Location

Doubt = tuple[Location, str]
"""Where something is doubtful, and what to do about it."""

Rule = Callable[[Constitution], Iterable[Doubt]]

FIELDS = tuple(Wording.model_fields)
"""The fields of a principle that a model is shown."""

_ENGLISH = {"the", "that", "which", "this", "these", "those", "and", "answer", "response", "choose"}


@dataclass(frozen=True)
class Instruction:
    """One text of a principle that a model is shown, and where it stands."""

    at: Location
    principle: Principle
    field: str
    text: str


def instructions(constitution: Constitution) -> Iterator[Instruction]:
    """All instructions of all principles, those for one dialect included."""
    for index, principle in enumerate(constitution.principles):
        at = ("principles", index)
        given = {at: principle, **{(*at, "dialects", name): own for name, own in principle.dialects.items()}}
        for place, texts in given.items():
            for field in FIELDS:
                if text := getattr(texts, field):
                    yield Instruction((*place, field), principle, field, text)


def words(text: str) -> list[str]:
    """Its words, in lower case."""
    return re.findall(r"[^\W_]+(?:['\u2019-][^\W_]+)*", text.casefold())


def in_english(text: str) -> bool:
    """Whether it has a word that few English instructions lack; rules that look for English words ask this."""
    return bool(_ENGLISH & set(words(text)))


def sentences(text: str) -> list[str]:
    """Its sentences, each with the sign that ends it."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
