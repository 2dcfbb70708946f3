"""Which generated prompts are kept, and why the others are not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from cai.generation.replies import Entry
from cai.near_duplicates import NearDuplicates
from cai.refusals import refuses
from cai.repeats import loops
from cai.wordings import marks_a_turn

Reason = Literal[
    "unfinished",
    "empty",
    "unreadable",
    "too short",
    "too long",
    "turn marker",
    "no request",
    "repetition",
    "copy of a seed",
    "duplicate",
    "like a seed",
    "near-duplicate",
]

REASONS: Mapping[Reason, str] = {
    "unfinished": "cut off at the token limit, or going on over several lines",
    "empty": "nothing but its number",
    "unreadable": "holds a NUL byte or half a surrogate pair",
    "too short": "too short to ask for anything",
    "too long": "longer than a list's entry should be",
    "turn marker": "holds the name of a speaker or a mark that sets turns apart",
    "no request": "an assistant's refusal, a heading, a placeholder, a list within the list, or without a letter",
    "repetition": "says the same again and again",
    "copy of a seed": "one of your own prompts",
    "duplicate": "the same as an earlier one",
    "like a seed": "a near-duplicate of one of your own prompts",
    "near-duplicate": "a near-duplicate of an earlier one",
}
"""Why a prompt is not kept; of several reasons the first here."""

FEWEST_BYTES = 10
"""Of UTF-8: ten Latin letters, four Chinese characters. The shortest of 4,898 red-team questions has ten."""
MOST_CHARACTERS = 1_000
"""Of one prompt, and of a seed that is shown. The longest of those questions has 542."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPEAKER = re.compile(r"(?<![\w-])(?:Human|Assistant|User|AI):(?:\s|$)")
"""Within a line too: a list's entry has only one."""
_HEADING = re.compile(
    r"(?i)(?:(?:sure|certainly|of course|okay|ok)\W+)?(?:here (?:is|are)|here's|below (?:is|are))\b.*:"
)
_LIST = re.compile(r"\d{1,3}[.)]\s.*")
_PLACEHOLDER = re.compile(r"\W*(?:\[[^\]]*\]|<[^>]*>|\{[^}]*\})\W*")


class Fault(NamedTuple):
    """Why a prompt is not kept; `like` is the text that it is too much like, `similarity` from 0 to 1."""

    reason: Reason
    like: str | None = None
    similarity: float | None = None


class Sieve:
    """Compares each prompt with the user's own and with all that were kept before it.

    Raises MissingExtra where datasketch is not installed.
    """

    def __init__(self, seeds: Iterable[str]) -> None:
        self._near = NearDuplicates()
        self._texts: list[str] = []
        self._same: dict[str, int] = {}
        for seed in seeds:
            self.keep(seed)
        self._seeds = len(self._texts)

    def keep(self, text: str) -> None:
        """Remembers a prompt that later ones must differ from."""
        self._same.setdefault(_folded(text), len(self._texts))
        self._texts.append(text)
        self._near.add(text)

    def fault(self, entry: Entry) -> Fault | None:
        """What is wrong with an entry of a list; None where it is a new prompt."""
        reason = _own_fault(entry)
        return Fault(reason) if reason else self._likeness(entry.text)

    def _likeness(self, text: str) -> Fault | None:
        same = self._same.get(_folded(text))
        if same is not None:
            return Fault("copy of a seed" if same < self._seeds else "duplicate", self._texts[same], 1.0)
        near = self._near.nearest(text)
        if near is None:
            return None
        reason: Reason = "like a seed" if near.number < self._seeds else "near-duplicate"
        return Fault(reason, self._texts[near.number], round(near.similarity, 4))


def _own_fault(entry: Entry) -> Reason | None:
    """What is wrong with an entry whatever the others are."""
    text = entry.text
    found: dict[Reason, bool] = {
        "unfinished": not entry.whole,
        "empty": not text,
        "unreadable": "\0" in text or _SURROGATE.search(text) is not None,
        "too short": len(text.encode("utf-8", "surrogatepass")) < FEWEST_BYTES,
        "too long": len(text) > MOST_CHARACTERS,
        "turn marker": marks_a_turn(text) or _SPEAKER.search(text) is not None,
        "no request": _is_no_request(text),
        "repetition": loops(text),
    }
    return next((reason for reason, is_so in found.items() if is_so), None)


def _is_no_request(text: str) -> bool:
    """Only what is certain: of 9,226 prompts by people one is taken for no request ("I can't help it.")."""
    if not any(character.isalpha() for character in text):
        return True
    whole = any(pattern.fullmatch(text) for pattern in (_HEADING, _LIST, _PLACEHOLDER))
    return whole or ("?" not in text and refuses(text))


def _folded(text: str) -> str:
    """Texts that differ only in case, spaces or the last marks are the same."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .?!\u2026")
