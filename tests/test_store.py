"""The run store: what a kill, a full disk, a second process or a damaged file leaves behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cai.errors import StoreError
from cai.records import Message, RoundScore
from cai.store import RunFolder, StepFolder, free_bytes, read_json, replace_folder, write_json, write_text

DIGEST = "0123456789abcdef" * 4


def turn(text: str) -> Message:
    return Message(role="user", content=text)


def texts(folder: StepFolder) -> list[str]:
    return [message.content for message in folder.records(Message)]


def begun(path: Path, *contents: str) -> StepFolder:
    """A step with records, closed as a killed process leaves it."""
    folder = StepFolder(path)
    folder.begin({"digest": DIGEST})
    for content in contents:
        folder.append(turn(content))
    folder.close()
    return folder


def temporary(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@example(["\n", "\r\n", "\u2028\x85\x0b", "", "é🙂", "x" * 70_000])
@settings(deadline=None, max_examples=25)
def test_records_come_back_as_they_were_in_order(contents: list[str]) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = begun(Path(home) / "step", *contents)
        assert texts(folder) == texts(StepFolder(folder.path)) == contents
        assert folder.count() == len(contents)


def test_a_record_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step", "a")
    folder.append(turn("b"))
    assert texts(StepFolder(tmp_path / "step")) == ["a", "b"]
    folder.close()


def test_of_a_file_beside_the_records_some_are_kept_and_it_grows_on(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step", "of the step")
    for text in "abc":
        folder.append(turn(text), "other.jsonl")
    folder.keep([one for one in folder.records(Message, "other.jsonl") if one.content != "b"], "other.jsonl")
    folder.append(turn("d"), "other.jsonl")
    assert [one.content for one in StepFolder(folder.path).records(Message, "other.jsonl")] == ["a", "c", "d"]
    assert texts(folder) == ["of the step"] and not temporary(folder.path)
    folder.keep([], "other.jsonl")
    assert list(folder.records(Message, "other.jsonl")) == []
    (folder.path / "other.jsonl").write_text("{}\n")
    with pytest.raises(StoreError, match=r"other\.jsonl:1: not a Message record"):
        list(folder.records(Message, "other.jsonl"))


def test_an_infinite_number_survives(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path)
    folder.append(RoundScore(id="x", round=1, reward=float("-inf")))
    folder.close()
    assert next(folder.records(RoundScore)).reward == float("-inf")


def test_what_never_began_is_empty(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path / "never")
    assert not folder.done
    assert (folder.spec, folder.summary, folder.count(), folder.metrics(), texts(folder)) == ({}, {}, 0, [], [])
    assert not folder.path.exists()


def cut_short(home: Path, contents: list[str], data: st.DataObject) -> list[str]:
    """Stores records and cuts their file at a drawn byte. Returns the contents of those that are whole."""
    items = begun(home, *contents).path / "items.jsonl"
    whole = items.read_bytes() if items.exists() else b""
    cut = data.draw(st.integers(0, len(whole)))
    items.write_bytes(whole[:cut])
    return contents[: whole[:cut].count(b"\n")]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("aé🙂\n", max_size=4), max_size=5), st.data())
def test_after_a_cut_at_any_byte_every_whole_record_is_there_and_work_goes_on(
    contents: list[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as home:
        kept = cut_short(Path(home), contents, data)
        folder = StepFolder(Path(home))
        assert texts(folder) == kept
        assert folder.count() == len(kept)
        folder.append(turn("new"))
        folder.close()
        assert texts(StepFolder(Path(home))) == [*kept, "new"]


def test_a_torn_line_longer_than_any_buffer_is_dropped(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a", "b" * 200_000)
    os.truncate(tmp_path / "items.jsonl", 190_000)
    folder.append(turn("c"))
    folder.close()
    assert texts(folder) == ["a", "c"]


def test_a_torn_row_of_metrics_is_dropped_too(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    folder = StepFolder(tmp_path)
    assert folder.metrics() == [{"step": 1}]
    folder.metric({"step": 2})
    folder.close()
    assert folder.metrics() == [{"step": 1}, {"step": 2}]


def test_of_the_metrics_of_a_repeated_step_the_last_counts(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path)
    folder.metric({"step": 1, "loss": 3.0})
    folder.metric({"final": 1})
    for step, loss in ((2, 2.0), (3, 9.0), (2, 2.5), (3, 1.0)):
        folder.metric({"step": step, "loss": loss})
    folder.metric({"final": 2})
    folder.close()
    steps = [(row["step"], row["loss"]) for row in folder.metrics() if "step" in row]
    assert steps == [(1, 3.0), (2, 2.5), (3, 1.0)]
    assert [row["final"] for row in folder.metrics() if "final" in row] == [1, 2]


@pytest.mark.parametrize(
    "line", [b"{}", b"not json", b'{"role": "user"}', b'{"role": "judge", "content": ""}', b"\xff", b"", b'{"role"']
)
def test_a_damaged_record_is_told_with_file_and_line(tmp_path: Path, line: bytes) -> None:
    folder = begun(tmp_path, "a", "b")
    items = tmp_path / "items.jsonl"
    first, second, _ = items.read_bytes().split(b"\n")
    items.write_bytes(b"\n".join([first, line, second, b""]))
    records = folder.records(Message)
    assert next(records).content == "a"
    with pytest.raises(StoreError, match=rf"^{items}:2: not a Message record .*; delete {tmp_path} to redo it"):
        next(records)


def test_what_a_trainer_says_at_its_end_does_not_replace_the_last_steps_figures(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path)
    for row in ({"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}, {"step": 2, "train_runtime": 9.0}):
        folder.metric(row)
    folder.close()
    assert folder.metrics() == [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6, "train_runtime": 9.0}]


def test_a_damaged_row_of_metrics_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(StoreError, match=rf"^{tmp_path}/metrics\.jsonl:2: "):
        StepFolder(tmp_path).metrics()


@pytest.mark.parametrize("name", ["DONE", "spec.json"])
def test_a_damaged_file_of_a_step_is_told_with_its_name(tmp_path: Path, name: str) -> None:
    folder = begun(tmp_path / "step")
    (folder.path / name).write_text('{"half": ')
    with pytest.raises(StoreError, match=rf"^{folder.path / name}: cannot be read as JSON"):
        _ = folder.summary, folder.spec


def test_a_resumed_step_keeps_its_first_spec(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path / "step")
    assert folder.spec == {}
    folder.begin({"digest": "first"})
    folder.begin({"digest": "second"})
    assert folder.spec == StepFolder(tmp_path / "step").spec == {"digest": "first"}


def test_the_log_grows_by_lines(tmp_path: Path) -> None:
    for text in ("one", "two\ud800"):
        folder = StepFolder(tmp_path)
        folder.log(text)
        folder.close()
    assert (tmp_path / "log.txt").read_bytes() == b"one\ntwo\xed\xa0\x80\n"


def test_a_step_is_done_once_it_is_finished(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step", "a")
    assert not folder.done
    folder.finish({"seconds": 1.5})
    assert folder.done
    assert StepFolder(folder.path).summary == {"seconds": 1.5}


def test_done_is_written_after_all_else_has_reached_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was closed before, and what a trainer wrote."""
    flushed: list[int] = []
    flush = os.fsync
    folder = begun(tmp_path / "step", "a")
    (folder.path / "model").mkdir()
    (folder.path / "model" / "weights").write_bytes(b"w")
    folder.metric({"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file).st_ino), flush(file)))
        folder.finish({})
    *before, last = flushed
    assert last == (folder.path / "DONE").stat().st_ino
    for name in ("items.jsonl", "metrics.jsonl", "model/weights"):
        assert (folder.path / name).stat().st_ino in before


def test_done_holds_size_digest_and_lines_of_every_file(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step", "a", "b")
    (folder.path / "model").mkdir()
    (folder.path / "model" / "weights").write_bytes(b"w")
    folder.finish({"seconds": 1})
    items, weights = (folder.path / name for name in ("items.jsonl", "model/weights"))
    assert folder.summary == {"seconds": 1}
    assert folder.files == {
        "items.jsonl": {
            "bytes": items.stat().st_size, "sha256": hashlib.sha256(items.read_bytes()).hexdigest(), "lines": 2
        },
        "model/weights": {"bytes": 1, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()},
        "spec.json": {
            "bytes": (folder.path / "spec.json").stat().st_size,
            "sha256": hashlib.sha256((folder.path / "spec.json").read_bytes()).hexdigest(),
        },
    }  # fmt: skip


SCRATCH = ("checkpoints/checkpoint-2/weights", "rounds/1/model/weights", "rounds/1/adapter/weights")


def test_what_only_an_unfinished_step_needs_stays_until_done_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that is stopped in between must not begin again."""
    folder = begun(tmp_path / "step", "a")
    for name in (*SCRATCH, "rounds/1/best.json"):
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).touch()
    replace = Path.replace

    def stopped(path: Path, to: Path) -> Path:
        if to.name == "DONE":
            raise KeyboardInterrupt
        return replace(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            folder.finish({})
    assert all((folder.path / name).is_file() for name in SCRATCH) and not folder.done
    folder.finish({})
    assert not any((folder.path / name).exists() for name in SCRATCH)
    assert folder.files and set(folder.files) == {"items.jsonl", "spec.json", "rounds/1/best.json"}


def test_what_a_killed_write_left_is_removed_as_the_step_goes_on(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step", "a")
    (folder.path / ".DONE.123.tmp").touch()
    folder.begin({})
    assert temporary(tmp_path) == []


def test_a_checkpoint_that_changed_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step")
    (folder.path / "model").mkdir()
    weights = folder.path / "model" / "weights"
    weights.write_bytes(b"one")
    folder.check("model")
    folder.finish({})
    folder.check("model")
    weights.write_bytes(b"two")
    told = rf"^{weights}: found bytes with SHA-256 [0-9a-f]{{16}}, expected .* put back .* or delete {folder.path} and"
    with pytest.raises(StoreError, match=told):
        folder.check("model")
    folder.check("adapter")


def test_a_step_whose_records_cannot_be_flushed_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path / "step", "a")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="no space left on the disk"):
            folder.finish({})
    assert not folder.done
    assert temporary(tmp_path) == []


def filling(room: int, code: int = errno.ENOSPC):
    """A stand-in for os.write on a disk with `room` bytes left."""
    write, left = os.write, room

    def limited(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(code, os.strerror(code))
        count = write(file, bytes(data)[:left])
        left -= count
        return count

    return limited


@pytest.mark.parametrize("room", [0, 1, 7])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space left on the disk; free some and run the same command again: nothing stored is lost"),
        (errno.EDQUOT, "no space left on the disk"),
        (errno.EIO, r"cannot be written \(Input/output error\)"),
    ],
)
def test_a_file_on_a_full_disk_keeps_its_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, code: int, message: str
) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": True})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling(room, code))
        with pytest.raises(StoreError, match=rf"^{path}: {message}"):
            write_json(path, {"new": True})
    assert read_json(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("room", [0, 1, 20])
def test_an_append_to_a_full_disk_leaves_the_file_as_it_was_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    folder = begun(tmp_path, "a")
    before = (tmp_path / "items.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling(room))
        with pytest.raises(StoreError, match=r"items\.jsonl: no space left on the disk"):
            folder.append(turn("b"))
    assert (tmp_path / "items.jsonl").read_bytes() == before
    folder.append(turn("c"))
    folder.close()
    assert texts(folder) == ["a", "c"]


def test_writes_that_come_in_pieces_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, bytes(data)[:3]))
        write_text(tmp_path / "file", "é" * 10)
        folder = begun(tmp_path / "step", "b" * 10)
    assert (tmp_path / "file").read_text("utf-8") == "é" * 10
    assert texts(folder) == ["b" * 10]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"mounting a file system is not permitted: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True, capture_output=True, timeout=20)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    folder = begun(small_disk / "step")
    write_text(small_disk / "file", "old")
    written: list[str] = []
    with pytest.raises(StoreError, match="no space left on the disk"):
        for index in range(1000):
            folder.append(turn(f"{index} " + "x" * 700))
            written.append(f"{index} " + "x" * 700)
    assert texts(folder) == written
    assert written
    with pytest.raises(StoreError, match="no space left on the disk"):
        write_text(small_disk / "file", "new" * 20_000)
    assert (small_disk / "file").read_text() == "old"
    assert temporary(small_disk) == []
    with pytest.raises(StoreError, match="no space left on the disk"):
        folder.finish({"text": "x" * 70_000})
    assert not folder.done
    folder.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match=rf"^{tmp_path}/run"):
        StepFolder(tmp_path / "run" / "step").begin({})


def finished(root: Path, run: str, digest: str) -> StepFolder:
    step = RunFolder(root, run).step("sft", digest)
    step.begin({"digest": digest})
    step.finish({"run": run})
    return step


def test_a_step_that_another_run_finished_is_used(tmp_path: Path) -> None:
    theirs = finished(tmp_path, "one", DIGEST)
    assert RunFolder(tmp_path, "two").step("sft", DIGEST).path == theirs.path == tmp_path / "one" / "sft-01234567"


def test_a_step_of_ones_own_comes_first(tmp_path: Path) -> None:
    finished(tmp_path, "one", DIGEST)
    own = RunFolder(tmp_path, "two").step("other", DIGEST)
    own.begin({"digest": DIGEST})
    own.finish({})
    assert RunFolder(tmp_path, "two").step("other", DIGEST).path == tmp_path / "two" / "other-01234567"


@pytest.mark.parametrize("missing", ["DONE", "spec.json"])
def test_a_step_that_another_run_left_half_way_is_not_used(tmp_path: Path, missing: str) -> None:
    (finished(tmp_path, "one", DIGEST).path / missing).unlink()
    assert RunFolder(tmp_path, "two").step("sft", DIGEST).path == tmp_path / "two" / "sft-01234567"


def test_a_step_with_another_digest_is_not_used_though_the_first_digits_agree(tmp_path: Path) -> None:
    finished(tmp_path, "one", DIGEST)
    other = DIGEST[:8] + "0" * 56
    assert RunFolder(tmp_path, "two").step("sft", other).path == tmp_path / "two" / "sft-01234567"


def test_a_run_remembers_its_recipe_and_where_its_steps_are(tmp_path: Path) -> None:
    theirs = finished(tmp_path, "one", DIGEST)
    run = RunFolder(tmp_path, "two")
    run.remember({"name": "two"}, {"sft": run.step("sft", DIGEST), "rl": run.step("rl", DIGEST)})
    again = RunFolder(tmp_path, "two")
    assert again.recipe == {"name": "two"}
    assert {stage: step.path for stage, step in again.steps.items()} == {
        "sft": theirs.path,
        "rl": tmp_path / "two" / "rl-01234567",
    }


@pytest.mark.parametrize(("runs", "found"), [((), "none"), (("b", "a"), "a, b")])
def test_a_run_that_is_not_there_is_met_by_those_that_are(tmp_path: Path, runs: tuple[str, ...], found: str) -> None:
    for name in runs:
        RunFolder(tmp_path, name).remember({}, {})
    with pytest.raises(StoreError, match=rf"no run 'gone' in {tmp_path}/; found: {found}$"):
        _ = RunFolder(tmp_path, "gone").steps


HOLD = """
import sys, pathlib
from cai.store import RunFolder
with RunFolder(pathlib.Path(sys.argv[1]), "run").locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    run = RunFolder(tmp_path, "run")
    with pytest.raises(StoreError, match=rf"run is in use by process {holder.pid}; wait for it"), run.locked():
        pass
    with RunFolder(tmp_path, "other").locked():
        pass
    holder.communicate()
    with run.locked():
        assert read_json(run.path / "lock.json") == {"pid": os.getpid()}


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with RunFolder(tmp_path, "run").locked():
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "run")
    for _ in range(2):
        with pytest.raises(KeyError), run.locked():
            raise KeyError
    assert not (run.path / "lock.json").exists()


def test_json_is_written_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": "é", "b": [1]})
    text = (tmp_path / "x.json").read_text("utf-8")
    assert "é" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"a": "é", "b": [1]}


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "old", tmp_path / "new")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["old", "old/new"]


