"""Rows to Parquet files, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cai.errors import needing
from cai.export.tables import Column

GROUP = 1000
"""Rows in one row group: all that is held at once."""


def write_rows(path: Path, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows as they come. Returns how many there were; of none, no file is left.

    Raises MissingExtra where pyarrow is not installed, OSError where the disk will not take it.
    """
    with needing("data"):
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    types = _types(pyarrow)
    schema = pyarrow.schema([(column.name, types[column.type]) for column in columns])
    path.parent.mkdir(parents=True, exist_ok=True)
    count, waiting = 0, iter(rows)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(waiting, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
            count += len(group)
    if not count:
        path.unlink()
        path.parent.rmdir() if not any(path.parent.iterdir()) else None
    return count


def _types(pyarrow: Any) -> dict[str, Any]:
    """How each type of column rests in Parquet."""
    text, integer, number, boolean = pyarrow.string(), pyarrow.int64(), pyarrow.float64(), pyarrow.bool_()
    texts = pyarrow.list_(text)
    completion = pyarrow.struct(
        {
            "text": text,
            "raw": text,
            "finish": text,
            "prompt_tokens": integer,
            "tokens": integer,
            "cached_tokens": integer,
            "seed": integer,
            "seeded": boolean,
            "reasoning": text,
        }
    )
    logprobs = pyarrow.list_(pyarrow.struct({"label": text, "logprob": number}))
    read = {"state": text, "p_a": number, "reason": text}
    reading = {"first": text, "principle": text, "logprobs": logprobs, "reply": completion, **read}
    return {
        "text": text,
        "texts": texts,
        "integer": integer,
        "number": number,
        "boolean": boolean,
        "messages": pyarrow.list_(pyarrow.struct({"role": text, "content": text})),
        "completion": completion,
        "attempts": pyarrow.list_(pyarrow.struct({"step": text, "flags": texts, "reply": completion})),
        "logprobs": logprobs,
        "readings": pyarrow.list_(pyarrow.struct(reading)),
    }
