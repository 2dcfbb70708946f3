"""Which parts of a reply repeat somebody else's words: quotation marks, code, fences, block quotes and marked turns.

Each pass is linear in the text's length, since a reply is whatever a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]
"""Where a quotation begins and ends in a text, its marks included."""
Mark = tuple[int, int, bool | None]
"""Where a mark begins and ends, and whether it opens; None: it closes where one is open, and else opens."""

_DOUBLE = re.compile('["\u201c\u201d\u201e\u201f\uff02]')
_SINGLE = re.compile("(?!['\u2018\u2019](?:\\d|(?:[Tt]is|[Tt]was|em|til|cause|n)\\b))['\u2018\u2019\u201a\u201b]")
"""All but those that stand for a letter or a century."""
_SHAPED = tuple(
    re.compile(f"({opens})|(?:{closes})")
    for opens, closes in (
        ("[\u00ab\u2039]", "[\u00bb\u203a]"), ("[\u300c\u300e\u300a]", "[\u300d\u300f\u300b]"),
        (r"\[\[\[", r"\]\]\]"), ("<(?:q|quote|blockquote|code|pre|cite)>", "</(?:q|quote|blockquote|code|pre|cite)>"),
    )
)  # fmt: skip
"""Marks whose shape says whether they open; the prompts set answers in triple brackets."""
_FENCE = re.compile(r"^[ \t]{0,9}(`{3,99}|~{3,99})[^`\n]*$", re.MULTILINE)
_BLOCK = re.compile(r"^[ \t]*>[^\n]*", re.MULTILINE)
_TICKS = re.compile(r"`+")
_WHOLE = re.compile(
    '[\\s*_]*(?:["\u201c\u201d\u201e]([^"\u201c\u201d\u201e]*)["\u201c\u201d]'
    "|['\u2018\u201a]((?:[^'\u2018\u2019]|(?<=\\w)['\u2019](?=\\w))*)['\u2018\u2019]"
    "|\u00ab([^\u00ab\u00bb]*)\u00bb|\u00bb([^\u00ab\u00bb]*)\u00ab"
    "|(?:```|~~~)[^`~\n]*\n([^`~]*)\n(?:```|~~~)|`{1,2}([^`]*)`{1,2})[\\s*_.]*"
)


def unwrapped(text: str) -> str:
    """A reply that stands in quotation marks or a fence as a whole, without them: these quote nobody."""
    whole = _WHOLE.fullmatch(text)
    return text if whole is None else next(part for part in whole.groups() if part is not None)


def without(text: str, kept: Callable[[int, int], bool]) -> str:
    """A text of the same length in which quotations are one meaningless word each, but those that are `kept`."""
    return blanked(text, [span for span in _outermost(_spans(text)) if not kept(*span)])


def blanked(text: str, spans: Iterable[Span]) -> str:
    """A text of the same length without these parts of it, which come in their order and do not overlap."""
    pieces, done = list[str](), 0
    for start, end in spans:
        pieces += text[done:start], _blank(end - start)
        done = end
    return "".join((*pieces, text[done:]))


def _blank(length: int) -> str:
    """So many characters that say nothing: letters, lest what stands around them comes to touch."""
    return f" {'x' * (length - 2)} " if length > 2 else " " * length


def _outermost(spans: Iterable[Span]) -> Iterator[Span]:
    """The same without overlaps, in their order."""
    start = end = 0
    for one in sorted(spans):
        if one[0] >= end:
            if end > start:
                yield start, end
            start, end = one
        end = max(end, one[1])
    if end > start:
        yield start, end


def _spans(text: str) -> list[Span]:
    fences = list(_fenced(text))
    spans = [*fences, *(match.span() for match in _BLOCK.finditer(text)), *_code(blanked(text, fences))]
    for kind in (_DOUBLE, _SINGLE):
        marks = (match for match in kind.finditer(text) if _is_mark(text, match))
        spans += _paired(text, ((*match.span(), _opens(text, match)) for match in marks))
    for shape in _SHAPED:
        found = list(shape.finditer(text))
        turned = bool(found) and found[0][1] is None  # »so«, as German and Danish books have it
        spans += _paired(text, ((*match.span(), (match[1] is not None) != turned) for match in found))
    return spans


def _around(text: str, match: re.Match[str]) -> tuple[str, str]:
    return text[match.start() - 1 : match.start()] or " ", text[match.end() : match.end() + 1] or " "


def _is_mark(text: str, match: re.Match[str]) -> bool:
    """Whether it is a quotation mark: within a word it is an apostrophe or a sign for inches."""
    before, after = _around(text, match)
    return not (before.isalnum() and after.isalnum())


def _opens(text: str, match: re.Match[str]) -> bool | None:
    """By what stands beside the mark, as its shape says little: languages disagree, and " has only one."""
    before, after = _around(text, match)
    opens = not after.isspace() and not before.isalnum()
    closes = not before.isspace() and not after.isalnum()
    return None if opens == closes else opens


def _paired(text: str, marks: Iterable[Mark]) -> Iterator[Span]:
    """Quotations of one kind, which may hold others of it. What is never closed ends with its line.

    A mark that closes nothing ends the quotation before it in its paragraph: that one held a mark of its own.
    """
    waiting, last = list[int](), None
    for start, end, opens in marks:
        if opens or (opens is None and not waiting):
            waiting.append(start)
        elif waiting:
            last = (waiting.pop(), end)
            yield last
        elif last and not _possessive(text, start):
            last = None if "\n\n" in text[last[1] : start] else (last[0], end)
            yield last or (start, start)
    done = -1
    for start in waiting:
        if start > done:
            done = _line_end(text, start)
            yield start, done


def _possessive(text: str, at: int) -> bool:
    return text[at] in "'\u2019" and text[at - 1 : at] == "s"


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _fenced(text: str) -> Iterator[Span]:
    """From a line of ``` or ~~~ to the next of its kind, or to the end."""
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opened is None:
            opened = match
        elif match[1].startswith(opened[1]):
            yield opened.start(), match.end()
            opened = None
    if opened is not None and text[opened.end() :].strip():
        yield opened.start(), len(text)


def _code(text: str) -> Iterator[Span]:
    """From a run of backticks to the next of the same length; what is never closed ends with its line."""
    runs = [match.span() for match in _TICKS.finditer(text)]
    closing = _next_alike([end - start for start, end in runs])
    place = done = 0
    while place < len(runs):
        start, closed = runs[place][0], closing[place]
        if closed is not None:
            yield start, runs[closed][1]
        elif start >= done:
            done = _line_end(text, start)
            yield start, done
        place = (place if closed is None else closed) + 1


def _next_alike(lengths: list[int]) -> list[int | None]:
    """For each, the place of the next that is equal."""
    found, last = list[int | None](), dict[int, int]()
    for place in range(len(lengths) - 1, -1, -1):
        found.append(last.get(lengths[place]))
        last[lengths[place]] = place
    return found[::-1]
