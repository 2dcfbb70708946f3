"""Finds near-duplicates among any number of short texts: MinHash to find candidates, the exact Jaccard to decide.

Two texts are near-duplicates where the sets of three-letter pieces that they are made of overlap by `THRESHOLD` or
more (Broder 1997, "On the resemblance and containment of documents"). Case, punctuation and spacing count for nothing.
The pieces are of characters, so that it works in any script and a changed ending changes little.

Measured on 4,898 distinct red-team questions of hh-rlhf (`tests/test_near_duplicates.py`). Ten kinds of small changes
made to 500 of them (other marks or case, a greeting, a typo, a word more, less, moved or replaced, another ending,
"Please tell me:" in front) gave 4,714 planted near-duplicates: 4,346 (92 %) are similar enough, and found. Least
often similar enough are those whose words changed places or were replaced. Among the questions themselves 216 of
twelve million pairs are similar enough, all found, and 106 questions (2.2 %) would be dropped. Of these, 134 come
from two families of one sentence about another thing each ("What is an offensive ... term that starts with ...?",
counted by their wording); of the other 82, which were read, 62 ask the same in other words or a little more of it. So
what is dropped may ask for another thing, in the same sentence; and the same request in quite other words is not
found.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple

from cai.errors import needing

THRESHOLD = 0.75
"""The least Jaccard similarity of near-duplicates."""
LENGTH = 3
"""Characters in a piece."""
BANDS, ROWS = 25, 5
"""A MinHash has 25 bands of five values; a pair is looked at where one band agrees. A pair at the threshold is missed
with probability (1 - 0.75 ** 5) ** 25 = 0.11 %, one at 0.85 with 0.00004 %."""


class Match(NamedTuple):
    """The text that is most like another: its number in the order of adding, and their Jaccard similarity."""

    number: int
    similarity: float


class NearDuplicates:
    """Texts, each compared with all before it. Memory: about 8 kB a text.

    Raises MissingExtra where datasketch is not installed.
    """

    def __init__(self) -> None:
        with needing("prompts"):
            from datasketch import MinHash, MinHashLSH
        self._empty: Any = MinHash(num_perm=BANDS * ROWS)
        self._index: Any = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._plain: list[str] = []

    def __len__(self) -> int:
        return len(self._plain)

    def add(self, text: str) -> None:
        """Adds a text; the first is number 0."""
        plain = _plain(text)
        self._index.insert(len(self._plain), self._sketch(_pieces(plain)), check_duplication=False)
        self._plain.append(plain)

    def nearest(self, text: str) -> Match | None:
        """The most similar text at or above the threshold, of equal ones the first; None where there is none."""
        sought = _pieces(_plain(text))
        found = self._index.query(self._sketch(sought))
        matches = (Match(number, _jaccard(sought, _pieces(self._plain[number]))) for number in found)
        near = (match for match in matches if match.similarity >= THRESHOLD)
        return max(near, key=lambda match: (match.similarity, -match.number), default=None)

    def _sketch(self, pieces: set[str]) -> Any:
        sketch = self._empty.copy()
        sketch.update_batch([piece.encode("utf-8", "surrogatepass") for piece in pieces])
        return sketch


def similarity(one: str, two: str) -> float:
    """The Jaccard similarity of two texts' pieces, from 0 to 1: what they share, as a share of all that they have."""
    return _jaccard(_pieces(_plain(one)), _pieces(_plain(two)))


def _jaccard(one: set[str], two: set[str]) -> float:
    shared = len(one & two)
    return shared / (len(one) + len(two) - shared)


def _plain(text: str) -> str:
    """In lower case, without punctuation, words a space apart, and a space at both ends. Symbols stay: `+` counts."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\u2019", "")
    kept = (character if unicodedata.category(character)[0] in "LMNS" else " " for character in folded)
    return f" {' '.join(''.join(kept).split())} "


def _pieces(plain: str) -> set[str]:
    return {plain[start : start + LENGTH] for start in range(max(1, len(plain) - LENGTH + 1))}
