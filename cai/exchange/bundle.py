"""What passes between another project's files and ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cai.constitution import Constitution, Principle
from cai.few_shot import ComparisonExample, RevisionExample

Kind = Literal["constitution", "revisions", "comparisons", "reasonings"]


@dataclass(frozen=True)
class NewFile:
    """A YAML file to write: its path within the folder, what it holds, and the files that it is made from."""

    path: str
    kind: Kind
    data: Mapping[str, Any]
    made_from: str


@dataclass(frozen=True)
class Imported:
    """What a reader made of another project's files.

    `main` is the path of the constitution to use, `licence` one sentence about the source's, `notes` what a user should
    know of this import.
    """

    files: tuple[NewFile, ...]
    main: str
    licence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A constitution with its worked examples, all of them."""

    constitution: Constitution
    revisions: tuple[RevisionExample, ...]
    comparisons: tuple[ComparisonExample, ...]


@dataclass(frozen=True)
class Exported:
    """JSON files by name, and what of the bundle they don't hold, one remark each."""

    files: Mapping[str, Any]
    lost: tuple[str, ...]


def numbered(word: str, count: int) -> list[str]:
    """The ids of what has none of its own: `word0`, `word1`, ..."""
    return [f"{word}{number}" for number in range(count)]


def lost_with(
    constitution: Constitution, kept: Sequence[Principle], texts: Sequence[str], top: Sequence[str] = ()
) -> list[str]:
    """What goes with every form: whole principles, and fields that no form but ours has.

    `kept` are the principles that the form holds, `texts` their instructions that it holds, and `top` what it holds of
    the constitution itself.
    """
    without = ", ".join(texts)
    dropped = [one.id for one in constitution.principles if one not in kept]
    remarks = [f"principles without {without}: {', '.join(dropped)}"] if dropped else []
    for field in Principle.model_fields:
        if field not in {"id", *texts}:
            having = [one.id for one in kept if getattr(one, field) != Principle.model_fields[field].get_default()]
            remarks += [f"{field} of {', '.join(having)}"] if having else []
    named = [name for name in ("name", "description", "source", "language", "system", "opening") if name not in top]
    set_ = [name for name in named if getattr(constitution, name)]
    return [*remarks, f"the constitution's {', '.join(set_)}"] if set_ else remarks


def lost_names(what: str, ids: Iterable[str], held: Iterable[str]) -> list[str]:
    """A remark where a form numbers what has other names here."""
    held = list(held)
    return [] if list(ids) == held else [f"the ids of {what}: they are called {held[0]}, ... when read back"]


def lost_tags(examples: Sequence[RevisionExample | ComparisonExample]) -> list[str]:
    """A remark on the tags of worked examples, which no form but ours has."""
    tagged = [one.id for one in examples if one.tags]
    return [f"the tags of the worked examples {', '.join(tagged)}"] if tagged else []
