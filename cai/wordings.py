"""Says by its wording whether a text is an answer, a critique, or talk about a revision, and finds turn markers.

The patterns are in `cai/wording_rules.py`; all but the marks of turns read English. Most read the first two sentences
and the last paragraph, without what these quote: there a model says what it is doing. A rule for wording knows nothing
of the person's request: a rewritten answer that the person asked for, or a dialogue with its speakers' names, looks the
same.

Measured on the 3,108 answers that people chose in hh-rlhf. Read as revisions: 3 are called talk about rewriting (they
do speak of an earlier answer), none a critique; 17 hold a marker, all a leaked "Human:". Read as critiques: 1,785 of
the 2,740 with eight words or more are told to be answers; the others speak to nobody, or have a word that critiques
have too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from cai.repeats import ends
from cai.wording_rules import (
    ABOUT_A_REPLY,
    ALWAYS_META,
    CRITIQUES,
    LABEL,
    MARK,
    META,
    META_AT_THE_END,
    PRESENTATION,
    PRESENTED,
    SPEAKER,
    SPEAKERS,
    TO_A_PERSON,
    Rules,
)

MOST_CHARACTERS = 100_000
"""Of a longer text only this much is read: one half from its start and one half from its end."""
FEWEST_WORDS = 8
"""A shorter text may be a critique that names nothing ("Stealing is bad for you")."""
_OPENING = 400
_ENDING = 600
"""Characters within which the opening and the ending of a reply lie."""
_STRAIGHT = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
_MARKDOWN = "*#_`"
_SPACED = bytes(code if chr(code).isalnum() else 32 for code in range(128)) * 2
"""For ASCII: a space for what is neither letter nor digit."""


def marks_a_turn(text: str) -> bool:
    """Whether a line opens with a speaker's or a template's name and a colon, or a token that sets turns apart stands.

    Also `[[[` and `]]]`, by which our templates quote answers, unless numbers or strings stand inside as in code.
    """
    read = ends(text, MOST_CHARACTERS)
    if ":" in read and any(map(read.__contains__, SPEAKERS)) and re.search(SPEAKER, read):
        return True
    return any(map(read.__contains__, "<[]")) and re.search(MARK, read) is not None


def speaks_of_rewriting(text: str, revised: bool) -> bool:
    """Whether a text says that it is a rewritten answer, or how it came to be.

    Unless it is `revised`, only words count that name an answer, response or reply: a person may well ask for a
    rewritten letter, and hear what was changed.
    """
    plain = _plain(text)
    if not (revised or _names_a_reply(plain)):
        return False
    if announces_a_revision(text) or _holds(META if revised else ALWAYS_META, plain, _opening, _ending):
        return True
    return revised and _holds(META_AT_THE_END, plain, _ending)


def announces_a_revision(text: str) -> bool:
    """Whether some line announces a rewritten answer, as in "Revised response:"."""
    plain = _plain(text)
    return _names_a_reply(plain) and LABEL.may_match(plain, _words(plain)) and LABEL.search(plain) is not None


def criticises(text: str) -> bool:
    """Whether a text opens as a critique does: with what an answer is, does or lacks.

    "Here is a rewritten version of the assistant's answer" is none: it presents a revision.
    """
    return _holds(CRITIQUES, _plain(text), _opening_without_presentation)


def answers_a_person(text: str) -> bool:
    """Whether a text of some length speaks to somebody, and nowhere of an answer or of what is wrong with one."""
    plain = _plain(text)
    if not TO_A_PERSON.may_match(plain, _words(plain)):
        return False
    unquoted = _unquoted(plain)
    if not TO_A_PERSON.search(unquoted) or len(unquoted.split()) < FEWEST_WORDS:
        return False
    return not _holds(ABOUT_A_REPLY, plain, _unquoted)


def without_quotes(text: str) -> str:
    """The text without what stands in double quotation marks within a line, and without quoted lines."""
    return _unquoted(text.replace("\u201c", '"').replace("\u201d", '"'))


def _unquoted(text: str) -> str:
    return re.sub(r'"[^"\n]*"|(?m:^[ \t]*>.*$)', " ", text) if '"' in text or ">" in text else text


@lru_cache(maxsize=8)
def _plain(text: str) -> str:
    """Lower case, straight quotes, no Markdown, single spaces; lines stay apart. Kept while a reply is looked at."""
    read = ends(text, MOST_CHARACTERS)
    if not read.isascii():
        for mark, straight in _STRAIGHT.items():
            read = read.replace(mark, straight)
    plain = read.lower()
    for mark in _MARKDOWN:
        plain = plain.replace(mark, "")
    return "\n".join([" ".join(line.split()) for line in plain.splitlines()]).strip()


def _holds(rules: Rules, plain: str, *parts: Callable[[str], str]) -> bool:
    """Whether a rule holds in a part of a text; the parts are taken from it only where one might."""
    likely = rules.likely(plain, _words(plain))
    if not likely:
        return False
    return any(rule.search(read) for read in [part(plain) for part in parts] for rule in likely)


def _names_a_reply(plain: str) -> bool:
    """Whether it might: all rules for first answers need one of these words."""
    return "answer" in plain or "response" in plain or "reply" in plain


@lru_cache(maxsize=8)
def _words(plain: str) -> frozenset[str]:
    """All words, and what is left of those at which the opening and the ending are cut."""
    read = plain
    if len(plain) > _OPENING:
        read = f"{plain[:_OPENING].rsplit(None, 1)[-1]} {plain} {plain[-_ENDING:].split(None, 1)[0]}"
    return frozenset(read.encode().translate(_SPACED).decode().split() if read.isascii() else re.findall(r"\w+", read))


@lru_cache(maxsize=8)
def _opening(plain: str) -> str:
    """The first two sentences or lines."""
    sentences = re.split(r"(?<=[.!?]) |\n", _unquoted(plain[:_OPENING]))
    return " ".join([sentence for sentence in sentences if sentence.strip()][:2])


def _opening_without_presentation(plain: str) -> str:
    opening = _opening(plain)
    return re.sub(PRESENTED, " ", opening) if PRESENTATION.may_match(plain, _words(plain)) else opening


def _ending(plain: str) -> str:
    """The last paragraph, or its last 600 characters."""
    return _unquoted(plain[-_ENDING:].split("\n\n")[-1])
