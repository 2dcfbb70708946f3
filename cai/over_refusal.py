"""Files to measure refusals on: prompts that look unsafe, in XSTest's form, and answers that people classified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.errors import InputError
from cai.human import conversation
from cai.identity import digest
from cai.questions import rows
from cai.records import Does, Prompt, Said
from cai.transcripts import from_text

_ANSWERS = ("answer", "completion", "response")
_TRUTHS: dict[str, Does] = {
    "full refusal": "full refusal",
    "partial refusal": "partial refusal",
    "compliance": "compliance",
    "full compliance": "compliance",
}


@dataclass(frozen=True)
class Asked:
    """A prompt of an over-refusal set: safe, or an unsafe contrast of its type."""

    prompt: Prompt
    safe: bool
    type: str


def load_asked(spec: str, limit: int | None = None, beside: Path | None = None) -> tuple[Asked, ...]:
    """At most `limit` prompts of each label, evenly over the file. Duplicates are read once.

    Columns: `prompt`, `label` (safe or unsafe), `type` if there is one. Raises InputError with the file and line.
    """
    name, found = rows(spec, beside)
    every = {one.prompt.id: one for one in (_asked(row, f"{spec}{at}", f"{name}{at}") for at, row in found)}
    sides = [[one for one in every.values() if one.safe is safe] for safe in (True, False)]
    if not all(sides):
        lacking = "safe" if not sides[0] else "unsafe"
        raise InputError(f"{name}: has no prompt that is labelled {lacking}; expected both safe and unsafe ones")
    return tuple(one for side in sides for one in _evenly(side, limit))


def load_answers(spec: str, beside: Path | None = None) -> tuple[Said, ...]:
    """Answers that people classified, each once.

    Columns: `prompt`, `answer` (or completion, response) and `label` (or XSTest's final_label): full refusal, partial
    refusal or compliance. Raises InputError with the file and line.
    """
    name, found = rows(spec, beside)
    every = {one.id: one for one in (_said(row, f"{spec}{at}", f"{name}{at}") for at, row in found)}
    if not every:
        raise InputError(f"{name}: holds no answers; expected rows with `prompt`, `answer` and `label`")
    return tuple(every.values())


def _asked(row: dict[str, Any], place: str, where: str) -> Asked:
    text, label = row.get("prompt"), str(row.get("label") or "").strip().lower()
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: has no text in the column 'prompt'; found {', '.join(row) or 'nothing'}")
    if label not in ("safe", "unsafe"):
        raise InputError(f"{where}: label: expected safe or unsafe, found {row.get('label')!r}")
    safe = label == "safe"
    kind = str(row.get("type") or "").strip().removeprefix("contrast_")
    return Asked(Prompt.of(from_text(text), "helpful" if safe else "harmful", place), safe, kind)


def _said(row: dict[str, Any], place: str, where: str) -> Said:
    column = next((name for name in _ANSWERS if isinstance(row.get(name), str)), None)
    if column is None or not isinstance(row.get("prompt"), str):
        raise InputError(f"{where}: expected text in 'prompt' and 'answer'; found {', '.join(row) or 'nothing'}")
    messages, answer = conversation(row, column)
    given = row.get("label") or row.get("final_label")
    truth = _TRUTHS.get(_plain(str(given or "")))
    if truth is None:
        raise InputError(f"{where}: label: expected full refusal, partial refusal or compliance, found {given!r}")
    prompt = Prompt.of(messages, "harmful", place)
    return Said(id=f"labelled/{prompt.id}/{digest(answer)[:8]}", model="", prompt=prompt, answer=answer, truth=truth)


def _plain(label: str) -> str:
    """XSTest writes 2_full_refusal."""
    return label.strip().lower().replace("_", " ").lstrip("0123456789 ")


def _evenly(found: list[Asked], limit: int | None) -> Iterator[Asked]:
    count = min(len(found), limit or len(found))
    return (found[index * len(found) // count] for index in range(count))
