"""Worked revisions as lists of messages: llm-swarm and NeMo-Aligner show them as one long chat.

A list holds a conversation, its answer, and then the request for a critique, the critique, the request for a revision
and the revision, roles in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator

from cai.constitution import Principle
from cai.errors import InputError
from cai.exchange.bundle import Bundle, NewFile, lost_names, lost_tags, lost_with, numbered
from cai.exchange.reading import Part
from cai.few_shot import RevisionExample
from cai.records import Message, Role

ROLES: tuple[Role, ...] = ("user", "assistant", "system")


class ChatMessage(Part):
    """One message; a role's capital letters don't matter, since NeMo-Aligner's versions differ in them."""

    role: Annotated[Role, BeforeValidator(lambda role: role.lower() if isinstance(role, str) else role)]
    content: str


Chats = tuple[tuple[ChatMessage, ...], ...]


def examples_of(chats: Chats, where: str) -> list[RevisionExample]:
    """The worked revisions. Raises InputError for a list that ends otherwise."""
    names = numbered("example", len(chats))
    return [
        _example(chat, name, f"{where}.{number}") for number, (name, chat) in enumerate(zip(names, chats, strict=True))
    ]


def chat_of(example: RevisionExample, roles: Sequence[str] = ROLES) -> list[dict[str, str]]:
    """The messages of a worked revision; `roles` are the form's words for ours.

    Raises InputError for one whose conversation does not end with the answer that is criticised.
    """
    if example.messages[-1].role != "assistant":
        raise InputError(f"the worked example {example.id!r} does not end with an answer to criticise; mend it")
    words = dict(zip(ROLES, roles, strict=True))
    asked = (example.critique_request, example.critique, example.revision_request, example.revision)
    tail = (Message(role=ROLES[number % 2], content=text) for number, text in enumerate(asked))
    return [{"role": words[one.role], "content": one.content} for one in (*example.messages, *tail)]


def files_of(
    name: str, principles: list[dict[str, str]], examples: Sequence[RevisionExample], made_from: str, about: str
) -> tuple[NewFile, ...]:
    """A constitution, and beside it the file of its worked examples if there are any."""
    path = f"few_shot/{name}.yaml"
    top = {"name": name, "description": about, "source": f"Made from {made_from}; no licence is stated in it."}
    held = [one.model_dump(mode="json", exclude_defaults=True) for one in examples]
    shown = {"few_shot": {"revision": path}} if examples else {}
    rules = NewFile(f"{name}.yaml", "constitution", {**top, **shown, "principles": principles}, made_from)
    if not examples:
        return (rules,)
    return rules, NewFile(path, "revisions", {"name": name, "description": "Revisions.", "examples": held}, made_from)


def lost_in_chats(bundle: Bundle, kept: Sequence[Principle], ids: Sequence[str]) -> tuple[str, ...]:
    """What a form drops that holds critiques, revisions and their worked examples, all without names."""
    rules, shown = bundle.constitution, bundle.revisions
    return (
        *lost_with(rules, kept, ("critique", "revision")),
        *lost_names("principles", [one.id for one in kept], ids),
        *lost_names("worked examples", [one.id for one in shown], numbered("example", len(shown))),
        *lost_tags(shown),
        *([f"{len(bundle.comparisons)} worked comparisons"] if bundle.comparisons else []),
    )


def _example(chat: Sequence[ChatMessage], name: str, where: str) -> RevisionExample:
    ends = [message.role for message in chat[-5:]]
    if len(chat) < 6 or ends != ["assistant", "user", "assistant", "user", "assistant"]:
        found = ", ".join(message.role for message in chat) or "nothing"
        raise InputError(
            f"{where}: expected a conversation that ends with an answer, then a request and a critique, a request and "
            f"a revision, roles in turn, found {found}"
        )
    request, critique, rewrite, revised = (message.content for message in chat[-4:])
    return RevisionExample(
        id=name,
        messages=tuple(Message(role=message.role, content=message.content) for message in chat[:-4]),
        critique_request=request,
        critique=critique,
        revision_request=rewrite,
        revision=revised,
    )
