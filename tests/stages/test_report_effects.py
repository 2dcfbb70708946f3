"""The table and the sentences: what the numbers show, and no more."""

from __future__ import annotations

import math

import pytest
from report_data import findings, measurement

from cai.records import Measurement
from cai.stages.report import HEADINGS, summary_sentences, table


def test_the_table_is_what_one_computes_by_hand() -> None:
    measured = [
        measurement("SL-CAI", 0, 1.0, kl_base=3.0, refusal=True, words=10),
        measurement("SL-CAI", 1, 2.0, kl_base=5.0, evasive=True, refusal=True, words=20),
        measurement("SL-CAI", 2, 3.0, kl_base=1.0, words=30),
        measurement("base", 0, -1.0, words=7),
        measurement("base", 0, 0.5, kind="helpful"),
        measurement("RL-CAI", 0, 4.0, kl_base=9.0, kl_sl=2.5),
    ]
    rows = table(measured, resamples=200)
    assert [(row.model, row.kind, row.n) for row in rows] == [
        ("base", "harmful", 1),
        ("SL-CAI", "harmful", 3),
        ("RL-CAI", "harmful", 1),
        ("base", "helpful", 1),
    ]
    sl = rows[1]
    assert sl.score and sl.kl_base and sl.words
    assert (sl.score.value, sl.kl_base.value, sl.words.value) == (2.0, 3.0, 20.0)
    assert 1.0 <= sl.score.low < 2.0 < sl.score.high <= 3.0
    # Wilson, 2 of 3: centre (2/3 + 1.92073/3) / (1 + 3.84146/3) = 0.572, half-width 0.365.
    assert sl.refusal.value == pytest.approx(2 / 3)
    assert (sl.refusal.low, sl.refusal.high) == (pytest.approx(0.2077, abs=1e-3), pytest.approx(0.9385, abs=1e-3))
    assert sl.evasive.value == pytest.approx(1 / 3)
    assert (rows[0].kl_base, rows[0].kl_sl, sl.kl_sl) == (None, None, None)
    assert rows[2].kl_sl and rows[2].kl_sl.value == 2.5
    assert all(len(row.cells()) == len(HEADINGS) for row in rows)


def test_the_table_leaves_out_values_that_are_not_finite() -> None:
    (row,) = table([measurement("base", 0, math.nan), measurement("base", 1, 2.0)], resamples=100)
    assert row.n == 2 and row.score and (row.score.value, row.score.n) == (2.0, 1)
    (row,) = table([measurement("base", 0, math.inf)], resamples=100)
    assert row.score is None and row.cells()[3] == "-"


@pytest.mark.parametrize(
    ("gains", "said", "not_said"),
    [
        (
            [0.9, 1.1] * 10,
            "score is 1.00 higher (95 % interval +0.",
            "shown in the preference",
        ),
        ([-0.9, -1.1] * 10, "score is 1.00 lower (95 % interval -1.", "higher"),
        ([-1.0, 1.0] * 10, "shown in the preference-model score (95 % interval -", "score is"),
        ([0.0] * 20, "shown in the preference-model score (95 % interval 0 to 0)", "score is"),
        ([1.0] * 5 + [0.0] * 15, "shown in the preference-model score (95 % interval +", "score is"),
        ([1.0] * 9, "9 harmful prompts: too few to say anything; 10 are needed.", "score"),
        ([math.nan] * 20 + [1.0] * 3, "3 harmful prompts: too few", "score"),
    ],
)
def test_a_sentence_claims_what_the_interval_allows(gains: list[float], said: str, not_said: str) -> None:
    before = [measurement("base", place, float(place)) for place in range(len(gains))]
    after = [measurement("SL-CAI", place, place + gain) for place, gain in enumerate(gains)]
    first = summary_sentences(findings(measurements=[*after, *before]))[0]
    assert first.startswith("SL-CAI against base, ")
    assert said in first
    assert not_said not in first


def test_sentences_pair_by_prompt_and_count_their_intervals() -> None:
    measured = [measurement("base", place, 100.0 * place) for place in range(30)]
    measured += [measurement("SL-CAI", place, 100.0 * place + 1 + place % 2) for place in range(5, 20)]
    first, rule = summary_sentences(findings(measurements=measured))
    assert "15 harmful prompts: the preference-model score is 1.53 higher" in first
    assert "Of the 4 intervals above" in rule and "not another seed" in rule


@pytest.mark.parametrize(
    "measured", [[], [measurement("base", 0, 1.0)], [measurement("base", 0, 1.0), measurement("SL-CAI", 1, 1.0)]]
)
def test_no_sentence_without_a_pair(measured: list[Measurement]) -> None:
    assert summary_sentences(findings(measurements=measured)) == [
        "No two models answered the same held-out prompts, so this run says nothing about what changed."
    ]


def test_a_bound_that_excludes_zero_is_not_printed_as_zero() -> None:
    before = [measurement("base", place, 0.0) for place in range(20)]
    after = [measurement("SL-CAI", place, 0.001 + 0.0001 * (place % 3)) for place in range(20)]
    first = summary_sentences(findings(measurements=before + after))[0]
    assert "score is 0.001 higher (95 % interval +0.001 to +0.001)" in first
