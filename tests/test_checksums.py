"""What files hold: told, and told apart from what they held."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cai import checksums
from cai.checksums import changes, contents, files_below, lasting, seal, sealed, told


def test_size_digest_and_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_bytes(b"{}\n{}\n")
    (tmp_path / "weights").write_bytes(b"\n" * 3_000_000)
    lines, weights = told(tmp_path, [tmp_path / "items.jsonl", tmp_path / "weights"]).values()
    assert lines == {"bytes": 6, "sha256": hashlib.sha256(b"{}\n{}\n").hexdigest(), "lines": 2}
    assert weights == {"bytes": 3_000_000, "sha256": hashlib.sha256(b"\n" * 3_000_000).hexdigest()}


def test_hidden_files_are_none_of_a_step(tmp_path: Path) -> None:
    for name in ("a", ".tmp", "model/b", ".cache/c", "model/.d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == [tmp_path / "a", tmp_path / "model" / "b"]


def test_done_tells_of_what_lasts(tmp_path: Path) -> None:
    rounds = ("rounds/1/DONE", "rounds/1/model/w", "rounds/1/items.jsonl")
    for name in ("a", "DONE", *rounds, "checkpoints/4/w", "model/w"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    kept = [str(path.relative_to(tmp_path)) for path in lasting(tmp_path)]
    assert kept == ["a", "model/w", "rounds/1/DONE", "rounds/1/items.jsonl"]


def test_the_checksum_of_done_is_that_of_what_its_json_says() -> None:
    done = {"items": 3, "left_out": {2: 1, 10: 1.5}, "loss": float("nan")}
    written = json.loads(json.dumps(sealed(done)))
    assert written["checksum"] == seal(written) == seal(dict(reversed(list(written.items()))))
    assert seal({**written, "items": 4}) != written["checksum"]


def test_a_file_is_read_once_and_again_where_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "weights", []
    path.write_bytes(b"one")
    make = hashlib.sha256
    monkeypatch.setattr(checksums.hashlib, "sha256", lambda: (read.append(1), make())[1])
    assert contents(path) == contents(path)
    assert len(read) == 1
    path.write_bytes(b"other")
    assert contents(path)["sha256"] == make(b"other").hexdigest()


def test_each_kind_of_change_is_told_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("same", "flipped", "longer", "gone"):
        (tmp_path / "model" / name).write_bytes(b"1234")
    before = told(tmp_path, files_below(tmp_path))
    (tmp_path / "model" / "flipped").write_bytes(b"1235")
    (tmp_path / "model" / "longer").write_bytes(b"12345")
    (tmp_path / "model" / "gone").unlink()
    (tmp_path / "model" / "new").touch()
    found, expected = (hashlib.sha256(data).hexdigest()[:16] for data in (b"1235", b"1234"))
    model = tmp_path / "model"
    assert sorted(changes(tmp_path, before, "model")) == [
        f"{model}/flipped: found bytes with SHA-256 {found}, expected {expected}",
        f"{model}/gone: is missing; expected 4 bytes",
        f"{model}/longer: found 5 bytes, expected 4",
        f"{model}/new: was not there when the step was done",
    ]
    assert list(changes(tmp_path, before, "mod")) == []
