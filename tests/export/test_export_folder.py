"""Where an export may be written, what it replaces, and what is left where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_data import answer, completion, prompt, recipe, records, revision, stored

import cai.export.card
import cai.export.folder
import cai.export.writing
from cai.errors import InputError, MissingExtra, StoreError
from cai.export.folder import export_to
from cai.export.source import Source, open_source
from cai.records import Record
from cai.store import RunFolder


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return open_source(stored(tmp_path / "runs", records()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("there", [False, True])
def test_an_absent_or_empty_folder_is_filled(tmp_path: Path, source: Source, there: bool) -> None:
    to = tmp_path / "some" / "where"
    if there:
        to.mkdir(parents=True)
    export_to(source, to)
    assert {"README.md", "export.json", "recipe.yaml", "constitution.yaml"} <= contents(to).keys()
    assert [path.name for path in to.parent.iterdir()] == ["where"]


def test_an_earlier_export_of_the_same_run_is_replaced(tmp_path: Path, source: Source) -> None:
    to = tmp_path / "out"
    export_to(source, to)
    first = contents(to)
    (to / "LICENSE").write_text("mine")
    (to / "sl" / "notes.txt").write_text("mine")
    fewer = {name: found for name, found in records().items() if name in ("respond", "compare")}
    export_to(open_source(stored(tmp_path / "others", fewer, waiting=("compare",))), to)
    assert contents(to).keys() == {
        "LICENSE", "README.md", "constitution.yaml", "export.json", "prompts/train.parquet", "recipe.yaml",
        "sl/notes.txt", "sl/train.parquet",
    }  # fmt: skip
    assert contents(to)["sl/train.parquet"] != first["sl/train.parquet"]


def test_the_same_run_comes_to_the_same_files_on_the_same_day(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cai.export.card, "today", lambda: "2026-01-02")
    export_to(source, tmp_path / "one")
    export_to(source, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("file", ["README.md", "data.csv", "export.json"])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, source: Source, file: str) -> None:
    to = tmp_path / "out"
    to.mkdir()
    (to / file).write_text("[1]")
    with pytest.raises(InputError, match="holds something that is no export of a run"):
        export_to(source, to)
    assert contents(to) == {file: b"[1]"}


def test_an_export_of_another_run_is_left_alone(tmp_path: Path, source: Source) -> None:
    to = tmp_path / "out"
    export_to(open_source(stored(tmp_path / "others", records(), settings=recipe(name="other"))), to)
    before = contents(to)
    with pytest.raises(InputError, match="holds an export of run 'other', not of 'made'"):
        export_to(source, to)
    assert contents(to) == before


def test_a_card_that_was_changed_is_not_overwritten(tmp_path: Path, source: Source) -> None:
    to = tmp_path / "out"
    export_to(source, to)
    card = to / "README.md"
    card.write_text(card.read_text("utf-8").replace("license: other", "license: cc-by-4.0"), "utf-8")
    with pytest.raises(InputError, match=r"README\.md was changed since"):
        export_to(source, to)
    card.unlink()
    export_to(source, to)
    assert "license: other" in card.read_text("utf-8")


def test_a_file_is_no_folder(tmp_path: Path, source: Source) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        export_to(source, tmp_path / "out")


def test_what_fails_leaves_the_earlier_export_and_nothing_beside_it(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "out"
    export_to(source, to)
    before = contents(to)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cai.export.folder, "write_rules", full)
    with pytest.raises(StoreError, match=r"out: cannot be written \(No space left on device\)"):
        export_to(source, to)
    assert contents(to) == before and sorted(path.name for path in tmp_path.iterdir()) == ["out", "runs"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, source: Source) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/out: cannot be written \(Not a directory\)"):
        export_to(source, tmp_path / "file" / "out")


def test_the_working_folder_can_be_named_by_a_dot(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    export_to(source, Path())
    assert "README.md" in contents(tmp_path / "out")


def test_the_folder_may_be_on_another_disk(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def across(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", across)
    export_to(source, tmp_path / "out")
    assert {"README.md", "sl/train.parquet"} <= contents(tmp_path / "out").keys()


def test_a_damaged_record_is_the_stores_error(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", records())
    with (run.steps["revise"].path / "items.jsonl").open("a") as file:
        file.write('{"id": "half"}\n')
    with pytest.raises(StoreError, match=r"items.jsonl:7: not a Revision record"):
        export_to(open_source(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What is not finished.


@pytest.mark.parametrize(
    ("waiting", "tables"),
    [
        (("revise",), {"preferences", "prompts"}),
        (("respond",), {"chains", "preferences", "prompts"}),
        (("compare", "evaluate"), {"sl", "chains", "prompts"}),
        (("respond", "revise", "compare"), {"prompts"}),
    ],
)
def test_what_a_stage_that_is_not_done_would_give_is_left_out(
    tmp_path: Path, waiting: tuple[str, ...], tables: set[str]
) -> None:
    made = export_to(open_source(stored(tmp_path / "runs", records(), waiting)), tmp_path / "out")
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.parquet")} == tables
    told = " ".join(made.notes)
    assert all(f"{name} is missing: " in told for name in {"sl", "chains", "preferences"} - tables)


def test_a_run_without_a_finished_stage_is_an_input_error(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", records(), waiting=tuple(records()))
    with pytest.raises(InputError, match="run 'made' has no finished stage"):
        open_source(run)


def test_finished_stages_without_records_are_an_input_error(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", {"respond": [], "revise": []}, waiting=("revise",))
    with pytest.raises(InputError, match="has nothing to export yet: sl is missing: revise not done"):
        export_to(open_source(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_there_is_the_stores_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run 'nowhere'"):
        open_source(RunFolder(tmp_path, "nowhere"))


def test_what_tells_of_the_machine_is_listed(tmp_path: Path) -> None:
    named = {"prompts": {"harmful": "/home/me/prompts.txt"}, "models": {"assistant": "~/models/mine"}}
    made = export_to(open_source(stored(tmp_path / "runs", records(), settings=recipe(**named))), tmp_path / "out")
    assert made.private == ("/home/me/prompts.txt", "~/models/mine")


def test_without_pyarrow_the_pip_line_is_told(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"'pyarrow' is needed(.|\n)*\[data\]"):
        export_to(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Size.


def chains(count: int, length: int) -> Iterator[Record]:
    text = completion("x" * length)
    for place in range(count):
        asked = prompt(f"{place}" + "y" * length)
        yield from (revision(asked, round_, response=text) for round_ in range(2))


def test_memory_does_not_hold_what_the_records_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 records of 60 kB, in row groups of 20."""
    monkeypatch.setattr(cai.export.writing, "GROUP", 20)
    source = open_source(stored(tmp_path / "runs", {"respond": [], "revise": chains(200, 15_000)}))
    size = (source.done["revise"].path / "items.jsonl").stat().st_size
    tracemalloc.start()
    try:
        export_to(source, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 20e6 and peak < size / 4


LARGE = """
import resource, sys
from pathlib import Path
from cai.export.folder import export_to
from cai.export.source import open_source
from cai.store import RunFolder

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = export_to(open_source(RunFolder(Path(sys.argv[1]), "made")), Path(sys.argv[2]))
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sum(one.rows for one in made.written))
"""


@pytest.mark.slow
def test_a_large_run_needs_little_memory_in_all(tmp_path: Path) -> None:
    """20,000 records, Arrow's own memory counted: what is added stays far below what is read."""
    run = stored(tmp_path / "runs", {"respond": [answer(prompt("h", "helpful"))], "revise": chains(10_000, 4000)})
    size = (run.steps["revise"].path / "items.jsonl").stat().st_size
    command = [sys.executable, "-c", LARGE, str(tmp_path / "runs"), str(tmp_path / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    before, after, rows = map(int, said)
    assert rows == 1 + 10_000 + 20_000 + 1 + 10_000 and size > 200e6
    assert (after - before) * 1024 < size / 2
