"""Many chains at once in this process: no barrier between the steps of different items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from cai.errors import ItemFailed
from cai.executors.base import AnyStage
from cai.records import Record


async def run(
    items: Iterable[Record],
    stage: AnyStage,
    stored: Mapping[str, Sequence[Record]],
    key: Callable[[Record], str],
    store: Callable[[Record], None],
    finished: Callable[[int], None],
    failed: Callable[[Record, ItemFailed], None],
    in_flight: int,
) -> None:
    """Walks every item through `stage`, at most `in_flight` at a time.

    `stored` holds the records an item already has, by `key` of the item. `store` is called with each new record,
    `finished` with the number of its new records once an item is complete, `failed` with an item that could not be
    completed: what it yielded before stays stored, and the others go on. Any other exception stops all, as does one
    of the three callbacks'.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            new = 0
            try:
                async for record in stage(item, stored.get(key(item), ())):
                    store(record)
                    new += 1
            except ItemFailed as error:
                failed(item, error)
            else:
                finished(new)

    async def walk_all() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())

    try:
        await asyncio.create_task(walk_all())  # a task of its own: a group that fails cancels the one it runs in
    except BaseExceptionGroup as group:
        task = asyncio.current_task()
        if task and task.cancelling():  # after Ctrl-C an engine may die of it too, which is not what went wrong
            raise asyncio.CancelledError from None
        raise group.exceptions[0] from None
