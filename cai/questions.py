"""Prompts from files: questions, conversations, transcripts, hub data sets, split by hash."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cai.errors import InputError, MissingExtra, first_line
from cai.identity import digest
from cai.records import Kind, Message, Prompt
from cai.resources import find
from cai.spool import Prompts, parts
from cai.transcripts import from_messages, from_text, from_transcript, is_transcript

Row = tuple[str, dict[str, Any]]
"""Where a row stands (`:3`, `: row 7`) and its columns by name."""

COLUMNS = ("prompt", "messages", "question", "instruction", "text", "chosen")
"""The columns that can hold a prompt; of several, the first that is filled."""

LONGEST_CELL = 2**24
"""Characters in a cell of a CSV file; Python's own limit, 2**17, is less than a long conversation has."""

LONGEST_LINE = 2**25
"""Bytes in a line of a file, characters in a row of a CSV file: a small archive can unfold to any length."""

_HUB_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:/([\w.-]+(?:/[\w.-]+)*))?(?::(.+))?")


@dataclass(frozen=True)
class PromptSet:
    """Prompts in the order of their file. `duplicates`: rows left out because an earlier row has the same content."""

    prompts: Prompts
    duplicates: int


def load_prompts(spec: str, kind: Kind, beside: Path | None = None) -> PromptSet:
    """Prompts from a file (as given, or relative to `beside`), a shipped set, or `hf:owner/name[/folder][:split]`.

    A final answer of the assistant is dropped, and space around a turn. Raises InputError with `file:line:`
    (`name: row 7:` where a source has no lines), or MissingExtra.
    """
    name, found = rows(spec, beside)
    every = Prompts.of(_prompt(name, spec, kind, place, row) for place, row in found)
    if not every:
        raise InputError(f"{name}: holds no prompts; expected one a line or row")
    prompts = every.once()
    return PromptSet(prompts, len(every) - len(prompts))


def _prompt(name: str, spec: str, kind: Kind, place: str, row: dict[str, Any]) -> Prompt:
    """The prompt that a row holds."""
    try:
        return Prompt.of(_conversation(row), kind, f"{spec}{place}")
    except InputError as error:
        raise InputError(f"{name}{place}: {error}") from None


def load_texts(spec: str, beside: Path | None = None) -> Iterator[str]:
    """What the column `text` of a source holds, for training on whole texts. Raises InputError as `load_prompts`."""
    name, found = rows(spec, beside)
    for where, row in found:
        text = row.get("text")
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{name}{where}: expected text in the column 'text', found {_names(row)}")
        yield text


def split(prompts: Prompts, held_out: float) -> tuple[Prompts, Prompts]:
    """Prompts for training and held-out prompts, about a share `held_out` of all.

    The hash of a prompt's id alone decides where it goes, so other prompts and their order change nothing. Both
    lists are in the order of that hash: their first n are a varied sample.
    """
    places = array("L", map(_place, prompts.ids))
    names = prompts.names
    order = array("L")
    for part in parts(places, 24):
        order.extend(sorted(part, key=lambda number: (places[number], names[number])))
    kept_out = sum(place < held_out * 2**32 for place in places)
    return prompts.at(order[kept_out:]), prompts.at(order[:kept_out])


def _place(name: str) -> int:
    """A number in [0, 2**32) that depends on a prompt's id alone."""
    return int(digest(["split", name])[:8], 16)


def _conversation(row: dict[str, Any]) -> tuple[Message, ...]:
    column = next((column for column in COLUMNS if row.get(column) is not None), None)
    if column is None and (empty := [column for column in COLUMNS if column in row]):
        raise InputError(f"{_names(empty)} is empty; give it text or delete the row")
    if column is None:
        raise InputError(f"no prompt here; found {_names(row)}; expected one of {_names(COLUMNS)}")
    value = row[column]
    if isinstance(value, list):
        return from_messages(value)
    if not isinstance(value, str):
        raise InputError(f"{column}: expected text or a list of {{role, content}}, found {type(value).__name__}")
    if column == "chosen" or (column == "prompt" and is_transcript(value)):
        return from_transcript(value)
    if column == "messages":
        raise InputError("messages: expected a list of {role, content}, found text; put text into 'prompt'")
    return from_text(_with_input(value, row) if column == "instruction" else value)


