"""How far a text repeats itself, and how much of it is taken from another text.

All measures count words, so they do not depend on the language. In scripts that put no spaces between words, a
character stands for a word, and so does an emoji.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from operator import eq

MOST_CHARACTERS = 20_000
"""Of a longer text only this much is read: one half from its start and one half from its end, where loops are."""
LONGEST_LOOP = 60
"""Words of the longest piece whose immediate repetition is looked for."""
FEWEST_REPEATED = 8
"""Words that must repeat those just before them. A chorus of three short words is no loop."""
FEWEST_WORDS = 20
"""A shorter text has too few runs of three words for their share to mean anything."""
LEAST_DISTINCT = 0.7
"""The least share of distinct runs of three words. Of 1,948 human-chosen hh-rlhf answers with 20 words or more, two are
below: one says its sentence twice, one is a list of near-equal sentences. The next has 0.71, the median answer 1.0."""

_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}\u2600-\u27bf\U0001f000-\U0001faff]|[^\W{_UNSPACED}]+")
_SPACED = bytes(ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else 32 for code in range(128)) * 2
"""For ASCII: small letters, and a space for what is no part of a word, which gives the words of `_WORD` in a fraction
of its time."""
_MARKS = "\u2018\u2019\u201c\u201d\u2014"
_TIMES = 40
_STUTTER = re.compile(rf"([^\s\-=_*#.~|+/\\]{{1,4}}?)\1{{{_TIMES - 1}}}")
"""One to four characters forty times in a row; rulers and the frames of tables are no stutter."""


def loops(text: str) -> bool:
    """Whether a text has got stuck.

    It has where a piece of 1 to 60 words comes three times or more back to back, with at least 8 words that repeat
    those before them; where fewer than 0.7 of its runs of three words are distinct, from 20 words on; or where one to
    four characters come forty times in a row. Takes time in proportion to the part that is read.
    """
    return _repeats(text) or _stutters(ends(text, MOST_CHARACTERS))


def share_taken(text: str, source: str, known: str = "") -> float:
    """The share of a text's runs of three words that `source` has too and `known` has not: 0 nothing, 1 all.

    A run counts as often as both have it. A text of fewer than three words is one run.
    """
    ours, theirs = _runs(text), _runs(source)
    distinct = frozenset(ours)
    common = distinct.intersection(theirs)
    if not common:
        return 0.0
    if len(distinct) == len(ours):  # as in most texts; there is nothing to count
        return len(common.difference(_runs(known))) / len(ours)
    ours_of, theirs_of, known_of = (Counter(filter(common.__contains__, runs)) for runs in (ours, theirs, _runs(known)))
    return ((ours_of & theirs_of) - known_of).total() / len(ours)


def takes(text: str, source: str, least: float, known: str = "") -> bool:
    """Whether `share_taken` is at least that.

    Runs need not be counted where too few words of the text, each of which begins one run at most, are in `source`.
    """
    ours, theirs = _words(text), frozenset(_words(source))
    if sum(map(theirs.__contains__, ours)) < least * (len(ours) - 2):
        return False
    return share_taken(text, source, known) >= least


def word_count(text: str) -> int:
    """Words of the part of a text that is read."""
    return len(_words(text))


def share_repeated(text: str, length: int) -> float:
    """The share of a text's runs of so many words that it had before: 0 where each is new, towards 1 where one is all.

    0 also for a text of fewer words.
    """
    runs = runs_of(text, length)
    return 1 - len(frozenset(runs)) / len(runs) if runs else 0.0


def runs_of(text: str, length: int) -> list[tuple[str, ...]]:
    """All runs of so many words, one at each word that has enough after it."""
    words = _words(text)
    return list(zip(*(words[start:] for start in range(length)), strict=False))


def ends(text: str, most: int) -> str:
    """The text, or of one with more than `most` characters a half of that from each end."""
    return text if len(text) <= most else f"{text[: most // 2]}\n{text[-(most // 2) :]}"


@lru_cache(maxsize=8)
def _words(text: str) -> Sequence[str]:
    """The words of the part that is read; kept for a moment, since a reply is looked at from several sides."""
    read = plain = ends(text, MOST_CHARACTERS)
    if not plain.isascii():
        for mark in _MARKS:
            plain = plain.replace(mark, " ")
    return plain.encode().translate(_SPACED).decode().split() if plain.isascii() else _WORD.findall(read.lower())


def _runs(text: str) -> Sequence[tuple[str, ...]]:
    """Every three words in a row, in their order."""
    words = _words(text)
    return [tuple(words)] if 0 < len(words) < 3 else list(zip(words, words[1:], words[2:], strict=False))


def _repeats(text: str) -> bool:
    """Whether a piece follows itself at least twice, or too few of the runs are distinct.

    A run that has come before ends in a word that has come before, and every word but the first two ends a run: few
    such words settle it. Of eight words that repeat those before them, six end a run that has come before.
    """
    words = _words(text)
    again = len(words) - len(frozenset(words))
    if again < FEWEST_REPEATED and again <= (1 - LEAST_DISTINCT) * (len(words) - 2):
        return False
    runs = _runs(text)
    distinct = len(frozenset(runs))
    if len(words) >= FEWEST_WORDS and distinct / len(runs) < LEAST_DISTINCT:
        return True
    return len(runs) - distinct >= FEWEST_REPEATED - 2 and _returns(words)


def _returns(words: Sequence[str]) -> bool:
    longest = min(LONGEST_LOOP, len(words) // 3)
    return any(_echoes(words, length, max(2 * length, FEWEST_REPEATED)) for length in range(1, longest + 1))


def _echoes(words: Sequence[str], distance: int, times: int) -> bool:
    """Whether as many words in a row each equal the word `distance` before them.

    Of so many in a row one has an index that `times` divides, so these are compared first.
    """
    if not any(map(eq, words[distance::times], words[::times])):
        return False
    return b"\1" * times in bytes(map(eq, words[distance:], words))


def _stutters(text: str) -> bool:
    """A stutter holds no space: with one in every piece of half its length, there is none."""
    half = _TIMES // 2
    if all(" " in text[start : start + half] for start in range(0, len(text) - half + 1, half)):
        return False
    return any(_STUTTER.search(piece) for piece in text.split() if len(piece) >= _TIMES)
