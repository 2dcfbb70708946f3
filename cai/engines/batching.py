"""Calls that arrive together run as one batch, in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Call = TypeVar("Call")
Result = TypeVar("Result")

_LINGER = 0.01
"""Seconds to wait for the calls that the last batch's callers are about to make."""


class Batcher(Generic[Call, Result]):
    """Gathers calls and hands at most `size` of them at a time to `run`.

    `run` gets the calls of one batch and returns their results in the same order; the calls that wait longest go
    first, and of those the ones with the nearest `cost` share a batch, so that little is padded. `abandon` is called
    when the event loop ends during a batch, which it waits for: nobody will want that batch's results.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Call]], Sequence[Result]],
        size: int,
        cost: Callable[[Call], int],
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._size, self._cost, self._abandon = run, size, cost, abandon
        self._waiting: list[tuple[Call, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, call: Call) -> Result:
        """The result of one call; an exception of its batch is raised in every caller."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(_LINGER)
            batch = self._take()
            try:
                results = await asyncio.to_thread(self._run, [call for call, _ in batch])
            except asyncio.CancelledError:
                self._abandon()
                raise
            except Exception as error:  # noqa: BLE001 - whatever the batch raised belongs to its callers
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def _take(self) -> list[tuple[Call, asyncio.Future[Result]]]:
        """The longest-waiting call and those nearest to it in cost."""
        if len(self._waiting) <= self._size:
            batch, self._waiting = self._waiting, []
            return batch
        oldest = self._cost(self._waiting[0][0])
        order = sorted(range(len(self._waiting)), key=lambda i: (abs(self._cost(self._waiting[i][0]) - oldest), i))
        chosen = set(order[: self._size])
        batch = [self._waiting[index] for index in sorted(chosen)]
        self._waiting = [entry for index, entry in enumerate(self._waiting) if index not in chosen]
        return batch