def _with_input(instruction: str, row: dict[str, Any]) -> str:
    """An Alpaca row's `input` is what its instruction speaks of."""
    extra = row.get("input")
    return f"{instruction}\n\n{extra}" if isinstance(extra, str) and extra.strip() else instruction


def _names(columns: Iterable[str]) -> str:
    return ", ".join(repr(column) for column in columns) or "nothing"


def rows(spec: str, beside: Path | None = None) -> tuple[str, Iterator[Row]]:
    """What errors call a source, and its rows. Raises InputError for a name or form that is not known."""
    if spec.startswith("hf:"):
        return spec, _hub_rows(spec)
    path = find("prompts", spec, ".txt", beside, (".csv", ".jsonl"))
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in _READERS:
        raise InputError(f"{path}: cannot tell its format; expected {', '.join(_READERS)} (all but the last also .gz)")
    return str(path), _READERS[suffix](path)


def _text_rows(path: Path) -> Iterator[Row]:
    return ((f":{number}", {"text": line}) for number, line in _lines(path) if line.strip())


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not valid JSON ({error}); expected one object a line") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: expected a JSON object, found a {type(row).__name__}")
        yield f":{number}", row


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CELL)
    lines = _CsvLines(path)
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for fields in reader:
            if header is None:
                header = [field.strip() for field in fields]
            elif fields:
                yield f":{start}", _csv_row(header, fields, f"{path}:{start}")
            start, lines.row = reader.line_num + 1, 0
    except csv.Error as error:
        raise InputError(f"{path}:{start}: not valid CSV ({error}); mend the row or use .jsonl") from None


class _CsvLines:
    """The lines of a CSV file. `row`: characters of the row at hand so far; quoted text takes it from line to line."""

    def __init__(self, path: Path) -> None:
        self._path, self._lines, self.row = path, _lines(path), 0

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.row += len(line)
        if self.row > LONGEST_LINE:
            found = f"a row that is longer than {LONGEST_LINE} characters"
            raise InputError(f"{self._path}:{number}: {found}; is a quote open? mend it or use .jsonl")
        return line


def _csv_row(header: list[str], fields: list[str], where: str) -> dict[str, Any]:
    if len(fields) != len(header):
        raise InputError(f"{where}: found {len(fields)} fields, the header names {len(header)}; quote commas in text")
    return dict(zip(header, fields, strict=True))


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "data") from None
    try:
        with parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f": row {number}", row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None


def _hub_rows(spec: str) -> Iterator[Row]:
    match = _HUB_NAME.fullmatch(spec)
    if match is None:
        raise InputError(f"{spec}: expected hf:owner/name, hf:owner/name/folder or hf:owner/name:split")
    name, part = match[1], match[3] or "train"
    within: dict[str, Any] = {"data_dir": match[2]} if match[2] else {}
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError:
        raise MissingExtra("datasets", "data") from None
    try:
        rows: Any = datasets.load_dataset(name, split=part, **within)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        advice = "check the name, the split and the network, or download it and give a file"
        raise InputError(f"{spec}: cannot be loaded ({first_line(error)}); {advice}") from None
    for number, row in enumerate(rows, 1):
        yield f": row {number}", row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, cut at line feeds alone. Raises InputError on bytes that are not text, and on an endless line."""
    open_file: Callable[..., Any] = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with open_file(path, "rb") as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
                if len(line) > LONGEST_LINE:
                    found = f"a line that is longer than {LONGEST_LINE} bytes"
                    raise InputError(f"{path}:{number}: {found}; expected one prompt or row a line")
                yield number, _decode(line, f"{path}:{number}").removeprefix("\ufeff" if number == 1 else "")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}); is it damaged or cut short?") from None


def _decode(line: bytes, where: str) -> str:
    if b"\0" in line:
        raise InputError(f"{where}: holds a NUL byte; save the file as UTF-8 text")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: byte {error.start} of the line is not UTF-8; save the file as UTF-8") from None


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".txt": _text_rows,
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}
