"""Comparisons to Argilla and Label Studio to be labelled there, and people's labels back.

Argilla: the records of `rg.Dataset.records.to_json` and `from_json` (docs.argilla.io, "Importing and exporting
datasets and records"). Label Studio: its basic JSON task format, with `choices` or `pairwise` results
(labelstud.io/guide/task_format). Tasks carry no verdict and no label of others, so that labelling stays blind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from cai.errors import InputError
from cai.labels import Choice, HumanLabel, checked_name, seated_first
from cai.records import Comparison, Seating

Form = Literal["argilla", "label-studio", "jsonl", "pairs"]
FORMS: tuple[Form, ...] = get_args(Form)

LABEL_STUDIO_CONFIG = """<View>
  <Header value="Which answer is better?"/>
  <Text name="prompt" value="$prompt"/>
  <Text name="first" value="$first"/>
  <Text name="second" value="$second"/>
  <Choices name="better" toName="prompt" choice="single" required="true">
    <Choice value="first"/><Choice value="second"/><Choice value="tie"/>
  </Choices>
  <TextArea name="note" toName="prompt" placeholder="Note"/>
</View>
"""
"""The labelling interface that shows these tasks in Label Studio."""

_SIDES = {"first": "first", "left": "first", "second": "second", "right": "second", "tie": "tie", "skip": "skip"}


def to_argilla(comparisons: Iterable[Comparison], run: str) -> list[dict[str, Any]]:
    """Records with the fields `prompt`, `first` and `second`, for a question `better` with those labels and `tie`."""
    return [
        {"id": one.id, "fields": fields, "metadata": {"run": run, "shown_first": first}, "suggestions": {},
         "responses": {}, "vectors": {}}
        for one, first, fields in map(_task, comparisons)
    ]  # fmt: skip


def to_label_studio(comparisons: Iterable[Comparison], run: str) -> list[dict[str, Any]]:
    """Tasks for LABEL_STUDIO_CONFIG."""
    return [
        {"data": {**fields, "comparison": one.id, "run": run, "shown_first": first}}
        for one, first, fields in map(_task, comparisons)
    ]


def read_labels(text: str, place: str) -> list[HumanLabel]:
    """The labels in an export of Argilla or Label Studio, or in lines of our own; `place` names it in messages.

    Raises InputError where it is none of these, or a label can't be read.
    """
    rows = list(_rows(text, place))
    labels: list[HumanLabel] = []
    for where, row in rows:
        labels += list(_of_row(row, where))
    if not labels:
        raise InputError(f"{place}: holds no label; expected an export of Argilla or Label Studio, or our own lines")
    return labels


def _task(one: Comparison) -> tuple[Comparison, Seating, dict[str, str]]:
    """Which answer stands first is drawn by the comparison's id: every labeller there sees the same order."""
    first = seated_first(one.id, "")
    texts = {"a": one.a.text, "b": one.b.text}
    second = "b" if first == "a" else "a"
    return one, first, {"prompt": _spoken(one), "first": texts[first], "second": texts[second]}


def _spoken(one: Comparison) -> str:
    messages = one.prompt.messages
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)


def _rows(text: str, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSON list or of JSON lines, each with where it stands."""
    if text.lstrip()[:1] == "[":
        found = [(f"{place}: record {number}", row) for number, row in enumerate(_json(text, place), 1)]
    else:
        lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
        found = [(f"{place}:{number}", _json(line, f"{place}:{number}")) for number, line in lines]
    for where, row in found:
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object, found {type(row).__name__}")
        yield where, row


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON ({error})") from None


def _of_row(row: Mapping[str, Any], where: str) -> Iterator[HumanLabel]:
    try:
        if "annotations" in row:
            yield from _of_label_studio(row)
        elif "responses" in row and "fields" in row:
            yield from _of_argilla(row)
        else:
            yield HumanLabel.of(**{name: value for name, value in row.items() if name != "id"})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(
            f"{where}: not a label ({told}); expected a record of Argilla with `responses`, a task of Label Studio "
            "with `annotations`, or a line with `comparison`, `labeller` and `choice`"
        ) from None


def _of_label_studio(task: Mapping[str, Any]) -> Iterator[HumanLabel]:
    """One label for each annotation; a cancelled one is a skip."""
    data = task["data"]
    for one in task["annotations"]:
        results = {found["from_name"]: found["value"] for found in one.get("result", [])}
        side = "skip" if one.get("was_cancelled") else _chosen(results)
        if side is None:
            continue
        notes = [text for value in results.values() for text in value.get("text", [])]
        more = {"first": data["shown_first"], "note": " ".join(notes), "seconds": one.get("lead_time")}
        yield HumanLabel.of(data["comparison"], _user(one.get("completed_by")), _choice(side, data), **more)


def _chosen(results: Mapping[str, Any]) -> str | None:
    """The side that a `choices` or a `pairwise` result names."""
    for value in results.values():
        if picked := value.get("choices", [None])[0] or value.get("selected"):
            return str(picked)
    return None


def _of_argilla(row: Mapping[str, Any]) -> Iterator[HumanLabel]:
    """One label for each response to `better`; the responses to `note` are by the same people.

    A dataset that keeps no extra metadata loses which answer stood first; it was drawn by the comparison's id.
    """
    told = {"shown_first": seated_first(row["id"], ""), **(row.get("metadata") or {})}
    notes = {one["user_id"]: one["value"] for one in row["responses"].get("note", [])}
    for one in row["responses"].get("better", []):
        if one["value"] is None:
            continue
        more = {"first": told["shown_first"], "note": notes.get(one["user_id"]) or ""}
        yield HumanLabel.of(row["id"], _user(one["user_id"]), _choice(one["value"], told), **more)


def _choice(side: str, told: Mapping[str, Any]) -> Choice:
    """What a side stands for, by which answer was shown first."""
    named = _SIDES.get(side.strip().lower())
    if named is None or told["shown_first"] not in ("a", "b"):
        raise ValueError(f"expected one of {', '.join(_SIDES)}, found {side!r}")
    if named == "tie" or named == "skip":
        return named
    return told["shown_first"] if named == "first" else ("b" if told["shown_first"] == "a" else "a")


def _user(who: object) -> str:
    """A labeller's name from a user of the other tool: an id, a mapping with an address, a text."""
    named = who.get("email") or who.get("id") if isinstance(who, dict) else who
    text = f"user-{named}" if isinstance(named, int) else str(named or "unknown")
    return checked_name(re.sub(r"[^A-Za-z0-9._@-]", "-", text)[:60].lstrip("._@-") or "unknown")
