"""Prompts on disk: any number of them, read again whenever they are walked.

Memory holds some 20 bytes a prompt: its id, its end in the file, its place in the order. The file has no name and is
gone with the last list that reads it.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from cai.records import Prompt


class Prompts(Sequence[Prompt]):
    """A list of prompts that are not held. Slices and orders of it share its file."""

    def __init__(self, spool: _Spool, order: Sequence[int]) -> None:
        self._spool, self._order = spool, order

    @classmethod
    def of(cls, prompts: Iterable[Prompt]) -> Prompts:
        """Writes prompts down, in their order, as they come."""
        spool = _Spool()
        for prompt in prompts:
            spool.append(prompt)
        return cls(spool, range(len(spool.ids)))

    @property
    def ids(self) -> Iterator[str]:
        """The prompts' ids, without reading them."""
        return (f"{self._spool.ids[number]:016x}" for number in self._order)

    @property
    def names(self) -> array[int]:
        """The prompts' ids as numbers, 64 bits each."""
        return array("Q", (self._spool.ids[number] for number in self._order))

    def once(self) -> Prompts:
        """Each prompt once: of those with the same id, the first."""
        names = self.names
        first = bytearray(len(names))
        for part in parts(names, 56):
            seen: set[int] = set()
            for place in part:
                first[place] = names[place] not in seen
                seen.add(names[place])
        return self.at(place for place, is_first in enumerate(first) if is_first)

    def at(self, places: Iterable[int]) -> Prompts:
        """The prompts at these places, in this order."""
        return Prompts(self._spool, array("L", (self._order[place] for place in places)))

    @overload
    def __getitem__(self, at: int) -> Prompt: ...
    @overload
    def __getitem__(self, at: slice) -> Prompts: ...
    def __getitem__(self, at: int | slice) -> Prompt | Prompts:
        if isinstance(at, slice):
            return Prompts(self._spool, self._order[at])
        return self._spool.read(self._order[at])

    def __iter__(self) -> Iterator[Prompt]:
        return map(self._spool.read, self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def ids_of(prompts: Sequence[Prompt]) -> Iterator[str]:
    """The ids of prompts, of those on disk without reading them."""
    return prompts.ids if isinstance(prompts, Prompts) else (prompt.id for prompt in prompts)


def parts(numbers: Sequence[int], shift: int) -> list[array[int]]:
    """The places of numbers below 2 ** (shift + 8), in 256 parts by their highest byte, each part in order.

    A part at a time can be sorted or looked through with what Python needs for each number, which is a hundred bytes.
    """
    found = [array("L") for _ in range(256)]
    for place, number in enumerate(numbers):
        found[number >> shift].append(place)
    return found


class _Spool:
    """A file without a name that holds prompts as JSON, end to end."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._ends, self.ids = array("Q", [0]), array("Q")
        weakref.finalize(self, self._file.close)

    def append(self, prompt: Prompt) -> None:
        data = prompt.model_dump_json().encode()
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self.ids.append(int(prompt.id, 16))

    def read(self, number: int) -> Prompt:
        start, end = self._ends[number], self._ends[number + 1]
        self._file.flush()
        return Prompt.model_validate_json(os.pread(self._file.fileno(), end - start, start))
