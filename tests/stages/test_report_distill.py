"""What the report says of a safety preamble."""

from __future__ import annotations

import math

from report_data import distilled

from cai.config import SelectionConfig
from cai.stages.report_distill import distill_examples, distill_facts
from cai.stages.report_flags import share

RULE = SelectionConfig(drop=("truncated",))


def test_a_run_without_the_stage_says_nothing() -> None:
    assert distill_facts([], RULE, 100) == []
    assert distill_examples([]) == []


def test_the_facts_are_what_one_counts_by_hand() -> None:
    made = [
        distilled(0, 0.0, 1.0),
        distilled(1, 0.0, 2.0, "truncated"),
        distilled(2, 1.0, 0.0, "truncated"),
        distilled(3, 1.0, 1.0),
        distilled(4, 0.0, 1.0, "meta-talk"),
    ]
    asked, rose, gain, left = distill_facts(made, RULE, 200)
    assert asked.value == "5"
    assert rose.value == share(3, 5)
    assert gain.value.startswith("+0.60 (")
    assert left.value == "2", "a flag that is not dropped is learned all the same"
    assert distill_facts(made[::-1], RULE, 200) == [asked, rose, gain, left]


def test_a_score_that_is_no_number_is_left_out_of_the_mean() -> None:
    facts = {fact.name: fact.value for fact in distill_facts([distilled(0, math.nan, 1.0)], RULE, 100)}
    assert (facts["Mean gain"], facts["Score rose"]) == ("not measured", share(0, 1))


def test_examples_reach_from_the_largest_loss_to_the_largest_gain() -> None:
    made = [distilled(place, 0.0, float(place)) for place in (3, -2, 0, 1, 5, -1)]
    assert [one.gain for one in distill_examples(made)] == [-2.0, 0.0, 5.0]
