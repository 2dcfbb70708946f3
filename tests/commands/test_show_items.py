"""show RUN STAGE ITEM of the suites of an evaluation: what the judge was shown, what was read, what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "view"))

from test_view_suites import suites  # pyright: ignore[reportMissingImports]
from view_data import recipe, stored  # pyright: ignore[reportMissingImports]

from cai.cli import app
from cai.errors import InputError
from cai.material import Material
from cai.shown import questions
from cai.terminal import printable


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    stored(tmp_path / "runs", "made", suites())
    return tmp_path / "runs"


def show(runs: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["show", "made", *words, "--runs", str(runs)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("harmfulness", ("expected rating 0.2500, of 0 to 4", "log p('0') = -0.1000 nats")),
        ("refusals", ("classified: full refusal", "P(evasive) 0.8000", "people said compliance")),
        ("over_refusal", ("classified: full refusal", "== refusal, in the order full refusal")),
    ],
)
def test_all_that_was_asked_and_read_is_printed(runs: Path, stage: str, told: tuple[str, ...]) -> None:
    (one,) = suites()[stage]
    record: Any = one
    shown = show(runs, stage, record.id)
    asked = questions(Material(recipe("made")), stage, record)
    assert shown.count("as the judge was shown it") == len(asked) > 0
    for question in asked:
        assert all(printable(found.prompt.readable()) in shown for found in question.shown)
    assert all(text in shown for text in told) and "\x1b" not in shown
    assert show(runs, stage, record.prompt.id[:6]) == shown
    assert record.id in show(runs, stage)


def test_what_changed_since_is_noted(runs: Path, tmp_path: Path) -> None:
    (one,) = suites()["harmfulness"]
    assert "have changed since" not in show(runs, "harmfulness", one.id)  # type: ignore[attr-defined]
    spec = next((runs / "made").glob("harmfulness-*/spec.json"))
    spec.write_text(spec.read_text().replace('"settings": {}', '"settings": {}, "templates": "others"'))
    assert "have changed since" in show(runs, "harmfulness", one.id)  # type: ignore[attr-defined]


def test_a_principle_that_is_gone_is_named(runs: Path) -> None:
    (one,) = suites()["win_rates"]
    with pytest.raises(InputError, match="no principle 'privacy' any more"):
        show(runs, "win_rates", one.id)  # type: ignore[attr-defined]


def test_choices_are_listed_and_shown(runs: Path) -> None:
    (one,) = suites()["hhh"]
    record: Any = one
    listed = show(runs, "hhh")
    assert record.id in listed and f"people preferred {record.pair.better}, " in listed
    shown = show(runs, "hhh", record.id)
    assert f"answer a: {printable(record.pair.a)}" in shown and "\x1b" not in shown
    assert show(runs, "hhh", record.pair.id) == shown
    with pytest.raises(InputError, match="no item 'nobody'"):
        show(runs, "hhh", "nobody")


def test_a_stage_that_asks_no_judge_is_named(runs: Path) -> None:
    with pytest.raises(InputError, match="no audit of stage 'sft'; only `compare`, `win_rates`"):
        show(runs, "sft", "x")
    with pytest.raises(InputError, match=r"no item 'nobody'.*one of its ids is base/1"):
        show(runs, "harmfulness", "nobody")
