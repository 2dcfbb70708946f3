"""Reward against length, over the steps of RL and over answers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from report_data import findings, measurement

from cai.stages.plots_length import reward_by_length, score_by_length
from cai.stages.report import write_report

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("key", ["completions/mean_length", "answer_length"])
def test_each_step_is_a_point_whichever_trainer_logged_it(key: str) -> None:
    rows = [{"step": step, key: 10.0 + step, "reward": 2.0 * step} for step in range(12)]
    (plot,) = reward_by_length([*rows, {"step": 12, key: 99.0}, {"step": 13, key: math.inf, "reward": 1.0}])
    assert "n = 12 logged steps" in plot.caption and "Pearson's r = 1.00" in plot.caption
    assert "Mean length (tokens)" in plot.svg and len(re.findall("<use ", plot.svg)) >= 12


@pytest.mark.parametrize("rows", [[], [{"step": 1, "reward": 1.0}], [{"step": 1, "reward": 1.0, "answer_length": 3.0}]])
def test_without_two_steps_there_is_no_plot(rows: list[dict[str, float]]) -> None:
    assert reward_by_length(rows) == []


def test_few_points_and_equal_ones_have_no_correlation() -> None:
    assert "too few" in reward_by_length([{"reward": 1.0, "answer_length": float(x)} for x in range(3)])[0].caption
    assert "all alike" in reward_by_length([{"reward": 1.0, "answer_length": 5.0}] * 20)[0].caption


def test_answers_of_the_first_and_the_last_model_are_drawn_and_not_too_many() -> None:
    told = [
        measurement(model, place, float(place % 7), words=place)
        for model in ("base", "SL-CAI", "RL-CAI")
        for place in range(400)
    ]
    (plot,) = score_by_length(told)
    assert "base: n = 400 answers" in plot.caption and "RL-CAI: n = 400" in plot.caption and "SL-CAI" not in plot.svg
    assert 600 <= len(re.findall("<use ", plot.svg)) < 640
    assert score_by_length(told[:400]) == [], "one model"
    assert score_by_length([one.model_copy(update={"reward": math.nan}) for one in told]) == []


def test_the_report_has_both(tmp_path: Path) -> None:
    rl = [{"step": step, "reward": 0.1 * step, "completions/mean_length": 20.0 + step} for step in range(5)]
    page = write_report(findings(curves={"rl": rl}), tmp_path).html.read_text("utf-8")
    assert "<h4>RL: reward against answer length</h4>" in page
    assert "<h4>Preference-model score against length</h4>" in page
