"""Worked examples as the paper's files spell them, read and written character by character.

Every reader raises InputError, which begins with `where`, for what is spelled otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from cai.errors import InputError
from cai.exchange.reading import Part, short
from cai.exchange.turns import ASSISTANT, HUMAN, LETTERS, SPEAKERS, conversation, parts, spelled
from cai.few_shot import ComparisonExample, ReasoningExample, RevisionExample

One = Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]
Example = TypeVar("Example", RevisionExample, ComparisonExample)

_LABELS = ("CritiqueRequest", "Critique", "RevisionRequest", "Revision")
_NEXT = "\n\nHuman:"
_REPLY = "\n\nAssistant:"
_REASONING = re.compile(
    r"\n*Human: (?P<opening>[^\n]+)(?P<conversation>\n\nH: .*?)\n\n\{\}\n"
    r" \(A\) \[\[\[(?P<a>.*?)\]\]\]\n \(B\) \[\[\[(?P<b>.*?)\]\]\]\n\n"
    r"Assistant: [^\n:]+:(?P<thoughts>.+?)\n\nHuman:\n[^\n:]+: \((?P<answer>[AB])\)\n*",
    re.DOTALL,
)


class ComparisonEntry(Part):
    """A transcript that waits for an answer, with a better and a worse one."""

    prompt: str
    corrects: One
    incorrects: One


class ReasoningEntry(Part):
    """A question about two answers, with thoughts and a verdict."""

    prompt: str


def revision(text: str, name: str, where: str) -> RevisionExample:
    """A worked revision. Raises InputError unless it is a conversation, a critique and a revision, each asked for."""
    found = parts(text.removesuffix(_NEXT), (*SPEAKERS, *_LABELS), where)
    asked = [label for label, _ in found[-4:]]
    if tuple(asked) != _LABELS:
        raise InputError(f"{where}: expected it to end with {', '.join(_LABELS)}, found {', '.join(asked)}")
    messages = conversation(found[:-4], SPEAKERS, "assistant", where)
    request, critique, rewrite, revised = (said for _, said in found[-4:])
    return RevisionExample(
        id=name,
        messages=tuple(messages),
        critique_request=request,
        critique=critique,
        revision_request=rewrite,
        revision=revised,
    )


def comparison(entry: ComparisonEntry, name: str, where: str) -> ComparisonExample:
    """A worked comparison that leaves its seats and its principle open."""
    if not entry.prompt.endswith(_REPLY):
        raise InputError(f"{where}.prompt: expected a transcript that ends {_REPLY!r}, found {short(entry.prompt)}")
    found = parts(entry.prompt.removesuffix(_REPLY), (HUMAN, ASSISTANT), f"{where}.prompt")
    messages = conversation(found, SPEAKERS, "user", f"{where}.prompt")
    return ComparisonExample(id=name, messages=tuple(messages), better=entry.corrects[0], worse=entry.incorrects[0])


def reasoning(entry: ReasoningEntry, name: str, where: str) -> tuple[str, ReasoningExample]:
    """The sentence that it opens with, and the example."""
    found = _REASONING.fullmatch(entry.prompt)
    if found is None:
        raise InputError(
            f"{where}.prompt: expected a human's turn with a conversation of 'H: ' and 'A: ', a line '{{}}' and two "
            f"answers '[[[...]]]', the assistant's thoughts, and '(A)' or '(B)', found {short(entry.prompt)}"
        )
    turns = parts(found["conversation"], tuple(LETTERS), f"{where}.prompt")
    example = ReasoningExample.model_validate(
        {
            "id": name,
            "messages": conversation(turns, LETTERS, "user", f"{where}.prompt"),
            "thoughts": found["thoughts"].removeprefix(" "),
            **{key: found[key] for key in ("a", "b", "answer")},
        }
    )
    return found["opening"], example


def written(
    examples: Sequence[Example], write: Callable[[Any], Any], read: Callable[[Any, str, str], Example]
) -> tuple[list[Any], list[str]]:
    """The entries that are read back as they were, and the ids of the others."""
    entries: list[Any] = []
    odd = []
    for example in examples:
        entry = write(example)
        try:
            same = _alike(read(entry, example.id, ""), example)
        except InputError:
            same = False
        if same:
            entries.append(entry)
        else:
            odd.append(example.id)
    return entries, odd


def _alike(one: Example, other: Example) -> bool:
    if isinstance(one, ComparisonExample) and isinstance(other, ComparisonExample):
        return (one.messages, one.ranked) == (other.messages, other.ranked)
    return one == other.model_copy(update={"tags": ()})


def revision_text(one: RevisionExample) -> str:
    """What `revision` reads, if the form can hold it."""
    said = (one.critique_request, one.critique, one.revision_request, one.revision)
    labelled = (f"\n\n{label}: {text}" for label, text in zip(_LABELS, said, strict=True))
    return f"{spelled(one.messages)}{''.join(labelled)}{_NEXT}"


def comparison_entry(one: ComparisonExample) -> dict[str, Any]:
    """What `comparison_of` reads, if the form can hold it."""
    better, worse = one.ranked
    return {"prompt": f"{spelled(one.messages)}{_REPLY}", "corrects": [better], "incorrects": [worse]}


def comparison_of(entry: dict[str, Any], name: str, where: str) -> ComparisonExample:
    """A worked comparison from the plain data of its entry."""
    return comparison(ComparisonEntry.model_validate(entry), name, where)
