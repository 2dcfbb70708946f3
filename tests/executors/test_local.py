"""Many chains at once: what is stored, in what order, how many at a time, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import EngineError, ItemFailed
from cai.executors import local
from cai.executors.base import AnyStage
from cai.records import Message, Record


def item(name: str) -> Message:
    return Message(role="user", content=name)


def made(name: str, step: int) -> Message:
    return Message(role="assistant", content=f"{name}{step}")


def name_of(record: Record) -> str:
    assert isinstance(record, Message)
    return record.content


class Walk:
    """Three records an item; keeps how many items were under way at once and where each step began."""

    def __init__(self, fail_at: str = "") -> None:
        self.fail_at = fail_at
        self.now = self.most = 0
        self.begun: list[str] = []

    async def __call__(self, item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        self.now += 1
        self.most = max(self.most, self.now)
        for step in range(len(done), 3):
            self.begun.append(f"{item.content}{step}")
            await asyncio.sleep(0)
            if f"{item.content}{step}" == self.fail_at:
                raise KeyError(self.fail_at)
            yield made(item.content, step)
        self.now -= 1


def run(
    names: Sequence[str] | Iterator[Message],
    stage: AnyStage,
    stored: dict[str, list[Message]] | None = None,
    in_flight: int = 4,
    kept: list[str] | None = None,
    failed: list[tuple[str, str]] | None = None,
) -> tuple[list[str], int]:
    """What was stored, in order, and how many items were finished."""
    kept = [] if kept is None else kept
    finished = []

    def fail(item: Record, error: ItemFailed) -> None:
        assert failed is not None, f"{item} failed"
        failed.append((name_of(item), str(error)))

    items = [item(name) for name in names] if isinstance(names, Sequence) else names
    work = local.run(
        items,
        stage,
        stored or {},
        name_of,
        lambda record: kept.append(name_of(record)),
        finished.append,
        fail,
        in_flight,
    )
    asyncio.run(work)
    return kept, len(finished)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.integers(1, 12))
def test_every_item_has_its_records_in_order_and_no_more_are_under_way_than_allowed(count: int, in_flight: int) -> None:
    walk, names = Walk(), "abcdefghi"[:count]
    kept, finished = run(names, walk, in_flight=in_flight)
    assert finished == count
    assert {name: [record for record in kept if record[0] == name] for name in names} == {
        name: [f"{name}{step}" for step in range(3)] for name in names
    }
    assert len(kept) == 3 * count
    assert walk.most == min(count, in_flight)


def test_an_item_goes_on_without_waiting_for_others() -> None:
    """No barrier between the steps: a quick chain ends while a slow one is at its first step."""
    kept: list[str] = []

    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        for step in range(3):
            while item.content == "s" and len(kept) < 6:
                await asyncio.sleep(0)
            yield made(item.content, step)

    run("sab", stage, in_flight=2, kept=kept)
    assert kept[:6] == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_record_is_stored_before_the_next_is_asked_for() -> None:
    kept: list[str] = []

    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        for step in range(3):
            assert f"{item.content}{step}" not in kept
            yield made(item.content, step)
            assert f"{item.content}{step}" in kept

    assert run("abc", stage, kept=kept)[1] == 3


def test_an_item_goes_on_from_what_is_stored_of_it() -> None:
    stored = {"b": [made("b", 0)], "c": [made("c", step) for step in range(3)], "x": [made("x", 0)]}
    walk = Walk()
    kept, finished = run("abc", walk, stored)
    assert Counter(record[0] for record in kept) == {"a": 3, "b": 2}
    assert [record for record in kept if record[0] == "b"] == ["b1", "b2"]
    assert finished == 3


def test_items_that_are_complete_ask_nothing() -> None:
    walk = Walk()
    stored = {name: [made(name, step) for step in range(3)] for name in "ab"}
    assert run("ab", walk, stored) == ([], 2)
    assert walk.begun == []


def test_items_are_pulled_as_they_are_needed() -> None:
    pulled: list[str] = []
    ahead: list[int] = []

    def items() -> Iterator[Message]:
        for name in "abcdefgh":
            pulled.append(name)
            yield item(name)

    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        ahead.append(len(pulled) - "abcdefgh".index(item.content))
        await asyncio.sleep(0)
        yield made(item.content, 0)

    assert run(items(), stage, in_flight=3)[1] == 8
    assert max(ahead) <= 3


@pytest.mark.parametrize("in_flight", [1, 3, 10])
def test_the_first_error_stops_all_and_is_raised_as_itself(in_flight: int) -> None:
    walk, kept = Walk(fail_at="b1"), []
    with pytest.raises(KeyError, match="b1") as caught:
        run("abcdefgh", walk, in_flight=in_flight, kept=kept)
    assert caught.type is KeyError
    assert "b0" in kept
    assert "b1" not in kept
    assert "h2" not in kept
    begun = len(walk.begun)
    assert begun < 24


def test_of_several_errors_one_is_raised_as_itself() -> None:
    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        await asyncio.sleep(0)
        raise ValueError(item.content)
        yield item

    with pytest.raises(ValueError, match=r"^[abc]$"):
        run("abc", stage)


def test_an_error_of_the_store_stops_all() -> None:
    def full(record: Record) -> None:
        raise OSError("disk full")

    work = local.run([item("a"), item("b")], Walk(), {}, name_of, full, lambda new: None, lambda item, error: None, 2)
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(work)


def test_control_c_ends_all_and_what_came_before_is_stored() -> None:
    kept: list[str] = []

    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        await asyncio.sleep(0)
        if item.content == "c":
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(30)
        yield made(item.content, 0)

    with pytest.raises(KeyboardInterrupt):
        run("abc", stage, in_flight=1, kept=kept)
    assert kept == ["a0", "b0"]


def test_a_chain_that_is_stopped_is_closed() -> None:
    """Its `finally` runs, so that nothing it holds stays open."""
    closed: list[str] = []

    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        try:
            await asyncio.sleep(0)
            if item.content == "b":
                raise KeyError("b")
            await asyncio.sleep(30)
            yield item
        finally:
            closed.append(item.content)

    with pytest.raises(KeyError):
        run("abc", stage)
    assert sorted(closed) == ["a", "b", "c"]


# Items that fail.


class Refused(Walk):
    """Some steps can't be answered."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused

    async def __call__(self, item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        async for record in super().__call__(item, done):
            if record.content in self.refused:
                raise ItemFailed(f"{record.content} is too long")
            yield record


@pytest.mark.parametrize("in_flight", [1, 3, 10])
def test_an_item_that_fails_keeps_its_records_and_the_others_go_on(in_flight: int) -> None:
    failed: list[tuple[str, str]] = []
    kept, finished = run("abcdef", Refused("b1", "e0"), in_flight=in_flight, failed=failed)
    assert sorted(failed) == [("b", "b1 is too long"), ("e", "e0 is too long")]
    assert finished == 4
    assert Counter(record[0] for record in kept) == {"a": 3, "b": 1, "c": 3, "d": 3, "f": 3}


def test_a_second_run_asks_only_what_failed() -> None:
    first = run("abc", Refused("b1"), failed=[])[0]
    stored = {name: [made(name, step) for step in range(sum(r[0] == name for r in first))] for name in "abc"}
    walk = Walk()
    assert run("abc", walk, stored)[0] == ["b1", "b2"]
    assert walk.begun == ["b1", "b2"]


def test_an_item_that_is_complete_has_no_new_records() -> None:
    new: list[int] = []
    stored = {"a": [made("a", step) for step in range(3)], "b": [made("b", 0)]}
    items = [item(name) for name in "abc"]
    work = local.run(items, Walk(), stored, name_of, lambda record: None, new.append, lambda item, error: None, 1)
    asyncio.run(work)
    assert new == [0, 2, 3]


@pytest.mark.parametrize("error", [EngineError("the server is gone"), ValueError("a mistake")])
def test_an_error_that_is_not_an_items_own_still_stops_all(error: Exception) -> None:
    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        await asyncio.sleep(0)
        raise error
        yield item

    failed: list[tuple[str, str]] = []
    with pytest.raises(type(error), match=str(error)):
        run("abc", stage, failed=failed)
    assert failed == []


def test_an_error_of_the_one_who_is_told_of_a_failure_stops_all() -> None:
    def enough(item: Record, error: ItemFailed) -> None:
        raise EngineError("enough")

    walk = Refused("a0", "b0", "c0")
    items = [item(name) for name in "abcdef"]
    work = local.run(items, walk, {}, name_of, lambda record: None, lambda new: None, enough, 1)
    with pytest.raises(EngineError, match="enough"):
        asyncio.run(work)
    assert walk.begun == ["a0"]


def test_control_c_is_not_hidden_by_an_engine_that_dies_of_it() -> None:
    async def stage(item: Message, done: Sequence[Message]) -> AsyncIterator[Message]:
        try:
            if item.content == "c":
                await asyncio.sleep(0)
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise EngineError("the engine was killed") from None
        yield item

    with pytest.raises(KeyboardInterrupt):
        run("abc", stage)
