"""The index says what a plain walk over the records says, however they came to be there."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from view_data import chain, comparison, scores, unread

from cai.errors import StoreError
from cai.labels import draw
from cai.records import Record, Revision
from cai.store import StepFolder
from cai.view import index as indexing
from cai.view.entries import listing
from cai.view.index import StepIndex
from cai.view.lookup import Lookup, Query


def begun(path: Path, records: Sequence[Record]) -> StepFolder:
    step = StepFolder(path)
    step.begin({})
    for one in records:
        step.append(one)
    step.close()
    return step


def indexed(step: StepFolder, stage: str, cache: Path) -> StepIndex:
    made = StepIndex(step.path, listing(stage), cache)
    made.read_all()
    return made


def keys(found: Lookup, query: Query, count: int = 100) -> list[str]:
    return [row.key for row in found.page(query, 0, count)]


class Full(StepIndex):
    """An index on a disk that takes so many pages of it and no more, until `most` is raised."""

    most = 20

    def _connected(self) -> sqlite3.Connection:
        db = super()._connected()
        db.execute(f"PRAGMA max_page_count={self.most}")
        return db


CHAINS = [
    one
    for place in range(12)
    for one in chain(
        f"Question {place} about {'locks' if place % 2 else 'bread'}?",
        ["First.", f"Second {place}.", "Third zeugma." if place == 7 else "Third."],
        ("kind", "honest", "brief")[place % 3],
        flags=("truncated",) if place % 4 == 0 else (),
    )
]
PAIRS = [
    *(comparison(f"Pair {place}?", place / 3 - 2) for place in range(13)),
    unread("Not read?"),
    comparison("T", 0.0),
]


def by_chain() -> dict[str, list[Revision]]:
    found: dict[str, list[Revision]] = {}
    for one in CHAINS:
        found.setdefault(one.id.rpartition("/")[0], []).append(one)
    return found


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        (Query(), lambda rounds: True),
        (Query((("principle", "honest"),)), lambda rounds: "honest" in rounds[-1].principles),
        (Query((("flag", "truncated"),)), lambda rounds: bool(rounds[-1].flags)),
        (
            Query((("flag", "truncated"), ("principle", "kind"))),
            lambda rounds: bool(rounds[-1].flags) and rounds[-1].principles == ("kind",),
        ),
        (Query(text="zeugma"), lambda rounds: "zeugma" in rounds[-1].response.text),
        (Query(text="lock* question"), lambda rounds: "locks" in rounds[0].prompt.messages[0].content),
        (Query(text="lock question"), lambda rounds: False),
        (Query(text="nowhere"), lambda rounds: False),
        (Query((("principle", "none"),)), lambda rounds: False),
    ],
)
def test_chains_are_found_as_a_walk_finds_them(tmp_path: Path, query: Query, fits: object) -> None:
    found = Lookup(indexed(begun(tmp_path / "revise", CHAINS), "revise", tmp_path / "cache"))
    expected = [key for key, rounds in by_chain().items() if fits(rounds)]  # type: ignore[operator]
    assert keys(found, query) == expected
    assert found.count(query) == len(expected)


def test_comparisons_are_sorted_and_bounded_by_their_probability(tmp_path: Path) -> None:
    found = Lookup(indexed(begun(tmp_path / "compare", PAIRS), "compare", tmp_path / "cache"))
    read = sorted((one for one in PAIRS if one.verdict.p_a is not None), key=lambda one: one.verdict.p_a or 0)
    ids = [one.id for one in read]
    assert keys(found, Query(order="low")) == ids
    assert [row.figure for row in found.page(Query(order="high"), 0, 99)] == [one.verdict.p_a for one in read[::-1]]
    between = [one.id for one in read if 0.3 <= (one.verdict.p_a or 0) <= 0.8]
    assert between and keys(found, Query(low=0.3, high=0.8, order="low")) == between
    assert keys(found, Query((("prefers", "neither"),))) == [PAIRS[6].id, PAIRS[14].id]
    assert keys(found, Query((("verdict", "unparsed"),))) == [PAIRS[13].id]


def test_a_preference_for_a_seat_is_found(tmp_path: Path) -> None:
    pairs = [comparison("Sure?", 4.0, drift=1.0), comparison("Seat?", 0.2, drift=3.0)]
    found = Lookup(indexed(begun(tmp_path / "compare", pairs), "compare", tmp_path / "cache"))
    assert keys(found, Query((("orders", "disagree"),))) == [pairs[1].id]
    assert keys(found, Query((("orders", "agree"),))) == [pairs[0].id]


def test_chains_are_sorted_by_the_score_of_their_last_round(tmp_path: Path) -> None:
    lengths = {"a": 4, "b": 2, "c": 3}
    chains = [one for name, count in lengths.items() for one in chain(name, ["x"] * count)]
    rounds = scores(chains)
    index = indexed(begun(tmp_path / "revise", chains), "revise", tmp_path / "cache")
    scored = indexed(begun(tmp_path / "scores", rounds[::-1]), "score_rounds", tmp_path / "cache")
    found = Lookup(index, scored)
    assert [(row.title, row.figure) for row in found.page(Query(order="high"), 0, 9)] == [
        ("a", 1.5),
        ("c", 1.0),
        ("b", 0.5),
    ]
    assert [row.title for row in found.page(Query(low=0.7, high=1.2), 0, 9)] == ["c"]
    assert found.count(Query(low=0.7)) == 2


def test_facets_count_entries_and_not_records(tmp_path: Path) -> None:
    found = Lookup(indexed(begun(tmp_path / "revise", CHAINS), "revise", tmp_path / "cache")).facets()
    assert found["principle"] == [("brief", 4), ("honest", 4), ("kind", 4)]
    assert found["round"] == [("1", 12), ("2", 12)]


def test_what_is_appended_is_read_on_from_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = begun(tmp_path / "revise", CHAINS[:4])
    index = indexed(step, "revise", tmp_path / "cache")
    read: list[int] = []
    entry = index.listing.entry
    monkeypatch.setattr(indexing.StepIndex, "_lines", _counting(indexing.StepIndex._lines, read))
    for one in CHAINS[4:]:
        step.append(one)
    reached = index.refresh(5)
    assert (reached.lines, reached.entries, reached.whole) == (36, 12, True)
    assert sum(read) == 32 and entry
    assert keys(Lookup(index), Query()) == list(by_chain())


def _counting(lines: object, read: list[int]) -> object:
    def counted(self: StepIndex, offset: int) -> object:
        found = list(lines(self, offset))  # type: ignore[operator]
        read.append(len(found))
        return iter(found)

    return counted


def test_a_torn_line_waits_for_its_end(tmp_path: Path) -> None:
    step = begun(tmp_path / "revise", CHAINS[:3])
    path, whole = step.path / "items.jsonl", CHAINS[3].model_dump_json().encode() + b"\n"
    with path.open("ab") as file:
        file.write(whole[:50])
    index = indexed(step, "revise", tmp_path / "cache")
    assert index.reached().lines == 3 and index.reached().whole
    with path.open("ab") as file:
        file.write(whole[50:])
    assert index.refresh(5).lines == 4


def test_a_line_that_is_no_record_is_counted_and_hides_no_other(tmp_path: Path) -> None:
    step = begun(tmp_path / "revise", CHAINS[:3])
    with (step.path / "items.jsonl").open("ab") as file:
        file.write(b"{}\n\xff\xfe\n[]\n\n")
    for one in CHAINS[3:6]:
        step.append(one)
    index = indexed(step, "revise", tmp_path / "cache")
    assert (index.reached().bad, len(keys(Lookup(index), Query()))) == (4, 2)


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_other_records_at_the_same_place_are_read_from_the_start(tmp_path: Path, change: str) -> None:
    step = begun(tmp_path / "revise", CHAINS)
    index = indexed(step, "revise", tmp_path / "cache")
    path = step.path / "items.jsonl"
    others = CHAINS[3:6] if change == "shorter" else [*CHAINS[6:], *CHAINS[:6]]
    path.write_text("".join(f"{one.model_dump_json()}\n" for one in others), "utf-8")
    index.refresh(5)
    expected = list(dict.fromkeys(one.id.rpartition("/")[0] for one in others))
    assert keys(Lookup(index), Query()) == expected
    assert index.reached().lines == len(others)
    assert keys(Lookup(index), Query(text="zeugma")) == ([] if change == "shorter" else [CHAINS[21].id[:-2]])


def test_an_index_of_another_version_or_a_torn_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = begun(tmp_path / "revise", CHAINS)
    index = indexed(step, "revise", tmp_path / "cache")
    monkeypatch.setattr(indexing, "FORMAT", indexing.FORMAT + 1)
    assert indexed(step, "revise", tmp_path / "cache").reached().lines == 36
    for path in index.file.parent.glob(f"{index.file.name}-*"):
        path.unlink()
    index.file.write_bytes(b"no database" * 1000)
    assert indexed(step, "revise", tmp_path / "cache").reached().lines == 36


def test_several_readers_at_once_index_each_line_once(tmp_path: Path) -> None:
    step = begun(tmp_path / "revise", CHAINS)
    several = [StepIndex(step.path, listing("revise"), tmp_path / "cache") for _ in range(4)]
    threads = [threading.Thread(target=one.read_all) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert several[0].reached().lines == 36
    assert sum(row.parts for row in Lookup(several[0]).page(Query(), 0, 99)) == 36


def test_nothing_is_written_beside_the_records(tmp_path: Path) -> None:
    step = begun(tmp_path / "revise", CHAINS)
    before = {path: path.read_bytes() for path in step.path.iterdir()}
    indexed(step, "revise", tmp_path / "cache").refresh()
    assert {path: path.read_bytes() for path in step.path.iterdir()} == before


def test_without_full_text_search_titles_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_WORDS", "CREATE VIRTUAL TABLE words USING nosuchmodule (words)")
    found = Lookup(indexed(begun(tmp_path / "revise", CHAINS), "revise", tmp_path / "cache"))
    assert len(keys(found, Query(text="ABOUT locks"))) == 6
    assert keys(found, Query(text="zeugma")) == []


def test_records_of_a_stage_that_is_not_known_are_listed_too(tmp_path: Path) -> None:
    step = begun(tmp_path / "novel", [])
    rows = [{"id": f"r{n}", "model": "base", "right": n % 2 == 0, "deep": {"text": f"words {n}"}} for n in range(4)]
    (step.path / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    found = Lookup(indexed(step, "novel", tmp_path / "cache"))
    assert keys(found, Query((("right", "True"),))) == ["r0", "r2"]
    assert keys(found, Query(text="words 3")) == ["r3"]


def test_the_sample_is_the_same_for_every_reader_and_leaves_out_what_it_must(tmp_path: Path) -> None:
    pairs = [*PAIRS, unread("Same?", "skipped")]
    found = Lookup(indexed(begun(tmp_path / "compare", pairs), "compare", tmp_path / "cache"))
    again = Lookup(indexed(begun(tmp_path / "again", pairs[::-1]), "compare", tmp_path / "cache"))
    expected = sorted((one.id for one in PAIRS), key=lambda name: (draw(name), name))
    assert found.sample(7, ("verdict", "skipped")) == again.sample(7, ("verdict", "skipped")) == expected[:7]
    assert len(found.sample(99, ("verdict", "skipped"))) == len(PAIRS)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.text(max_size=12))
@settings(max_examples=60)
def test_any_query_string_is_read_and_written_back(fields: dict[str, str], text: str) -> None:
    from urllib.parse import parse_qsl

    query = Query.of({**{f"f.{name}": value for name, value in fields.items()}, "q": text, "low": text})
    assert Query.of(dict(parse_qsl(query.string()))) == query


@given(st.text(max_size=30))
@settings(max_examples=60)
def test_no_text_breaks_a_search(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = Lookup(indexed(begun(Path(folder) / "revise", CHAINS[:3]), "revise", Path(folder) / "cache"))
        assert found.count(Query(text=text)) in (0, 1)


def test_a_full_disk_is_told_and_the_next_look_goes_on(tmp_path: Path) -> None:
    """A list that stays empty would say that there are no records."""
    step = begun(tmp_path / "step", [one for place in range(300) for one in chain(f"{place}?", ["A."], "kind")])
    full = Full(step.path, listing("revise"), tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"disk is full.*free some space"):
            full.refresh(60)
    full.most = 1000
    assert full.refresh(60).entries == 300


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder goes")
    with pytest.raises(StoreError, match=r"can't be written.*No record is touched"):
        StepIndex(begun(tmp_path / "step", CHAINS).path, listing("revise"), tmp_path / "cache")
