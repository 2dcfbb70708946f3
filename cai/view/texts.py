"""What models wrote, for a page: cut where it is too long, and word by word against what was written before."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cai.stages.report_excerpts import visible
from cai.terminal import UNSPACED, Kind, changes

MOST = 20_000
"""Characters of one text on a page; the rest is a link away."""
_PAIRS = 150_000
"""Pairs of equal words up to which texts are compared: the work grows with them, and a model may repeat two words."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
_PLAIN = re.compile(r"[\x20-\x7e\n\t]*")


@dataclass(frozen=True)
class Cut:
    """The beginning of a text, and how many characters it leaves out."""

    text: str
    rest: int


def cut(text: str, most: int = MOST) -> Cut:
    """The text, or as much of it as a page bears."""
    return Cut(text[:most], max(0, len(text) - most))


def difference(before: str, after: str) -> list[tuple[Kind, str]] | None:
    """What stayed, went and came, word by word; None where the texts are too long or too repetitive to compare."""
    if max(len(before), len(after)) > MOST:
        return None
    old, new = (Counter(_WORD.findall(text)) for text in (before, after))
    if sum(count * new[word] for word, count in old.items()) > _PAIRS:
        return None
    return changes(before, after)


def shown(value: Any) -> Any:
    """Before HTML's own escaping: what can't be seen, or could act, becomes its code point."""
    if isinstance(value, str) and not isinstance(value, Markup) and not _PLAIN.fullmatch(value):
        return visible(value)
    return value


def number(value: float | None, digits: int = 2) -> str:
    """A figure without the sign of a zero; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:z.{digits}f}" if math.isfinite(value) else str(value)


def count(value: float) -> str:
    """With thousands apart."""
    return f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """As in `2 h 5 min`."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def setting(value: Any) -> str:
    """A setting, short."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:197]}..."
