"""docs/judging.md says what the code says: its recipes load, and it names every mode, option and figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import typer

from cai.cli import app
from cai.feedback_config import POINTWISE, AnswersConfig, CompareConfig, JudgeConfig, SeatedJudge
from cai.judge_figures import figures
from cai.records import State
from cai.yamlfile import parse_yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "judging.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.M | re.S)
LOADED = [CompareConfig.model_validate(parse_yaml(text, "judging.md").data["compare"]) for text in SNIPPETS]


def kinds(union: object) -> dict[str, type]:
    """The members of a discriminated union by what tells them apart."""
    members = get_args(get_args(union)[0])
    return {
        next(iter(one.model_fields[key].default for key in ("mode", "type") if key in one.model_fields)): one
        for one in members
    }


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[str]:
    """What the first cells of a section's tables name."""
    cells = re.findall(r"^\| (`.*?) \|", section(title), flags=re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_there_is_a_recipe_for_every_mode_and_every_kind_of_pair() -> None:
    assert {config.judge.mode for config in LOADED} == set(kinds(JudgeConfig)) == set(rows("Five modes"))
    assert {config.answers.type for config in LOADED} == set(kinds(AnswersConfig))
    assert rows("Pairs") == ["answers.type", *kinds(AnswersConfig)]


@pytest.mark.parametrize("mode", kinds(JudgeConfig))
def test_the_table_of_modes_says_what_each_needs(mode: str) -> None:
    config = kinds(JudgeConfig)[mode]()
    (row,) = re.findall(rf"^\| `{mode}` \|(.*)\|$", section("Five modes"), flags=re.M)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1] == ("yes" if isinstance(config, SeatedJudge) else "no")
    needs = {"comparison": "`comparison`", "instruction": "`instruction`", "contrast": "`instruction`, `opposite`"}
    assert cells[2] == needs[config.use]
    assert f"### `{mode}`: " in PAGE


def test_the_modes_that_rank_are_named() -> None:
    (line,) = [line for line in PAGE.splitlines() if "best-against-worst" in line]
    assert set(re.findall(r"`(\w+)`", line)) == POINTWISE


def test_every_state_is_told() -> None:
    assert rows("States") == list(get_args(State))
    assert re.findall(r"^\| `(\w+)` \|.*\| yes \|$", section("States"), flags=re.M) == ["parsed"]


def test_every_option_and_every_key_is_told() -> None:
    command = getattr(typer.main.get_command(app), "commands", {})["judge"]
    options = {option for one in command.params for option in one.opts if option.startswith("--")}
    told = rows("Measuring a judge")
    assert {name for name in told if name.startswith("--")} == options
    known = {"judge", "model", "constitution", "settings", "left_out", *figures([]).as_json()}
    assert {name for name in told if not name.startswith("--")} - {"longer", "shorter", "always_a"} == known
