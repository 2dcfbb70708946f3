"""Shards hold what replicas finished: whole lines alone, on disks and in object stores."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import InputError, StoreError
from cai.executors.shards import Chunk, Shards, tries

pytest.importorskip("fsspec", reason="fsspec comes with the extra `ray`")

PLACES = ("disk", "memory")


@pytest.fixture(params=PLACES)
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Shards:
    """On a disk, and where nothing can be appended to."""
    return Shards(str(tmp_path / "shards") if request.param == "disk" else f"memory://{tmp_path.name}/shards")


CHUNK = Chunk("attempt", 7, 0, 1, 0, 0)


@settings(max_examples=20)
@given(st.lists(st.lists(st.text(), min_size=1, max_size=3), max_size=12), st.integers(1, 5))
def test_items_are_read_back_chunk_by_chunk(items: list[list[str]], size: int) -> None:
    shards = Shards("memory://items")
    chunks = shards.lay_out(iter(items), size)
    assert [one for chunk in chunks for one in shards.items(chunk)] == items
    assert [chunk.first for chunk in chunks] == list(range(0, len(items), size))
    assert sum(chunk.size for chunk in chunks) == len(items)
    assert [len(shards.items(chunk)) for chunk in chunks] == [chunk.size for chunk in chunks]


def test_a_chunk_travels_as_a_row() -> None:
    assert Chunk(**json.loads(json.dumps(CHUNK.as_row()))) == CHUNK


def write(shards: Shards, before: int = 0) -> list[str]:
    """Two items: one that ended and one that did not."""
    shards.lay_out([["x"]], 1)
    shard = shards.writer(CHUNK, before)
    shard.add("a", "a0")
    shard.add("b", "b0")
    shard.add("a", "a1")
    asyncio.run(shard.end("a"))
    shard.close()
    return shard.names


def test_what_ended_is_there_and_on_a_disk_what_did_not_end_too(shards: Shards) -> None:
    names = write(shards)
    lines = [line for name in names for line in shards.lines(name)]
    assert lines == ([b"a0\n", b"b0\n", b"a1\n"] if shards.appends else [b"a0\n", b"a1\n"])
    assert shards.of_chunk(CHUNK) == shards.left() == names


def test_tries_at_a_chunk_are_counted_and_come_in_order(shards: Shards) -> None:
    first, second = write(shards), write(shards, 1)
    assert shards.of_chunk(CHUNK) == [*first, *second]
    assert (tries(first), tries([*first, *second]), tries([])) == (1, 2, 0)


def test_a_try_that_made_nothing_is_known_of(shards: Shards) -> None:
    shards.lay_out([["x"]], 1)
    shards.writer(CHUNK, 0).close()
    assert tries(shards.of_chunk(CHUNK)) == 1


def test_a_torn_line_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_bytes('{"a":1}\n{"b":"ü'.encode()[:-1])
    assert Shards(str(tmp_path)).lines("one.jsonl") == [b'{"a":1}\n']


def test_shards_of_other_chunks_are_others(shards: Shards) -> None:
    names = write(shards)
    assert shards.of_chunk(Chunk("attempt", 70, 0, 1, 0, 0)) == []
    shards.drop(names)
    assert shards.left() == []


def test_nothing_is_left_once_cleared(shards: Shards) -> None:
    write(shards)
    shards.clear()
    assert shards.left() == []
    shards.clear()


def test_a_folder_that_this_machine_does_not_see_is_told(shards: Shards) -> None:
    with pytest.raises(InputError, match=r"executor\.shards a folder that every machine"):
        shards.items(CHUNK)
    with pytest.raises(StoreError, match=r"which a replica wrote, is not there"):
        shards.lines("gone.jsonl")


def test_a_path_that_nothing_knows_is_told() -> None:
    with pytest.raises(InputError, match=r"executor\.shards: nonsense://x cannot be used"):
        Shards("nonsense://x").left()
