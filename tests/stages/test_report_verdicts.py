"""What the report shows of a comparison, whatever the judge's mode and however the answers became a pair."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path
from typing import Any

import pytest
from report_data import EMPTY, comparison, completion, findings, judged

from cai.config import Recipe
from cai.constitution import Constitution
from cai.feedback_config import CalibrationConfig, CompareConfig
from cai.judge_figures import figures
from cai.judged import Judged
from cai.records import Comparison, Reading, Verdict
from cai.stages.plots import seats
from cai.stages.report import write_report
from cai.stages.report_caveats import caveats, judge_facts
from cai.stages.report_verdicts import PAIRED, readings, worded
from cai.verdicts import combined, of_labels

RULES = Constitution.model_validate(
    {
        "name": "rules",
        "principles": [
            {"id": "kind", "comparison": "Which is kinder?", "instruction": "Be kind.", "opposite": "Be cruel."},
            {"id": "calm", "comparison": "Which is calmer?", "instruction": "Be calm.", "opposite": "Panic."},
        ],
    }
)
CONTRAST = {"a under": -10.0, "a against": -12.0, "b under": -9.0, "b against": -9.5}
HALVES = {f"{name} {rating}": math.log(0.5) for name, best in (("a", 10), ("b", 4)) for rating in (best - 1, best)}


def shown(verdict: Verdict, folder: Path, compare: dict[str, Any] | None = None, **changes: Any) -> str:
    """The comparisons of a report with this one alone, as text."""
    pytest.importorskip("matplotlib")
    one = comparison("Who?", 0.0).model_copy(update={"verdict": verdict, **changes})
    recipe = Recipe.model_validate({**findings().recipe.model_dump(), "compare": compare or {}})
    given = findings(**EMPTY | {"comparisons": [one], "recipe": recipe, "constitution": RULES})
    page = write_report(given, folder).html.read_text("utf-8")
    section = page.split('<section id="comparisons">')[1].split("</section>")[0]
    text = html.unescape(re.sub(r"<[^>]*>", " ", section))
    return re.sub(r"\s+", " ", text)


def thought(first: Any, text: str, log_odds: float, principle: str = "kind", finish: Any = "stop") -> Reading:
    reading = Reading(
        first=first,
        principle=principle,
        logprobs={" (A)": 0.0, " (B)": -log_odds},
        reply=completion(text, finish=finish),
    )
    return of_labels(reading)


# One table for all modes.


def test_labels_are_a_column_each_even_where_one_is_missing() -> None:
    table = readings(judged(Reading(first="a", logprobs={" (B)": -2.0})))
    assert table.headings == ("log p of (A)", "log p of (B)")
    assert [row.cells for row in table.rows] == [(None, -2.0)]
    assert (table.seated, table.several, table.p_raw) == (True, False, None)


def test_what_was_scored_of_each_answer_is_a_column() -> None:
    table = readings(Verdict(state="parsed", p_a=0.8, p_raw=0.8, readings=(Reading(first=None, logprobs=CONTRAST),)))
    assert table.headings == ("log p of a under", "log p of a against", "log p of b under", "log p of b against")
    assert [row.cells for row in table.rows] == [(-10.0, -12.0, -9.0, -9.5)]
    assert not table.seated


def test_ratings_are_shown_as_the_rating_that_is_expected() -> None:
    table = readings(Verdict(state="parsed", p_a=1.0, p_raw=1.0, readings=(Reading(first=None, logprobs=HALVES),)))
    assert table.headings == ("expected rating of a", "expected rating of b")
    assert [row.cells for row in table.rows] == [(pytest.approx(9.5), pytest.approx(3.5))]


def test_a_verdict_that_was_written_has_no_number_to_show() -> None:
    table = readings(Verdict(state="parsed", p_a=1.0, readings=(Reading(first="a", reply=completion("(A)"), p_a=1.0),)))
    assert (table.headings, [row.cells for row in table.rows]) == ((), [()])


@pytest.mark.parametrize(
    ("p_raw", "p_a", "told"), [(0.9, 0.6, 0.9), (0.9, 0.9, None), (0.9, 0.9004, None), (None, 1.0, None)]
)
def test_a_probability_is_told_twice_where_calibration_changed_what_shows(
    p_raw: float | None, p_a: float, told: float | None
) -> None:
    assert readings(Verdict(state="parsed", p_a=p_a, p_raw=p_raw)).p_raw == told


@pytest.mark.parametrize(
    ("compare", "fields"),
    [
        ({}, ("comparison",)),
        ({"judge": {"mode": "cot"}}, ("comparison",)),
        ({"judge": {"mode": "score"}}, ("instruction",)),
        ({"judge": {"mode": "contrast"}}, ("instruction", "opposite")),
        ({"judge": {"mode": "contrast", "against": "nothing"}}, ("instruction",)),
        ({"answers": {"type": "contrastive"}}, ("instruction", "opposite", "comparison")),
        ({"answers": {"type": "contrastive", "label": "construction"}}, ("instruction", "opposite")),
    ],
)
def test_a_principle_is_shown_in_the_words_that_were_used(compare: dict[str, Any], fields: tuple[str, ...]) -> None:
    assert worded(CompareConfig.model_validate(compare)) == fields


# The page.


def test_thoughts_and_what_clamping_changed_are_shown(tmp_path: Path) -> None:
    thoughts = [thought("a", "FIRST THOUGHT", 3.0), thought("b", "SECOND THOUGHT", -3.0, finish="length")]
    verdict = combined(thoughts, CalibrationConfig(), (0.4, 0.6))
    text = shown(verdict, tmp_path, {"judge": {"mode": "cot"}})
    assert "P(a is better) = 0.600; 0.953 before calibration and clamping" in text
    assert "What the judge wrote, answer a first FIRST THOUGHT" in text
    assert "What the judge wrote, answer b first cut off SECOND THOUGHT" in text
    assert "Shown first log p of (A) log p of (B) P(a is better) answer a 0.0000 -3.0000 0.953" in text
    assert "The pair: two samples of one model (0-1)." in text


def test_several_principles_are_named_each_with_its_reading(tmp_path: Path) -> None:
    asked = [
        Reading(first=first, principle=name, logprobs={" (A)": -1.0, " (B)": -1.0})
        for name in ("kind", "calm")
        for first in ("a", "b")
    ]
    text = shown(judged(*asked), tmp_path, {"judge": {"principles": "all"}}, principles=("kind", "calm"))
    assert "Principles kind calm Verdict P(a is better) = 0.500 " in text
    assert "answer a calm -1.0000 -1.0000 0.500" in text
    assert "Which is kinder?" not in text, "the constitution has the words of all of them"


def test_answers_read_by_themselves_have_no_seat(tmp_path: Path) -> None:
    reading = Reading(first=None, principle="kind", logprobs=CONTRAST, p_a=0.818)
    text = shown(combined([reading], CalibrationConfig()), tmp_path, {"judge": {"mode": "contrast"}})
    assert "Principle kind Be kind. Be cruel. Verdict" in text
    assert "Principle log p of a under" in text and "kind -10.0000 -12.0000 -9.0000 -9.5000 0.818" in text
    assert "Shown first" not in text
    assert "of each answer by itself under the principle\u2019s instruction and against it." in text


def test_a_refusal_to_compare_is_shown_with_what_was_said(tmp_path: Path) -> None:
    refused = Reading(first="a", reply=completion("I will not compare."), state="refused", reason="the judge declines")
    text = shown(combined([refused], CalibrationConfig()), tmp_path, {"judge": {"mode": "verdict"}})
    assert "refused: 1 of 1 questions were not read: the judge declines" in text
    assert "answer a refused What the judge wrote, answer a first I will not compare." in text


def test_a_label_by_construction_says_that_no_judge_was_asked(tmp_path: Path) -> None:
    compare = {"answers": {"type": "contrastive", "label": "construction"}}
    one = comparison("Who?", 0.0)
    verdict = Verdict(state="parsed", p_a=1.0)
    text = shown(verdict, tmp_path, compare, source="contrastive", id=f"{one.prompt.id}/under-against")
    assert "P(a is better) = 1.000: known from how the pair was made, no judge was asked" in text
    assert "The pair: an answer under the principle and one under its opposite (under-against)." in text
    recipe = Recipe.model_validate({"name": "t", "models": {"assistant": "tiny-random"}, "compare": compare})
    told = [caveat.claim for caveat in caveats(recipe, "tiny-random", 1000)]
    assert "No judge gave the labels." in told
    assert not [claim for claim in told if claim.startswith("The judge, ")]


def test_every_source_of_pairs_is_put_into_words() -> None:
    sources = re.findall(r'"(\w+)"', (Comparison.__doc__ or "").split("came to be a pair:")[1].split(".")[0])
    assert set(PAIRED) == set(sources) != set()


# Figures.


def test_a_judge_without_seats_is_not_measured_by_them() -> None:
    reading = Reading(first=None, principle="kind", logprobs=CONTRAST, p_a=0.8)
    one = comparison("x", 0.0).model_copy(update={"verdict": combined([reading], CalibrationConfig())})
    facts = {fact.name: fact.value for fact in judge_facts([one])}
    assert facts == {
        "Comparisons": "1 parsed, 0 unparsed, 0 refused, 0 error",
        "Position bias": "none",
        "Decidedness": "0.60",
    }
    assert seats([one]).svg == "" and "none had a seat" in seats([one]).caption


def test_a_judge_that_was_measured_on_labelled_pairs_is_said_to_be_as_good_as_it_was() -> None:
    pairs = [
        Judged(str(n), combined([thought("a", "", 3.0), thought("b", "", -3.0)], CalibrationConfig()), better, (9, 5))
        for n, better in enumerate(("a", "a", "a", "b"))
    ]
    told = {fact.name: fact for fact in judge_facts([], figures(pairs).as_json())}["Right on labelled pairs"]
    assert told.value == "75 % (30 to 95) of 4 pairs"
    assert told.meaning == "asked first; no better than chance. “Pick the longer” has 75 %"
    nothing = {fact.name: fact for fact in judge_facts([], figures([]).as_json())}["Right on labelled pairs"]
    assert nothing.value == "not measured"
    assert "Right on labelled pairs" not in {fact.name for fact in judge_facts([])}


def test_thoughts_in_one_seating_count_as_one() -> None:
    pytest.importorskip("matplotlib")
    verdict = combined([thought("a", "x", 3.0), thought("a", "y", 1.0), thought("b", "z", 1.0)], CalibrationConfig())
    one = comparison("x", 0.0).model_copy(update={"verdict": verdict})
    assert "n = 2 seatings" in seats([one]).caption
