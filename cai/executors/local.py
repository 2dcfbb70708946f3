"""Many chains at once in this process: no barrier between the steps of different items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from cai.executors.base import AnyStage
from cai.records import Record


async def run(
    items: Iterable[Record],
    stage: AnyStage,
    stored: Mapping[str, Sequence[Record]],
    key: Callable[[Record], str],
    store: Callable[[Record], None],
    finished: Callable[[], None],
    in_flight: int,
) -> None:
    """Walks every item through `stage`, at most `in_flight` at a time.

    `stored` holds the records an item already has, by `key` of the item. `store` is called with each new record,
    `finished` once an item is complete. The first exception stops all.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            async for record in stage(item, stored.get(key(item), ())):
                store(record)
            finished()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
