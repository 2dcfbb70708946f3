"""What models wrote, on a terminal: nothing that the terminal would obey, and what changed marked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

from rich.console import Console
from rich.text import Text

Kind = Literal["kept", "removed", "added"]

_FORMS: dict[Kind, tuple[str, str]] = {"kept": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_STYLES: dict[Kind, str] = {"kept": "", "removed": "red strike", "added": "bold green"}

_SHORT = 2
"""Fewer kept words between two changes are shown as changed: a rewritten sentence shares an "a" and a "the"."""

UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that put no spaces between words, as ranges for a character class."""

_WORD = re.compile(rf"\s*(?:[{UNSPACED}]|[^\s{UNSPACED}]+)")
"""A word with the space before it; in scripts without spaces, a character."""

CLOSED_PIPE = 141
"""The exit code where nobody reads the output any more: 128 and the number of SIGPIPE, as shells have it."""


class Terminal(Console):
    """A console that ends with CLOSED_PIPE where nobody reads it any more, as in `cai show RUN | head`."""

    def on_broken_pipe(self) -> None:
        """Ends the program, quietly."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(CLOSED_PIPE) from None


def pipe_closed() -> bool:
    """Whether the command line has just met a closed pipe by itself, as in `cai --help | head`."""
    return type(sys.stdout).__name__.endswith("PacifyFlushWrapper")


def say(console: Console, text: str) -> None:
    """Prints a text as it is: nothing in it is markup or a number to be coloured, and no line is broken."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def in_colour(console: Console) -> bool:
    """Whether colours can be seen there: a terminal that has them, and no NO_COLOR."""
    return console.color_system is not None and not console.no_color


def changed(before: str, after: str, colour: bool) -> Text:
    """`after` with what was added and what was removed marked: by colour, or as in `[-removed-] {+added+}`."""
    text = Text()
    for kind, piece in changes(printable(before), printable(after)):
        bare = piece.lstrip()
        text.append(piece[: len(piece) - len(bare)])
        opening, closing = ("", "") if colour else _FORMS[kind]
        text.append(f"{opening}{bare}{closing}", _STYLES[kind] if colour else "")
    return text


def changes(before: str, after: str) -> list[tuple[Kind, str]]:
    """What stayed, went and came, word by word, each piece with the space before it.

    The pieces kept and added are `after`, space at its ends aside; those kept and removed have the words of `before`.
    """
    old, new = (_WORD.findall(f" {text.strip()}") for text in (before, after))
    pieces: list[tuple[Kind, str]] = []
    for gone, come, kept in _stretches(old, new):
        found: tuple[tuple[Kind, list[str]], ...] = (("removed", gone), ("added", come), ("kept", kept))
        for kind, words in found:
            if words:
                pieces.append((kind, "".join(words) if pieces else "".join(words).lstrip()))
    return pieces


def _stretches(old: list[str], new: list[str]) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """(gone, come, kept): words that went, those that came in their place, and those that stayed after them."""
    words = [[word.lstrip() for word in words] for words in (old, new)]
    i = j = 0
    for at, to, size in SequenceMatcher(None, *words, autojunk=False).get_matching_blocks():
        outer = (at, to) == (0, 0) or (at + size, to + size) == (len(old), len(new))
        if size >= _SHORT or outer:
            yield old[i:at], new[j:to], new[to : to + size]
            i, j = at + size, to + size
