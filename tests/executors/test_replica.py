"""A replica makes the records that this process makes, goes on from shards, and tells errors as values."""

import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cai.engines.base import Request
from cai.errors import EngineError, InputError, ItemFailed, StoreError
from cai.executor_config import RayExecutor
from cai.executors import ray as driver
from cai.executors.ray import gather_left, run_on_ray
from cai.executors.replica import Outcome, Replica, Task
from cai.executors.shards import Chunk
from cai.records import Completion, Prompt, Revision
from tests.executors.stage_data import laid_out, longest_file, made_here, of_prompt, prompts, read, task

pytest.importorskip("fsspec", reason="fsspec comes with the extra `ray`")


class Broken:
    """Answers all but some questions; `error` says how."""

    concurrency = 3

    def __init__(self, error: type[Exception], *words: str) -> None:
        self._error, self._words = error, words

    async def generate(self, request: Request) -> Completion:
        said = request.prompt.messages[-1].content
        if not self._words or any(word in said for word in self._words):
            raise self._error("no reply")
        return Completion(text="Yes.", raw="Yes.", finish="stop", prompt_tokens=1, tokens=1, seed=request.seed)

    async def score(self, prompt: object, labels: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def close(self) -> None: ...


@pytest.fixture
def walked(tmp_path: Path) -> Iterator[Task]:
    yield task(tmp_path / "shards")


def replica(one: Task) -> Replica:
    return Replica(pickle.dumps(one))


def test_the_records_are_those_of_the_local_executor(walked: Task) -> None:
    items = prompts(10)
    chunks, here = laid_out(walked, items, {}, 4), replica(walked)
    outcomes = [here.walk(chunk) for chunk in chunks]
    found = [record for outcome in outcomes for record in read(walked, list(outcome.shards))]
    assert {one.id: one for one in found} == made_here(items)
    assert len(found) == 30
    assert [tuple(outcome.finished) for outcome in outcomes] == [(3,) * 4, (3,) * 4, (3,) * 2]


def test_chunks_in_several_threads_are_walked_at_once(walked: Task) -> None:
    items = prompts(8)
    chunks, here, found = laid_out(walked, items, {}, 2), replica(walked), []
    threads = [threading.Thread(target=lambda chunk=chunk: found.append(here.walk(chunk))) for chunk in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = [record for outcome in found for record in read(walked, list(outcome.shards))]
    assert {one.id: one for one in records} == made_here(items)


def test_a_second_try_makes_only_what_the_first_did_not(walked: Task) -> None:
    """The first replica was killed: it left a whole chain, a part of one and a torn line."""
    items = prompts(3)
    whole = made_here(items)
    (chunk,) = laid_out(walked, items, {}, 3)
    shard = walked.shards.writer(chunk, 0)
    for name in (f"{items[0].id}/0", f"{items[0].id}/1", f"{items[0].id}/2", f"{items[1].id}/0"):
        shard.add(items[0].id, whole[name].model_dump_json())
    shard.close()
    torn = Path(walked.shards.path) / shard.names[0]
    torn.write_bytes(torn.read_bytes() + b'{"id": "half')
    outcome = replica(walked).walk(chunk)
    assert sorted(outcome.finished) == [0, 2, 3]
    first, *others = outcome.shards
    assert [first] == shard.names
    new = read(walked, others)
    assert {one.id for one in new} == set(whole) - {one.id for one in read(walked, shard.names)}
    assert {one.id: one for one in read(walked, list(outcome.shards))} == whole


def test_what_was_stored_before_is_not_made_again(walked: Task) -> None:
    items = prompts(2)
    whole = made_here(items)
    done = {items[0].id: [whole[f"{items[0].id}/{round_}"] for round_ in range(3)]}
    (chunk,) = laid_out(walked, items, done, 2)
    outcome = replica(walked).walk(chunk)
    assert sorted(outcome.finished) == [0, 3]
    assert {of_prompt(one) for one in read(walked, list(outcome.shards))} == {items[1].id}


def test_an_item_that_fails_is_told_by_its_place_and_the_others_go_on(tmp_path: Path) -> None:
    walked, items = task(tmp_path, engine=Broken(ItemFailed, "Question 1")), prompts(3)  # pyright: ignore
    (chunk,) = laid_out(walked, items, {}, 3)
    outcome = replica(walked).walk(chunk)
    assert outcome.failed == [(1, "no reply")]
    assert len(outcome.finished) == 2


def test_an_error_that_is_not_an_items_own_ends_the_stage_as_itself(tmp_path: Path) -> None:
    walked = task(tmp_path, engine=Broken(EngineError))  # pyright: ignore
    (chunk,) = laid_out(walked, prompts(2), {}, 2)
    outcome = replica(walked).walk(chunk)
    with pytest.raises(EngineError, match="no reply"):
        Outcome.of_json(outcome.to_json())


@pytest.mark.parametrize("error", [EngineError, InputError, StoreError])
def test_outcomes_travel(error: type[Exception]) -> None:
    outcome = Outcome([1, 0], [[1, "why"]], {"a.jsonl": 1})  # pyright: ignore
    assert Outcome.of_json(outcome.to_json()) == outcome
    with pytest.raises(error, match="why"):
        Outcome.of_json(Outcome(stop=(error.__name__, "why")).to_json())


def test_items_that_end_their_replica_again_and_again_are_named(walked: Task) -> None:
    items = prompts(2)
    (chunk,) = laid_out(walked, items, {}, 2)
    for number in range(5):
        walked.shards.writer(chunk, number).close()
    outcome = replica(walked).walk(chunk)
    with pytest.raises(EngineError, match=f"lost 5 times while it worked at the same items .{items[0].id}"):
        Outcome.of_json(outcome.to_json())


def test_what_a_dead_attempt_left_is_stored_once(walked: Task) -> None:
    """Two tries made the same record, and some of it is stored already."""
    items = prompts(1)
    whole = list(made_here(items).values())
    (chunk,) = laid_out(walked, items, {}, 1)
    for number in range(2):
        shard = walked.shards.writer(chunk, number)
        for one in whole:
            shard.add(items[0].id, one.model_dump_json())
        shard.close()
    stored: list[Revision] = []
    assert gather_left(walked.shards, Revision, of_prompt, {items[0].id: whole[:1]}, stored.append) == 2
    assert stored == whole[1:]
    assert walked.shards.left() == []


def test_a_full_disk_where_a_replica_begins_is_told_by_every_call(walked: Task) -> None:
    """What it was sent it writes to a folder for temporary files."""
    (chunk,) = laid_out(walked, prompts(1), {}, 1)
    sent = pickle.dumps(walked)
    with longest_file(0):
        here = Replica(sent)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"temporary files \(\$TMPDIR\): cannot be written \(File too large\)"):
            Outcome.of_json(here.walk(chunk).to_json())


# The driver, with a replica in its own process in place of Ray.


def drive(walked: Task, items: list[Prompt], stored: dict[str, list[Revision]], patch: pytest.MonkeyPatch) -> list[int]:
    """Walks the items, keeps records in `stored` as they come, and tells how many each item had that is complete."""
    finished: list[int] = []
    here = replica(walked)

    def outcomes(chunks: Sequence[Chunk], *_: object) -> Iterator[tuple[Chunk, Outcome]]:
        for chunk in chunks:
            yield chunk, Outcome.of_json(here.walk(chunk).to_json())

    def store(record: Revision) -> None:
        stored.setdefault(of_prompt(record), []).append(record)

    before = {name: list(some) for name, some in stored.items()}
    with patch.context() as put:
        put.setattr(driver, "_outcomes", outcomes)
        put.setattr(driver, "_connect", lambda config: None)
        put.setattr(driver, "leave", lambda: None)
        config = RayExecutor(type="ray")
        run_on_ray(items, walked, before, store, finished.append, print, config, [])  # pyright: ignore
    return finished


def again(walked: Task, items: list[Prompt], stored: dict[str, list[Revision]], patch: pytest.MonkeyPatch) -> None:
    """The same command once more: what is left in shards comes first."""
    kept = {name: list(some) for name, some in stored.items()}
    gather_left(walked.shards, Revision, of_prompt, kept, lambda one: stored.setdefault(of_prompt(one), []).append(one))
    drive(walked, items, stored, patch)
    assert {one.id: one for some in stored.values() for one in some} == made_here(items)
    assert sum(map(len, stored.values())) == 3 * len(items)


def test_the_driver_stores_what_the_local_executor_makes(walked: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, list[Revision]] = {}
    assert drive(walked, prompts(5), stored, monkeypatch) == [3] * 5
    again(walked, prompts(5), stored, monkeypatch)


@pytest.mark.parametrize("room", [0, 50, 1200])
def test_a_full_disk_is_told_by_a_replica_and_nothing_is_lost(
    walked: Task, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The list of items fits on the disk; what is made of them does not."""
    items, stored = prompts(5), {}
    lay_out = type(walked.shards).lay_out

    def full_from_now_on(*args: Any) -> list[Chunk]:
        chunks = lay_out(*args)
        patched.enter_context(longest_file(room))
        return chunks

    with ExitStack() as patched, monkeypatch.context() as patch:
        patch.setattr(type(walked.shards), "lay_out", full_from_now_on)
        with pytest.raises(StoreError, match=r"\.jsonl: cannot be written \(File too large\); mend that and run"):
            drive(walked, items, stored, monkeypatch)
    again(walked, items, stored, monkeypatch)


def test_a_record_that_its_shard_lost_is_told_and_made_again(walked: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last write to a shard never reached the disk, and the system said nothing of it."""
    items, stored, write, written = prompts(4), {}, os.write, []

    def lossy(descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data) if len(written) == 3 else write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr("cai.disk.os.write", lossy)
        with pytest.raises(StoreError, match=r"holds 2 records, and its replica wrote 3; see that the disk has room"):
            drive(walked, items, stored, monkeypatch)
    again(walked, items, stored, monkeypatch)


def test_items_that_never_came_back_are_told(walked: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out = type(walked.shards).lay_out
    monkeypatch.setattr(type(walked.shards), "lay_out", lambda *args: lay_out(*args)[:-1])
    with pytest.raises(EngineError, match="Ray gave back 3 of 4 items; run the same command again"):
        drive(walked, prompts(4), {}, monkeypatch)
