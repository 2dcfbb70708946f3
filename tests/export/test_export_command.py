"""`cai export RUN`: what it prints, and how it ends."""

from __future__ import annotations

import io
from pathlib import Path

import huggingface_hub
import pytest
from export_data import recipe, records, stored
from rich.console import Console

from cai import cli
from cai.commands.exports import export_run
from cai.errors import InputError


def printed(runs: Path, to: str, private: bool = True) -> str:
    out = io.StringIO()
    export_run(Console(file=out, width=160), "made", to, private, runs)
    return out.getvalue()


def test_it_prints_what_it_wrote_and_what_to_know(tmp_path: Path) -> None:
    stored(tmp_path / "runs", records(), ("compare",), recipe(prompts={"harmful": "/home/me/p.txt"}))
    said = printed(tmp_path / "runs", str(tmp_path / "out"))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in said.splitlines() if line.startswith("│")]
    assert rows == [
        ["sl", "train", "5"],
        ["chains", "train", "6"],
        ["prompts", "train", "5"],
        ["prompts", "held_out", "1"],
    ]
    assert "note: preferences is missing: compare not done" in said and "look before you share: /home/me/p.txt" in said
    assert f"written to {tmp_path / 'out'}" in said


def test_the_command_line_hands_over_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "runs", records())
    options = ["--to", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["cai", "export", "made", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0 and (tmp_path / "out" / "export.json").is_file()
    (tmp_path / "out" / "export.json").unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "is no export of a run" in capsys.readouterr().err


def test_a_hub_name_goes_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "runs", records())

    class Refusing:
        def create_repo(self, name: str, **_: object) -> None:
            raise huggingface_hub.errors.LocalTokenNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "HfApi", Refusing)
    with pytest.raises(InputError, match="hub:me/data: no token"):
        printed(tmp_path / "runs", "hub:me/data")
