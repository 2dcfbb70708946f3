"""Comparisons that people made, from files of pairs: hh-rlhf's transcripts, HHH's rows, TRL's forms, CSV."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from cai.errors import InputError
from cai.questions import COLUMNS, Row, rows
from cai.records import Kind, Message, Prompt
from cai.transcripts import from_messages, from_text, from_transcript, is_transcript, last_answer

RATINGS = ("significantly", "better", "slightly", "negligibly")
"""How much better the chosen answer is, from most to least (Llama 2, arXiv 2307.09288, section 3.2.1)."""

_WANTED = (
    "expected 'chosen' and 'rejected': two transcripts, two lists of messages, two texts that begin with the same "
    "prompt, or with 'prompt' two answers"
)
_ASSISTANT, _HUMAN = (re.compile(rf"\r?\n\r?\n{name}:") for name in ("Assistant", "Human"))


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, of which people preferred the first.

    `p` = P(chosen is better), from 0.5 to 1: 1 where a row has no soft label. `rating` is one of RATINGS or "",
    `category` what its file calls it or "". `source` is the file's name without its folder, or the `hf:` name.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    category: str = ""
    rating: str = ""
    source: str = ""
    p: float = 1.0

    def turned(self) -> Pair:
        """The same comparison with the other answer first."""
        return replace(self, chosen=self.rejected, rejected=self.chosen, p=1 - self.p)


@dataclass(frozen=True)
class Pairs:
    """Pairs in the order of their file, and how many rows were left out and why.

    `identical`: both answers are the same; `different prompts`: the two transcripts share no prompt; `no answer`: one
    of them ends with a person's turn, or is empty; `no verdict`: a row of our own export whose judge said nothing.
    hh-rlhf has a few of each but the last. `turned`: pairs whose soft label was below 0.5, so that the answer
    that their file calls rejected is `chosen` here.
    """

    pairs: tuple[Pair, ...]
    left_out: dict[str, int]
    turned: int = 0


def load_pairs(spec: str, kind: Kind, beside: Path | None = None) -> Pairs:
    """Pairs from a file or `hf:owner/name[:split]` (see cai/questions.py for what a file may be).

    Columns: `chosen` and `rejected`, and where there are any `prompt`, `category`, `rating` (or `margin`: one of
    RATINGS) and `p` (or `label`: P(chosen is better)). Raises InputError with the file and line of a row that is no
    pair.
    """
    name, found = rows(spec, beside)
    source = spec if spec.startswith("hf:") else Path(name).name
    counts: Counter[str] = Counter()
    pairs = tuple(_pairs(spec, name, source, found, kind, counts))
    turned = counts.pop("turned", 0)
    if not pairs and not counts:
        raise InputError(f"{name}: is empty; {_WANTED}")
    if not pairs:
        told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        raise InputError(f"{name}: none of its rows is a pair that tells answers apart ({told}); {_WANTED}")
    return Pairs(pairs, dict(counts), turned)


def _pairs(spec: str, name: str, source: str, found: Iterable[Row], kind: Kind, counts: Counter[str]) -> Iterator[Pair]:
    """Counts what it leaves out by its reason, and what it turns."""
    for where, row in found:
        try:
            pair = _pair(row, kind, f"{spec}{where}", source)
        except InputError as error:
            raise InputError(f"{name}{where}: {error}") from None
        if isinstance(pair, str):
            counts[pair] += 1
            continue
        counts["turned"] += pair.p < 0.5
        yield pair.turned() if pair.p < 0.5 else pair


def _pair(row: dict[str, Any], kind: Kind, place: str, source: str) -> Pair | str:
    """A pair as its row has it, or the reason why it is of no use."""
    if "state" in row and row.get("chosen") is None and row.get("rejected") is None:
        return "no verdict"
    (messages, chosen), (other, rejected) = (conversation(row, side) for side in ("chosen", "rejected"))
    if messages != other:
        return "different prompts"
    if not chosen or not rejected:
        return "no answer"
    if chosen == rejected:
        return "identical"
    prompt = Prompt.of(messages, kind, place)
    return Pair(prompt, chosen, rejected, _category(row), _rating(row), source, _probability(row))


def conversation(row: dict[str, Any], side: str) -> tuple[tuple[Message, ...], str]:
    """The conversation up to the answer in column `side`, and the answer; empty where it ends with a person's turn.

    Raises InputError where the column holds neither.
    """
    value, prompt = row.get(side), row.get("prompt")
    if isinstance(value, str) and isinstance(prompt, str):
        return _asked(prompt), value.strip()
    if isinstance(value, str) and prompt is None and is_transcript(value):
        return from_transcript(value), last_answer(value)
    if isinstance(value, str) and prompt is None and (shared := _shared(row)):
        return from_text(shared), value[len(shared) :].strip()
    if isinstance(value, list) and (prompt is None or isinstance(prompt, list)):
        whole = [*(prompt or []), *value]
        return from_messages(whole), _said(whole)
    raise InputError(f"{side}: {_WANTED}; found {_found(row, side)}")


def _found(row: dict[str, Any], side: str) -> str:
    """What is wrong with a row: a value of another type, or columns of other names."""
    filled = {name: row[name] for name in (side, "prompt") if row.get(name) is not None}
    if strange := [name for name, value in filled.items() if not isinstance(value, str | list)]:
        return f"{str(filled[strange[0]])[:40]!r} in {strange[0]!r}, which is no text and no list"
    return f"the columns {', '.join(map(repr, row))}" if row else "nothing"


def _asked(prompt: str) -> tuple[Message, ...]:
    """A prompt of its own column. HHH leaves out the `Human:` that its conversations open with."""
    if is_transcript(prompt):
        return from_transcript(prompt)
    if (answered := _ASSISTANT.search(prompt)) and _HUMAN.search(prompt, answered.end()):
        return from_transcript(prompt if prompt.lstrip().startswith("Human:") else f"\n\nHuman: {prompt}")
    return from_text(prompt)


def _shared(row: dict[str, Any]) -> str:
    """The words that both texts begin with: the prompt, as TRL finds it where it has no column of its own.

    Empty where a column could hold the prompt under another name.
    """
    sides = [side for side in (row.get("chosen"), row.get("rejected")) if isinstance(side, str)]
    elsewhere = [column for column in COLUMNS if column != "chosen" and row.get(column) is not None]
    if len(sides) < 2 or elsewhere:
        return ""
    same = takewhile(lambda letters: letters[0] == letters[1], zip(*sides, strict=False))
    words = re.sub(r"\S+\Z", "", "".join(letter for letter, _ in same))
    return words if words.strip() else ""


def _said(messages: list[Any]) -> str:
    last = messages[-1] if messages else None
    spoke = isinstance(last, dict) and last.get("role") == "assistant" and isinstance(last.get("content"), str)
    return last["content"].strip() if spoke else ""  # pyright: ignore[reportOptionalSubscript]


def _category(row: dict[str, Any]) -> str:
    value = row.get("category")
    if value is not None and not isinstance(value, str | int):
        raise InputError(f"category: expected a word, found {value!r}")
    return "" if value is None else str(value).strip()


def _rating(row: dict[str, Any]) -> str:
    """Llama 2's words; its own "slightly better" is `slightly`."""
    column, value = _first(row, "rating", "margin")
    if value is None:
        return ""
    word = value.strip().lower().removesuffix(" better") if isinstance(value, str) else value
    if word not in RATINGS:
        raise InputError(
            f"{column}: expected one of {', '.join(RATINGS)}, found {value!r}; rename the column to keep it"
        )
    return word


def _probability(row: dict[str, Any]) -> float:
    column, value = _first(row, "p", "label")
    if value is None:
        return 1.0
    try:
        p = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        p = -1.0
    if not 0 <= p <= 1:
        wanted = "expected P(chosen is better), a number from 0 to 1"
        raise InputError(f"{column}: {wanted}, found {value!r}; rename the column to keep it")
    return p


def _first(row: dict[str, Any], *columns: str) -> tuple[str, Any]:
    """The first of these columns that is filled, and its value; None where none is."""
    filled = ((column, row[column]) for column in columns if row.get(column) not in (None, ""))
    return next(filled, ("", None))
