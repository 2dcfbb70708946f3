"""How far a text repeats itself, and how much of it is taken from another text.

All measures count words, so they do not depend on the language. In scripts that put no spaces between words, a
character stands for a word, and so does an emoji.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

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
_STUTTER = re.compile(r"([^\s\-=_*#.~|+/\\]{1,4}?)\1{39}")
"""One to four characters forty times in a row; rulers and the frames of tables are no stutter."""


def loops(text: str) -> bool:
    """Whether a text has got stuck.

    It has where a piece of 1 to 60 words comes three times or more back to back, with at least 8 words that repeat
    those before them; where fewer than 0.7 of its runs of three words are distinct, from 20 words on; or where one to
    four characters come forty times in a row. Takes time in proportion to the part that is read.
    """
    read = _ends(text)
    words = _words(read)
    return _returns(words) or _share_of_distinct(words) < LEAST_DISTINCT or _STUTTER.search(read) is not None


def share_taken(text: str, source: str, known: str = "") -> float:
    """The share of a text's runs of three words that `source` has too and `known` has not: 0 nothing, 1 all.

    A run counts as often as both have it. A text of fewer than three words is one run.
    """
    ours, theirs, before = (_runs(_words(_ends(part))) for part in (text, source, known))
    shared = (ours & theirs) - before
    return shared.total() / max(1, ours.total())


def _ends(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str], length: int = 3) -> Counter[tuple[str, ...]]:
    if 0 < len(words) < length:
        return Counter([tuple(words)])
    return Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def _share_of_distinct(words: Sequence[str]) -> float:
    if len(words) < FEWEST_WORDS:
        return 1.0
    runs = _runs(words)
    return len(runs) / runs.total()


def _returns(words: Sequence[str]) -> bool:
    """Whether a piece of some length follows itself at least twice."""
    longest = min(LONGEST_LOOP, len(words) // 3)
    return any(_longest_echo(words, length) >= max(2 * length, FEWEST_REPEATED) for length in range(1, longest + 1))


def _longest_echo(words: Sequence[str], distance: int) -> int:
    """The most words in a row that each equal the word `distance` before them."""
    longest = echo = 0
    for index in range(distance, len(words)):
        echo = echo + 1 if words[index] == words[index - distance] else 0
        longest = max(longest, echo)
    return longest
