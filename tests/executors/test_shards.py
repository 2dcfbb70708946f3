"""Shards hold what replicas finished: whole lines alone, on disks and in object stores."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import InputError, StoreError
from cai.executors.shards import Chunk, Shards, tries
from cai.records import Message
from tests.executors.stage_data import longest_file

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


# Disks that are full, and what was lost on them.


def test_how_much_is_in_each_shard_is_known(shards: Shards) -> None:
    names = write(shards)
    shard = shards.writer(CHUNK, 1)
    shard.add("a", "a0")
    asyncio.run(shard.end("a"))
    shard.close()
    assert [len(shards.lines(name)) for name in shard.names] == list(shard.held.values())
    assert sum(shard.held.values()) == 1
    assert len(shards.lines(names[-1], 1)) >= 1


def test_a_record_for_which_there_is_no_room_is_told_and_leaves_no_trace(tmp_path: Path) -> None:
    """The disk takes a part of the second line: without an error the record would be lost."""
    shards = Shards(str(tmp_path))
    shard = shards.writer(CHUNK, 0)
    shard.add("a", "a" * 99)
    with longest_file(150), pytest.raises(StoreError, match=r"-0000\.jsonl: cannot be written \(File too large\)"):
        shard.add("b", "b" * 99)
    assert (tmp_path / shard.names[0]).read_bytes() == b"a" * 99 + b"\n"
    shard.add("c", "c")
    shard.close()
    assert shards.lines(shard.names[0], 2) == [b"a" * 99 + b"\n", b"c\n"]
    assert shard.held == {shard.names[0]: 2}


def test_a_list_of_items_for_which_there_is_no_room_is_told(tmp_path: Path) -> None:
    with (
        longest_file(150),
        pytest.raises(StoreError, match=rf"^{tmp_path}: cannot be written \(File too large\)"),
    ):
        Shards(str(tmp_path)).lay_out([["x" * 99]] * 3, 1)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("")
    shards = Shards(str(tmp_path / "shards"))
    for attempt in (lambda: shards.lay_out([["x"]], 1), lambda: shards.writer(CHUNK, 0), lambda: shards.items(CHUNK)):
        with pytest.raises(StoreError, match=r"shards: cannot be (written|read) \(.+\); mend that and run the same"):
            attempt()


def test_fewer_records_than_were_written_are_an_error(shards: Shards) -> None:
    name = write(shards)[-1]
    there = len(shards.lines(name))
    assert len(shards.lines(name, there)) == there
    with pytest.raises(StoreError, match=rf"{name} holds {there} records, and its replica wrote {there + 1}; see that"):
        shards.lines(name, there + 1)


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    good = Message(role="user", content="x").model_dump_json()
    (tmp_path / "one.jsonl").write_text(f'{good}\n{{"half\n')
    with pytest.raises(StoreError, match=r"one\.jsonl:2: not a Message record \(.+\); delete that file, and run"):
        Shards(str(tmp_path)).records("one.jsonl", Message)
