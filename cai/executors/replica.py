"""One replica: the engines of a stage, opened once, and the chains of several chunks of items at once.

It knows nothing of Ray: it is made from a pickled stage, is called with a chunk from any thread, and answers what came
of the chunk's items once their records lie in a shard.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import queue
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from cai.errors import CaiError, EngineError, InputError, StoreError
from cai.executors import local
from cai.executors.base import AnyStage
from cai.executors.deferred import own_pool
from cai.executors.shards import Chunk, Shard, Shards, tries
from cai.records import Record

_TRIES = 5
"""How often a replica may be lost at the same items."""

_RAISED = {error.__name__: error for error in (InputError, StoreError, EngineError)}


@dataclass(frozen=True)
class Task:
    """A stage to be walked: all that a replica needs. `owner` tells to which item a record belongs.

    `in_flight`: chains at once in one replica.
    """

    stage: AnyStage
    shards: Shards
    item: type[Record]
    kind: type[Record]
    owner: Callable[[Any], str]
    in_flight: int


@dataclass(frozen=True)
class Outcome:
    """What came of a chunk. `finished`: new records of each complete item. `failed`: place in the chunk, and why.

    `shards`: where its records are, and how many its replica knows to be there. `stop`: the class and words of an error
    that ends the stage.
    """

    finished: Sequence[int] = ()
    failed: Sequence[tuple[int, str]] = ()
    shards: Mapping[str, int] = field(default_factory=dict)
    stop: tuple[str, str] | None = None

    def to_json(self) -> str:
        """As it travels."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Outcome:
        """The same outcome. Raises the error that ends the stage, where it holds one."""
        outcome = cls(**json.loads(text))
        if outcome.stop:
            name, words = outcome.stop
            raise _RAISED.get(name, EngineError)(words)
        return outcome


class Replica:
    """Opens the engines of a pickled Task when it is made. An error of ours is kept, and told by every call."""

    def __init__(self, task: bytes) -> None:
        self._loop, self._failed = _loop(), Outcome()
        try:
            self._task: Task = pickle.loads(task)
            self._slots = asyncio.Semaphore(self._task.in_flight)
        except CaiError as error:
            self._failed = _stopped(error)

    def walk(self, chunk: Chunk) -> Outcome:
        """Walks the items of a chunk and returns when all have ended; meanwhile other threads may walk others."""
        if self._failed.stop:
            return self._failed
        try:
            return asyncio.run_coroutine_threadsafe(self._walk(chunk), self._loop).result()
        except CaiError as error:
            return _stopped(error)

    def close(self) -> None:
        """Closes the engines."""
        own_pool().close()

    async def _walk(self, chunk: Chunk) -> Outcome:
        """What lies in shards of earlier tries at this chunk, whose replica was lost, is not made again."""
        task = self._task
        items, stored, before = await asyncio.to_thread(_read, task, chunk)
        places = {item.id: place for place, item in enumerate(items)}
        shard = await asyncio.to_thread(task.shards.writer, chunk, _checked(tries(before), items))
        finished: list[int] = []
        failed: list[tuple[int, str]] = []
        try:
            await local.run(
                items,
                _gated(task.stage, self._slots, shard),
                stored,
                _id,
                lambda record: shard.add(task.owner(record), record.model_dump_json()),
                finished.append,
                lambda item, error: failed.append((places[_id(item)], str(error))),
                chunk.size,
            )
        finally:
            shard.close()
        return Outcome(finished, failed, {**before, **shard.held})


def _gated(stage: AnyStage, slots: asyncio.Semaphore, shard: Shard) -> AnyStage:
    """The stage, at so many chains at once in the whole replica; an item that ends is ended in the shard."""

    async def walked(item: Any, done: Sequence[Any]) -> AsyncIterator[Record]:
        async with slots:
            try:
                async for record in stage(item, done):
                    yield record
            finally:
                await shard.end(item.id)

    return walked


def _read(task: Task, chunk: Chunk) -> tuple[list[Any], Mapping[str, Sequence[Record]], dict[str, int]]:
    """The items of a chunk, what there is of each by its id, and how much of that was read from which shards."""
    items, stored = [], defaultdict(list)
    for own, *records in task.shards.items(chunk):
        items.append(task.item.model_validate_json(own))
        stored[_id(items[-1])] += map(task.kind.model_validate_json, records)
    before: dict[str, int] = {}
    for name in task.shards.of_chunk(chunk):
        records = task.shards.records(name, task.kind)
        before[name] = len(records)
        for record in records:
            if all(_id(record) != _id(one) for one in stored[task.owner(record)]):
                stored[task.owner(record)].append(record)
    return items, stored, before


def _checked(lost: int, items: Sequence[Any]) -> int:
    """How many tries there were before; raises EngineError where there were too many for chance."""
    if lost >= _TRIES:
        named = ", ".join(item.id for item in items[:5])
        raise EngineError(
            f"the replica was lost {lost} times while it worked at the same items ({named}, ...), so one of them may "
            "be what ends it: look for memory that ran out, and run the same command again"
        )
    return lost


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The loop in which the engines of this process live, running in a thread of its own."""
    started: queue.SimpleQueue[asyncio.AbstractEventLoop] = queue.SimpleQueue()

    async def stay() -> None:
        started.put(asyncio.get_running_loop())
        await asyncio.Event().wait()

    threading.Thread(target=lambda: own_pool().run(stay()), daemon=True).start()
    return started.get()


def _stopped(error: CaiError) -> Outcome:
    return Outcome(stop=(type(error).__name__, str(error)))


def _id(record: Any) -> str:
    return record.id
