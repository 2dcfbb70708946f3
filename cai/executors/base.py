"""What a data stage is: called with an item and what is stored of it, it yields what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeVar

from cai.records import Record

Item = TypeVar("Item", bound=Record, contravariant=True)
Out = TypeVar("Out", bound=Record)


class DataStage(Protocol[Item, Out]):
    """Walks one item through its chain. Every yielded record is stored before the next is asked for.

    An item that is complete yields nothing, so that running a stage again asks no model.
    """

    def __call__(self, item: Item, done: Sequence[Out], /) -> AsyncIterator[Out]:
        """The records that `item` still lacks, given those it has."""
        ...


AnyStage = DataStage[Any, Any]
