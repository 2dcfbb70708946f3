"""Says by rule what is wrong with the replies of a critique-revision chain; it changes none and drops none.

Bai et al. 2022, section 3.1, name one of these faults: a model that writes a critique where a revision is expected, or
the reverse. The other rules are our own.

A flag is a reason to look. The rules for wording read English and know nothing of what the person asked for
(`cai/wordings.py`); the others read any script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cai.languages import expected_language as expected_language
from cai.languages import wrong_language
from cai.records import Completion
from cai.repeats import loops, takes
from cai.wordings import (
    announces_a_revision,
    answers_a_person,
    criticises,
    marks_a_turn,
    speaks_of_rewriting,
    without_quotes,
)

Flag = Literal[
    "empty",
    "unchanged",
    "truncated",
    "meta-talk",
    "critique-not-revision",
    "revision-not-critique",
    "turn-marker",
    "repetition",
    "wrong-language",
    "stopped",
]

FLAGS: Mapping[Flag, str] = {
    "empty": "the model wrote nothing that can be seen",
    "unchanged": "the revision is the answer it revises, up to spaces and line breaks",
    "truncated": "the model was stopped at the token limit",
    "meta-talk": "the reply speaks of being rewritten instead of being the answer alone",
    "critique-not-revision": "a critique, or a copy of the one it was given, where a revision was expected",
    "revision-not-critique": "an answer, or a copy of the one to criticise, where a critique was expected",
    "turn-marker": "the reply holds the name of a speaker or a mark that sets turns apart",
    "repetition": "the reply says the same again and again",
    "wrong-language": "the reply is in another language than the one expected",
    "stopped": "the critique found nothing to change and the chain ended",
}
"""What can be said of a reply, in the order in which it is said. The stage sets `stopped`; no function here does."""

COPIED = 0.5
"""The share of a revision's runs of three words that make it a copy of its critique, those of the answer aside."""
ECHOED = 0.75
"""The share of a critique's runs of three words that make it a copy of the answer, outside quotation marks.

Higher than `COPIED`, since a critique may name much of the answer without marks."""


def answer_flags(response: Completion, language: str | None = None) -> tuple[Flag, ...]:
    """What is wrong with a first answer, or with an answer to a helpful prompt.

    `language`, here and below, is the ISO 639-1 code that `expected_language` gives; None: not checked. Raises
    InputError for a language that cannot be checked.
    """
    return _flags(response, language, {"meta-talk": speaks_of_rewriting(response.text, revised=False)})


def critique_flags(critique: Completion, answer: str, language: str | None = None) -> tuple[Flag, ...]:
    """What is wrong with a critique of `answer`.

    It is an answer where it copies the one it should criticise, announces a rewritten one, or speaks to a person with
    no word on an answer.
    """
    text = critique.text
    is_answer = takes(without_quotes(text), answer, ECHOED) or announces_a_revision(text) or answers_a_person(text)
    return _flags(critique, language, {"revision-not-critique": is_answer})


def revision_flags(
    revision: Completion, before: str, critique: str | None, language: str | None = None
) -> tuple[Flag, ...]:
    """What is wrong with a revision of the answer `before`, made in the light of `critique`.

    An unchanged answer is no fault where nothing had to change: worked examples teach it. A revision is a critique
    where it opens as one, or where half of it is taken from the critique and was not in the answer.
    """
    text = revision.text
    is_critique = criticises(text) or (critique is not None and takes(text, critique, COPIED, known=before))
    found: dict[Flag, bool] = {
        "unchanged": text.lstrip()[:1] == before.lstrip()[:1] and text.split() == before.split(),
        "meta-talk": speaks_of_rewriting(text, revised=True),
        "critique-not-revision": is_critique,
    }
    return _flags(revision, language, found)


def _flags(reply: Completion, language: str | None, found: Mapping[Flag, bool]) -> tuple[Flag, ...]:
    """What was found and what any reply can be, in the order of `FLAGS`.

    An empty reply is nothing else, though it may be truncated: a model can spend all its tokens on thoughts.
    """
    truncated = reply.finish == "length"
    if not _is_visible(reply.text):
        found = {"empty": True, "truncated": truncated}
    else:
        found = {
            **found,
            "truncated": truncated,
            "turn-marker": marks_a_turn(reply.text),
            "repetition": loops(reply.text),
            "wrong-language": wrong_language(reply.text, language),
        }
    return tuple([flag for flag in FLAGS if found.get(flag)]) if any(found.values()) else ()


def _is_visible(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)
