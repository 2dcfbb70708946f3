"""A replica makes the records that this process makes, goes on from shards, and tells errors as values."""

import pickle
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cai.engines.base import Request
from cai.errors import EngineError, InputError, ItemFailed, StoreError
from cai.executors.ray import gather_left
from cai.executors.replica import Outcome, Replica, Task
from cai.records import Completion, Revision
from tests.executors.stage_data import laid_out, made_here, of_prompt, prompts, read, task

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
    assert outcome.shards[0] == shard.names[0]
    new = read(walked, list(outcome.shards[1:]))
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
    outcome = Outcome([1, 0], [[1, "why"]], ["a.jsonl"])  # pyright: ignore
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
