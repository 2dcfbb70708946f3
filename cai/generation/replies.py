"""Reads the new entries of a numbered list that a model was asked to continue."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBERED = re.compile(r"[ \t]*(\d{1,6})[.)](?:[ \t]+(.*))?")
_QUOTES = {'"': '"', "\u201c": "\u201d", "**": "**", "`": "`"}


class Entry(NamedTuple):
    """One entry of the list. `whole` is false where it may go on: it was cut off, or more lines follow."""

    text: str
    whole: bool


def entries(reply: str, first: int, cut: bool) -> list[Entry]:
    """The entries of a list from number `first` on, in order.

    The reply continues a line that begins `first.`; one that writes this itself is read alike. Entries are numbered one
    after the other, each on one line. Any other line ends the list, or makes the entry just before it not whole.
    `cut`: the reply was stopped at its token limit, so the last entry is not whole.
    """
    found: list[Entry] = []
    follows = False
    for line in _with_number(reply, first).splitlines():
        match = _NUMBERED.fullmatch(line)
        if match and int(match[1]) == first + len(found):
            found.append(Entry(_unquoted(match[2] or ""), whole=True))
            follows = True
        elif not line.strip():
            follows = False
        elif follows:
            found[-1] = found[-1]._replace(whole=False)
        else:
            return found
    return [*found[:-1], found[-1]._replace(whole=False)] if cut else found


def _with_number(reply: str, first: int) -> str:
    text = reply.strip()
    begins = _NUMBERED.fullmatch(text.split("\n", 1)[0])
    return text if begins and int(begins[1]) == first else f"{first}. {text}"


def _unquoted(text: str) -> str:
    """Without the quotation marks or asterisks around the whole of it."""
    text = text.strip()
    for opening, closing in _QUOTES.items():
        inside = text.removeprefix(opening).removesuffix(closing)
        if text == f"{opening}{inside}{closing}" and opening not in inside and closing not in inside:
            return inside.strip()
    return text
