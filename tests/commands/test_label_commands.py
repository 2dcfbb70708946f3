"""cai labels and cai view, as a user calls them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cai.cli import app
from cai.config import load_recipe
from cai.errors import InputError, MissingExtra
from cai.labels import HumanLabel, add, labels_of
from cai.records import Comparison, Completion, Message, Prompt, Verdict
from cai.store import RunFolder, StepFolder


def comparison(name: str, state: Any = "parsed") -> Comparison:
    asked = Prompt.of((Message(role="user", content=name),), "harmful", "test")
    said = Completion(text=name, raw=name, finish="stop", prompt_tokens=1, tokens=1, seed=0)
    verdict = Verdict(state=state, p_a=0.5 if state == "parsed" else None)
    return Comparison(id=f"{asked.id}/0-1", prompt=asked, principles=("x",), a=said, b=said, verdict=verdict)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs", "made")
    step = StepFolder(folder.path / "compare-01234567")
    step.begin({})
    for n in range(9):
        step.append(comparison(f"Question {n}?", "skipped" if n == 0 else "parsed"))
    step.close()
    folder.remember(load_recipe("smoke").model_dump() | {"name": "made"}, {"compare": step})
    return folder


def called(run: RunFolder, *words: str) -> str:
    """What it prints. Raises our own errors."""
    result = CliRunner().invoke(app, ["labels", *words, "--runs", str(run.root)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_file_that_is_not_there_or_no_text_is_told_without_codes(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file or directory\)$"):
        called(run, "import", "made", str(tmp_path / "none.json"))
    (tmp_path / "binary.json").write_bytes(b"ab\xff")
    with pytest.raises(InputError, match="byte 2 is not UTF-8; save the file as UTF-8"):
        called(run, "import", "made", str(tmp_path / "binary.json"))


@pytest.mark.parametrize("form", ["argilla", "label-studio"])
def test_pairs_go_out_and_labels_come_back(run: RunFolder, tmp_path: Path, form: str) -> None:
    file = tmp_path / "pairs.json"
    assert "5 comparisons" in called(run, "export", "made", str(file), "--to", form, "--count", "5")
    rows = json.loads(file.read_text("utf-8"))
    for row in rows:
        if form == "argilla":
            row["responses"] = {"better": [{"value": "tie", "user_id": "ana"}]}
        else:
            value = {"choices": ["tie"]}
            row["annotations"] = [
                {"completed_by": {"email": "ana"}, "result": [{"from_name": "better", "value": value}]}
            ]
    file.write_text(json.dumps(rows))
    assert "5 new, 0 known already" in called(run, "import", "made", str(file))
    assert "0 new, 5 known already" in called(run, "import", "made", str(file))
    assert {label.choice for label in labels_of(run)["ana"].values()} == {"tie"}
    out = tmp_path / "labels.jsonl"
    assert "5 labels" in called(run, "export", "made", str(out))
    assert "5 known already" in called(run, "import", "made", str(out))


def test_identical_answers_are_not_asked_about(run: RunFolder, tmp_path: Path) -> None:
    called(run, "export", "made", str(tmp_path / "all.json"), "--to", "argilla", "--count", "99")
    assert len(json.loads((tmp_path / "all.json").read_text("utf-8"))) == 8


def test_mistakes_are_told(run: RunFolder, tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("[]")
    strange = tmp_path / "strange.jsonl"
    strange.write_text(HumanLabel.of("none/0-1", "ana", "a").model_dump_json())
    for words, told in (
        (("export", "made", str(there)), "is there already"),
        (("export", "made", str(tmp_path / "new")), "has no labels yet"),
        (("export", "made", str(tmp_path / "new"), "--to", "csv"), "no form 'csv'"),
        (("import", "made", str(there)), "holds no label"),
        (("import", "made", str(tmp_path / "gone")), "cannot be read"),
        (("import", "made", str(strange)), "is it another run's"),
        (("delete", "made", str(there)), "no action 'delete'"),
        (("export", "made"), "export: which file"),
        (("export", "made", str(tmp_path / "new"), "--to", "pairs"), "has no labels yet"),
        (("judge", "made"), "has no labels yet"),
    ):
        with pytest.raises(InputError, match=told):
            called(run, *words)
    assert labels_of(run) == {}


def test_labels_of_another_run_are_left_out_and_counted(run: RunFolder, tmp_path: Path) -> None:
    labels = [HumanLabel.of("none/0-1", "ana", "a"), HumanLabel.of(comparison("Question 3?").id, "ana", "a")]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(f"{one.model_dump_json()}\n" for one in labels))
    told = called(run, "import", "made", str(file))
    assert "1 new" in told and "1 are of comparisons that are not in this run" in told


def test_what_the_viewer_wrote_is_exported(run: RunFolder, tmp_path: Path) -> None:
    add(run, [HumanLabel.of("1", "ana", "a"), HumanLabel.of("1", "ana", "b"), HumanLabel.of("1", "ben", "skip")])
    called(run, "export", "made", str(tmp_path / "labels.jsonl"), "--to", "jsonl")
    lines = (tmp_path / "labels.jsonl").read_text("utf-8").splitlines()
    assert [HumanLabel.model_validate_json(line).choice for line in lines] == ["b", "skip"]


def test_view_says_what_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        CliRunner().invoke(app, ["view", str(tmp_path / "gone"), "--no-browser"], catch_exceptions=False)


def test_view_says_which_port_is_taken(run: RunFolder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(InputError, match="another --port"):
            CliRunner().invoke(app, ["view", str(run.root), "--no-browser", "--port", port], catch_exceptions=False)


def test_view_names_the_extra_that_is_missing(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "cai.view.serve", raising=False)
    with pytest.raises(MissingExtra, match=r"uvicorn.*(\n|.)*view"):
        CliRunner().invoke(app, ["view", str(run.root), "--no-browser"], catch_exceptions=False)


@pytest.mark.slow
def test_view_serves_until_it_is_stopped(run: RunFolder) -> None:
    command = [sys.executable, "-m", "cai", "view", str(run.root), "--no-browser", "--port", "0", "--token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().split(" at ")[1].split()[0]
        assert address.startswith("http://127.0.0.1:") and "?token=" in address
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        for _ in range(600):
            try:
                page = opener.open(address, timeout=60).read().decode()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("no answer within a minute")
        assert "made" in page
        process.terminate()
        assert process.wait(10) in (0, -15, 143)
