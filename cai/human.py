"""Comparisons that people made, from files of pairs: hh-rlhf's transcripts and TRL's preference forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.errors import InputError
from cai.questions import rows
from cai.records import Kind, Message, Prompt
from cai.transcripts import from_messages, from_text, from_transcript, is_transcript, last_answer

_WANTED = "expected 'chosen' and 'rejected': two transcripts, or with 'prompt' two answers or lists of messages"


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, of which people preferred the first."""

    prompt: Prompt
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Pairs:
    """Pairs in the order of their file, and how many rows were left out and why.

    `identical`: both answers are the same; `different prompts`: the two transcripts share no prompt; `no answer`: one
    of them ends with a person's turn. METHOD: hh-rlhf has a few of each.
    """

    pairs: tuple[Pair, ...]
    left_out: dict[str, int]


def load_pairs(spec: str, kind: Kind, beside: Path | None = None) -> Pairs:
    """Pairs from a file or `hf:owner/name[:split]` (see cai/questions.py for what a file may be).

    Raises InputError with the file and line of a row that is no pair.
    """
    name, found = rows(spec, beside)
    left_out: Counter[str] = Counter()
    pairs = tuple(_pairs(spec, name, found, kind, left_out))
    if not pairs:
        raise InputError(f"{name}: holds no pairs to learn from (left out: {dict(left_out)}); {_WANTED}")
    return Pairs(pairs, dict(left_out))


def _pairs(spec: str, name: str, found: Any, kind: Kind, left_out: Counter[str]) -> Iterator[Pair]:
    for where, row in found:
        try:
            sides = [_conversation(row, side) for side in ("chosen", "rejected")]
        except InputError as error:
            raise InputError(f"{name}{where}: {error}") from None
        (messages, chosen), (other, rejected) = sides
        reason = _unusable(messages, other, chosen, rejected)
        if reason:
            left_out[reason] += 1
        else:
            yield Pair(Prompt.of(messages, kind, f"{spec}{where}"), chosen, rejected)


def _unusable(messages: Any, other: Any, chosen: str, rejected: str) -> str:
    if messages != other:
        return "different prompts"
    if not chosen or not rejected:
        return "no answer"
    return "identical" if chosen == rejected else ""


def _conversation(row: dict[str, Any], side: str) -> tuple[tuple[Message, ...], str]:
    """The conversation up to the answer, and the answer; empty where the conversation ends with a person's turn."""
    value, prompt = row.get(side), row.get("prompt")
    if isinstance(value, str) and prompt is None and is_transcript(value):
        return from_transcript(value), last_answer(value)
    if isinstance(value, str) and isinstance(prompt, str):
        return (from_transcript(prompt) if is_transcript(prompt) else from_text(prompt)), value.strip()
    if isinstance(value, list) and (prompt is None or isinstance(prompt, list)):
        whole = [*(prompt or []), *value]
        return from_messages(whole), _said(whole)
    raise InputError(f"{side}: {_WANTED}; found {', '.join(map(repr, row)) or 'nothing'}")


def _said(messages: list[Any]) -> str:
    last = messages[-1] if messages else None
    spoke = isinstance(last, dict) and last.get("role") == "assistant" and isinstance(last.get("content"), str)
    return last["content"].strip() if spoke else ""  # pyright: ignore[reportOptionalSubscript]
