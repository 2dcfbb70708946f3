"""Stored records by the item they belong to, read from the disk when they are asked for.

A run of 100,000 chains that goes on holds where their records stand and not what they say.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

from cai.records import Record

Item = TypeVar("Item", bound=Record)


class Index(Mapping[str, Sequence[Item]], Generic[Item]):
    """The records of a file by key, in order. `places`: where the lines of each key begin, bytes."""

    def __init__(self, path: Path, kind: type[Item], places: dict[str, array[int]]) -> None:
        self._kind, self._places = kind, places
        self._file = path.open("rb") if places else None

    def __getitem__(self, key: str) -> Sequence[Item]:
        return _Lines(self, self._places[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def read(self, place: int) -> Item:
        """The record whose line begins at `place`."""
        assert self._file
        self._file.seek(place)
        return self._kind.model_validate_json(self._file.readline())

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()


class _Lines(Sequence[Item]):
    """The records of one key; their number is known without reading them."""

    def __init__(self, index: Index[Item], places: array[int]) -> None:
        self._index, self._places = index, places

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | Sequence[Item]:
        if isinstance(at, slice):
            return _Lines(self._index, self._places[at])
        return self._index.read(self._places[at])

    def __len__(self) -> int:
        return len(self._places)
