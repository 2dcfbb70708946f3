"""Calls become batches: which share one, in what order, and what an error reaches."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.engines.batching import Batcher


class Doubler:
    """Doubles numbers, and keeps what it was asked."""

    def __init__(self, size: int = 4, cost: Callable[[int], int] = lambda call: call) -> None:
        self.batches: list[list[int]] = []
        self.batcher = Batcher(self.run, size, cost)

    def run(self, calls: Sequence[int]) -> list[int]:
        self.batches.append(list(calls))
        if any(call < 0 for call in calls):
            raise ValueError(f"cannot double {min(calls)}")
        return [2 * call for call in calls]

    async def all(self, calls: Sequence[int]) -> list[Any]:
        return await asyncio.gather(*map(self.batcher.submit, calls), return_exceptions=True)


def test_calls_that_come_together_share_a_batch() -> None:
    doubler = Doubler()
    assert asyncio.run(doubler.all([3, 1, 2])) == [6, 2, 4]
    assert doubler.batches == [[3, 1, 2]]


def test_the_calls_that_answer_a_batch_share_the_next() -> None:
    doubler = Doubler(size=8)

    async def chain(call: int) -> int:
        return await doubler.batcher.submit(await doubler.batcher.submit(call))

    async def main() -> list[int]:
        return await asyncio.gather(*map(chain, range(5)))

    assert asyncio.run(main()) == [0, 4, 8, 12, 16]
    assert [sorted(batch) for batch in doubler.batches] == [[0, 1, 2, 3, 4], [0, 2, 4, 6, 8]]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(3, 5))
def test_every_call_gets_its_own_result_and_the_one_that_waits_longest_goes_first(calls: list[int], size: int) -> None:
    numbered = [10 * index + call for index, call in enumerate(calls)]
    doubler = Doubler(size, cost=lambda call: call % 10)
    assert asyncio.run(doubler.all(numbered)) == [2 * call for call in numbered]
    waiting = list(numbered)
    for batch in doubler.batches:
        assert len(batch) == min(size, len(waiting))
        assert waiting[0] in batch
        waiting = [call for call in waiting if call not in batch]
    assert waiting == []


def test_calls_of_like_cost_share_a_batch() -> None:
    doubler = Doubler(size=2)
    asyncio.run(doubler.all([100, 1, 2, 101, 50, 3]))
    assert doubler.batches == [[100, 101], [1, 2], [50, 3]]


def test_a_call_of_unusual_cost_is_not_put_off_while_others_keep_coming() -> None:
    doubler = Doubler(size=2)

    async def crowd(call: int) -> None:
        for _ in range(6):
            await doubler.batcher.submit(call)

    async def main() -> int:
        crowds = [asyncio.create_task(crowd(call)) for call in (1, 1, 1, 1)]
        await asyncio.sleep(0)
        await doubler.batcher.submit(1000)
        before = len(doubler.batches)
        await asyncio.gather(*crowds)
        return before

    assert asyncio.run(main()) <= 3


def test_an_error_reaches_the_callers_of_its_batch_and_no_other() -> None:
    doubler = Doubler(size=2)
    found = asyncio.run(doubler.all([50, -1, 51, -2, 7]))
    assert (found[0], found[2]) == (100, 102)
    assert found[4] == 14
    assert [str(error) for error in (found[1], found[3])] == ["cannot double -2"] * 2
    assert doubler.batches == [[50, 51], [-1, -2], [7]]


def test_a_batcher_serves_again_after_an_error() -> None:
    doubler = Doubler()

    async def main() -> list[Any]:
        return [await doubler.all([-1]), await doubler.all([5])]

    failed, served = asyncio.run(main())
    assert isinstance(failed[0], ValueError)
    assert served == [10]


def test_a_batcher_serves_one_event_loop_after_another() -> None:
    doubler = Doubler()
    assert [asyncio.run(doubler.all([call])) for call in (1, 2)] == [[2], [4]]


def test_the_event_loop_goes_on_while_a_batch_runs() -> None:
    released = threading.Event()

    def run(calls: Sequence[int]) -> Sequence[int]:
        assert released.wait(20)
        return calls

    async def main() -> int:
        call = asyncio.create_task(Batcher(run, 1, lambda call: call).submit(5))
        await asyncio.sleep(0.05)
        released.set()
        return await call

    assert asyncio.run(main()) == 5


def test_a_caller_that_gives_up_does_not_harm_its_neighbours() -> None:
    doubler = Doubler()

    async def main() -> int:
        impatient = asyncio.create_task(doubler.batcher.submit(1))
        patient = asyncio.create_task(doubler.batcher.submit(2))
        await asyncio.sleep(0)
        impatient.cancel()
        result = await patient
        assert impatient.cancelled()
        return result + await doubler.batcher.submit(3)

    assert asyncio.run(main()) == 10


def fail() -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    ("end", "error"),
    [(fail, RuntimeError), (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt)],
    ids=["an error", "Ctrl-C"],
)
def test_a_batch_is_abandoned_when_the_event_loop_ends(end: Callable[[], None], error: type[BaseException]) -> None:
    begun, abandoned = threading.Event(), threading.Event()

    def run(calls: Sequence[int]) -> Sequence[int]:
        begun.set()
        assert abandoned.wait(20)
        return calls

    async def main() -> None:
        call = asyncio.create_task(Batcher(run, 1, lambda call: call, abandoned.set).submit(1))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        assert not call.done()
        end()
        await call

    with pytest.raises(error):
        asyncio.run(main())
    assert abandoned.is_set()
