"""Where a name is looked for: as a path, beside, among what ships; and what is said where it is nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.errors import InputError
from cai.resources import find, shipped


def complaint(folder: str, name: str, suffix: str = ".yaml") -> str:
    with pytest.raises(InputError) as caught:
        find(folder, name, suffix)
    return str(caught.value)


@pytest.mark.parametrize("folder", ["constitutions", "prompts", "recipes"])
def test_what_ships_is_there(folder: str) -> None:
    assert any(shipped(folder).iterdir())


@pytest.mark.parametrize(
    ("folder", "name", "suffix", "place"),
    [
        ("recipes", "smoke", ".yaml", "smoke.yaml"),
        ("recipes", "smoke.yaml", ".yaml", "smoke.yaml"),
        ("prompts", "few_shot/comparison", ".yaml", "few_shot/comparison.yaml"),
        ("prompts", "questions/helpful", ".txt", "questions/helpful.txt"),
    ],
)
def test_a_shipped_file_is_found_by_its_name(folder: str, name: str, suffix: str, place: str) -> None:
    assert find(folder, name, suffix) == shipped(folder) / place


def test_a_path_is_taken_as_given_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "harmless"
    mine.write_text("name: mine")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "harmless").write_text("name: other")
    assert find("constitutions", str(mine), ".yaml") == mine
    assert find("constitutions", "harmless", ".yaml", tmp_path / "beside") == Path("harmless")


def test_a_file_beside_comes_before_a_shipped_one(tmp_path: Path) -> None:
    beside = tmp_path / "smoke.yaml"
    beside.write_text("name: mine")
    assert find("recipes", "smoke.yaml", ".yaml", tmp_path) == beside
    assert find("recipes", "smoke", ".yaml", tmp_path) == shipped("recipes") / "smoke.yaml"


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").mkdir()
    assert find("recipes", "smoke", ".yaml") == shipped("recipes") / "smoke.yaml"


@pytest.mark.parametrize(
    ("folder", "name", "suffix", "near"),
    [
        ("recipes", "quikstart", ".yaml", "quickstart"),
        ("constitutions", "harmles", ".yaml", "harmless"),
        ("prompts", "red_team", ".txt", "questions/red_team"),
    ],
)
def test_an_unknown_name_is_met_by_the_nearest(folder: str, name: str, suffix: str, near: str) -> None:
    told = complaint(folder, name, suffix)
    assert f"no file {name!r}" in told
    assert f"did you mean {near!r}?" in told


def test_a_name_like_nothing_is_met_by_all_that_ship() -> None:
    told = complaint("recipes", "zzz")
    assert "did you mean" not in told
    for path in shipped("recipes").glob("*.yaml"):
        assert path.stem in told


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "", "."])
def test_a_name_that_no_file_can_have_is_only_not_found(name: str) -> None:
    assert "no file" in complaint("recipes", name)
