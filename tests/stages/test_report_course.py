"""The course of a training in the report: the frontier by score, with the looks of a panel, and the rounds of DPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation_data import evaluation
from report_data import findings, measurement, prompt

from cai.records import KINDS, Kind, Measurement, PanelAnswer
from cai.stages.plots_evaluation import calibrations, evaluation_plots
from cai.stages.report import write_report
from cai.stages.report_course import Answered, _looked, _places, course, dpo_rounds

pytest.importorskip("matplotlib")

RECIPE = findings().recipe
SCORES: dict[str, dict[Kind, float]] = {
    "base": {"harmful": 0.0, "helpful": 1.0},
    "SL-CAI": {"harmful": 1.0, "helpful": 0.9},
    "RL-CAI": {"harmful": 2.0, "helpful": 0.5},
}


def measured(prompts: int = 6) -> list[Measurement]:
    return [
        measurement(model, place, SCORES[model][kind] + 0.1 * place, kind)
        for model in SCORES
        for kind in KINDS
        for place in range(prompts)
    ]


def look(step: int, place: int, kind: Kind, score: float) -> PanelAnswer:
    asked = prompt(f"{kind} question {place}", kind)
    given: dict[str, Any] = {"response": "x", "tokens": 1, "finished": True, "parts": {"preference_model": score}}
    return PanelAnswer(id=f"{step}/{asked.id}", step=step, prompt=asked, reward=9.0, **given)


PANEL = [look(step, place, kind, step / 10 + place) for step in (0, 25, 50) for kind in KINDS for place in range(2)]


def test_places_are_means_by_kind() -> None:
    answers: list[Answered] = [(one.model, one.prompt.id, one.prompt.kind, one.reward) for one in measured()]
    found = {one.name: one for one in _places(answers, list(SCORES), 50)}
    for name, scores in SCORES.items():
        assert found[name].harmless.value == pytest.approx(scores["harmful"] + 0.25)
        assert found[name].helpful.value == pytest.approx(scores["helpful"] + 0.25)
    assert _places(answers[:6], ["base"], 50) == [], "harmful prompts alone give no place"


def test_looks_are_scored_by_the_preference_model_and_not_by_the_whole_reward() -> None:
    assert [(name, score) for name, _, _, score in _looked(PANEL[:1], RECIPE)] == [("0", 0.0)]
    assert {score for *_, score in _looked(PANEL, RECIPE)} == {0.0, 1.0, 2.5, 3.5, 5.0, 6.0}
    other = RECIPE.model_copy(update={"rl": RECIPE.rl.model_copy(update={"rewards": ()})})
    assert _looked(PANEL, other) == []


def test_models_and_looks_stand_on_the_same_prompts() -> None:
    (alone,) = course(measured(), [], RECIPE)
    assert "n = 6 harmful and 6 helpful" in alone.caption and "looks" not in alone.caption
    (watched,) = course(measured(), PANEL, RECIPE)
    assert "n = 2 harmful and 2 helpful" in watched.caption
    assert "3 looks of its panel, on the same prompts" in watched.caption
    assert "step 0" in watched.svg and "step 50" in watched.svg and "RL-CAI" in watched.svg
    strange = [look(0, place, kind, 1.0) for kind in KINDS for place in (90, 91)]
    (apart,) = course(measured(), strange, RECIPE)
    assert "on other prompts than the models" in apart.caption and "n = 6 harmful" in apart.caption


def test_one_model_or_one_kind_of_prompt_has_no_course() -> None:
    assert course([one for one in measured() if one.model == "base"], PANEL, RECIPE) == []
    assert course([one for one in measured() if one.prompt.kind == "harmful"], PANEL, RECIPE) == []


ROUNDS = [
    {"round": 1, "pairs": 8, "not_parsed": 1, "left_out": {"AI": {"too long": 2, "tie": 1}}, "steps": 2, "loss": 0.69},
    {"round": 2, "pairs": 7, "not_parsed": 0, "left_out": {}, "steps": 3, "loss": 0.5},
]
ROWS = [{"step": float(step), "rewards/accuracies": right} for step, right in enumerate((0.5, 0.6, 0.2, 0.3, 1.0), 1)]


def test_rounds_of_dpo_are_told_one_by_one() -> None:
    found = dpo_rounds(ROUNDS, ROWS)
    assert found and found.rows == (
        ("1", "8", "1", "3", "2", "0.690", "55"),
        ("2", "7", "0", "0", "3", "0.500", "50"),
    )
    assert dpo_rounds(ROUNDS, []).rows[0][-1] == "-"  # type: ignore[union-attr]
    assert dpo_rounds(ROUNDS[:1], ROWS) is None and dpo_rounds([], []) is None


def test_page_and_summary_have_them(tmp_path: Path) -> None:
    curves = {**findings().curves, "dpo": ROWS}
    files = write_report(findings(measurements=measured(), panel=PANEL, dpo_rounds=ROUNDS, curves=curves), tmp_path)
    page, summary = files.html.read_text("utf-8"), files.markdown.read_text("utf-8")
    assert "<h3>Rounds of DPO</h3>" in page and "Harmlessness against helpfulness, by preference-model score" in page
    assert "## Rounds of DPO" in summary and "| 2 | 7 | 0 | 0 | 3 | 0.500 | 50 |" in summary
    plain = write_report(findings(), tmp_path)
    assert not any("Rounds of DPO" in file.read_text("utf-8") for file in (plain.html, plain.markdown))


def test_who_chose_among_comparisons_is_drawn_by_how_sure_it_was() -> None:
    found = evaluation()
    drawn = calibrations(found.choices)
    assert all(name in drawn.svg for name in found.choices) and "Up to 60 comparisons" in drawn.caption
    titles = [plot.title for plot in evaluation_plots(found)]
    assert titles.count(drawn.title) == 1
    assert drawn.title not in [plot.title for plot in evaluation_plots(evaluation(choices={}))]