def test_free_space_of_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") > 0


# The index.


def first_letter(message: Message) -> str:
    return message.content[0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.text("é\n🙂", max_size=4)), max_size=8), st.data())
def test_an_index_finds_the_whole_records_of_each_key_in_order(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    contents = ["".join(part) for part in parts]
    with tempfile.TemporaryDirectory() as home:
        kept = cut_short(Path(home), contents, data)
        index = StepFolder(Path(home)).index(Message, first_letter)
        found = {key: [message.content for message in index[key]] for key in index}
        index.close()
    assert found == {key: [one for one in kept if one[0] == key] for key in {one[0] for one in kept}}


def test_an_index_reads_only_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = begun(tmp_path, "a1", "b1", "a2", "a3").index(Message, first_letter)
    read: list[int] = []
    monkeypatch.setattr(index, "read", lambda place: read.append(place) or turn("read"))
    assert (len(index), len(index["a"]), bool(index["b"]), len(index["a"][1:])) == (2, 3, True, 2)
    assert index.get("x", ()) == ()
    assert read == []
    assert index["a"][-1] == turn("read")
    assert len(read) == 1
    index.close()


def test_records_that_come_while_an_index_is_open_change_nothing_in_it(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a1")
    with (tmp_path / "items.jsonl").open("ab") as items:
        items.write(b'{"torn')
    index = folder.index(Message, first_letter)
    for text in ("a2", "b1"):
        folder.append(turn(text))
    assert [message.content for message in index["a"]] == ["a1"]
    assert list(index) == ["a"]
    folder.close()
    index.close()


def test_a_damaged_record_is_told_by_the_index_too(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a1")
    with (tmp_path / "items.jsonl").open("ab") as items:
        items.write(b"{}\n")
    with pytest.raises(StoreError, match=rf"^{tmp_path}/items\.jsonl:2: not a Message record"):
        folder.index(Message, first_letter)


# Failures.


def test_a_fresh_attempt_begins_without_the_failures_of_the_last(tmp_path: Path) -> None:
    folder = begun(tmp_path / "step")
    assert not (folder.path / "failures.jsonl").exists()
    folder.failure({"id": "a", "error": "too long"})
    folder.failure({"id": "b", "error": "too long"})
    folder.close()
    lines = (folder.path / "failures.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]
    again = StepFolder(folder.path)
    again.begin({})
    assert (folder.path / "failures.jsonl").read_bytes() == b""
    assert again.spec == {"digest": DIGEST}
