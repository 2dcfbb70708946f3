"""What the report says of preference models on pairs that they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cai.preference_figures import evaluate_preference
from cai.preferences import Group, Preference
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.stages import plots
from cai.stages.report_preference import curves, held_out_rows, left_out
from cai.stats import rate

TEMPLATES = Templates("chat")


class Longer:
    """Scores an answer by its words."""

    def score(self, pairs: Sequence[tuple[Rendered, str]]) -> list[float]:
        return [float(len(answer.split())) for _, answer in pairs]


def group(number: int, better: str, worse: str, source: str) -> Group:
    prompt = TEMPLATES.render("respond", messages=(Message(role="user", content=f"Question {number}?"),))
    return Group(prompt, (better, worse), (Preference(0, 1, 1.0),), source)


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    groups = [group(0, "a b", "a", "mine"), group(1, "a", "a b c", "mine"), group(2, "a b c", "a b", "yours")]
    held_out = evaluate_preference(Longer(), groups)
    return {
        "held_out": {key: held_out[key] for key in ("sources", "all")},
        "left_out": {"mine": {"too long": 4}},
        "truncated": {"yours": 2},
    }


def test_each_source_of_each_model_has_a_row_with_what_one_counts_by_hand(summary: dict[str, Any]) -> None:
    mine, yours, second = held_out_rows({"preference_model": summary, "helpfulness_model": {"held_out": {
        "sources": {"yours": summary["held_out"]["sources"]["yours"]}}}})  # fmt: skip
    assert (mine.model, mine.source, mine.pairs) == ("Preference model", "mine", 2)
    assert (yours.source, yours.pairs, second.model) == ("yours", 1, "Helpfulness model")
    assert mine.accuracy == mine.longer_is_better == rate(1, 2) and mine.longer_wins == rate(2, 2)
    assert mine.mean == pytest.approx(7 / 4) and mine.correlation == pytest.approx(1.0)
    assert yours.calibration_error is None, "one prompt has no spread"


def test_a_model_without_held_out_pairs_has_no_row_and_no_curve() -> None:
    assert held_out_rows({"preference_model": {"held_out": {}}}) == []
    assert curves({"preference_model": {"held_out": {}}, "helpfulness_model": {}}) == {}


def test_what_was_left_out_and_cut_is_told_by_source(summary: dict[str, Any]) -> None:
    told = left_out({"helpfulness_model": summary})
    assert [(fact.name, fact.value, fact.meaning) for fact in told] == [
        ("Helpfulness model, mine", "4", "pairs left out: too long"),
        ("Helpfulness model, yours", "2", "pairs whose prompt was cut from its start"),
    ]


def test_the_calibration_plot_draws_a_mark_a_bin_and_says_how_many_pairs(summary: dict[str, Any]) -> None:
    ((model, bins),) = curves({"preference_model": summary}).items()
    drawn = plots.calibration(model, bins)
    assert drawn.title == "Preference model: calibration"
    assert "n = 3 held-out pairs" in drawn.caption
    assert drawn.svg.count("<use ") >= len(bins)
