"""Verdicts against plain twins, at the extremes, unread, calibrated, and audited by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.feedback_config import CalibrationConfig
from cai.records import Comparison, Completion, Message, Prompt, Reading, Seating, State, Verdict
from cai.verdicts import (
    LABELS,
    RATINGS,
    JudgeAudit,
    audit,
    by_principle,
    combined,
    expected_rating,
    logistic,
    of_contrast,
    of_labels,
    of_ratings,
    probability_of_first,
    seated,
    settled,
    softened,
)

LOGPROBS = st.floats(-50, 0)
CHANCES = st.floats(0, 1)
PLAIN = CalibrationConfig()
RATED = st.dictionaries(st.integers(1, 10), LOGPROBS, min_size=1, max_size=10)


def scored(first: Seating | None, lp_first: float, lp_second: float, principle: str = "") -> Reading:
    """What a judge gave each label, as it is before it is read."""
    return Reading(first=first, principle=principle, logprobs={LABELS[0]: lp_first, LABELS[1]: lp_second})


def seen(first: Seating, p_first: float, principle: str = "") -> Reading:
    """A reading in which the first-shown answer is better with `p_first`."""
    return of_labels(scored(first, math.log(p_first), math.log(1 - p_first), principle))


def told(p_a: float | None, state: State = "parsed", reason: str = "", principle: str = "") -> Reading:
    """A reading of answers that were shown one by one."""
    return Reading(first=None, principle=principle, p_a=p_a, state=state, reason=reason)


def read(readings: list[Reading]) -> Verdict:
    return combined(readings, PLAIN)


def comparison(verdict: Verdict) -> Comparison:
    prompt = Prompt.of((Message(role="user", content="hi"),), "harmful", "test")
    answer = Completion(text="x", raw="x", finish="stop", prompt_tokens=1, tokens=1, seed=0)
    return Comparison(id=f"{prompt.id}/0-1", prompt=prompt, principles=("p",), a=answer, b=answer, verdict=verdict)


# Labels.


@given(LOGPROBS, LOGPROBS)
def test_the_probability_is_a_softmax_over_two_labels(first: float, second: float) -> None:
    twin = math.exp(first) / (math.exp(first) + math.exp(second))
    assert probability_of_first(scored("a", first, second)) == pytest.approx(twin)
    assert of_labels(scored("a", first, second)).p_a == pytest.approx(twin)
    assert of_labels(scored("b", first, second)).p_a == pytest.approx(1 - twin)


@given(LOGPROBS, LOGPROBS, st.floats(-700, 0))
def test_what_both_labels_lose_to_other_words_cancels(first: float, second: float, lost: float) -> None:
    plain, shifted = (probability_of_first(scored("a", first + by, second + by)) for by in (0, lost))
    assert shifted == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0.0, 0.0, 0.5),
        (-1e308, -1e308, 0.5),
        (-1000.0, -1000.0, 0.5),
        (0.0, -1e4, 1.0),
        (-1e4, 0.0, 0.0),
        (0.0, -1.7e308, 1.0),
        (1.7e308, -1.7e308, 1.0),
        (-1.7e308, 1.7e308, 0.0),
        (-745.0, -745.0 + math.log(3), 0.25),
    ],
)
def test_extreme_values_neither_overflow_nor_divide_by_zero(first: float, second: float, expected: float) -> None:
    assert probability_of_first(scored("a", first, second)) == pytest.approx(expected)


UNREAD = [
    {},
    {" (A)": -1.0},
    {" (B)": -1.0},
    {" (A)": -math.inf, " (B)": -1.0},
    {" (A)": -1.0, " (B)": math.nan},
    {" (A)": math.inf, " (B)": -1.0},
    {"(A)": -1.0, "(B)": -1.0},
]


@pytest.mark.parametrize("logprobs", UNREAD)
def test_an_unread_label_is_no_tie_and_no_win(logprobs: dict[str, float]) -> None:
    raw = Reading(first="a", logprobs=logprobs)
    reading = of_labels(raw)
    assert probability_of_first(raw) is None
    assert (reading.state, reading.p_a, reading.logprobs) == ("unparsed", None, raw.logprobs)
    verdict = read([seen("a", 0.9), reading])
    assert (verdict.state, verdict.p_a, verdict.p_raw) == ("unparsed", None, None)
    assert verdict.reason == "1 of 2 questions were not read: a label has no finite log-probability"
    assert verdict.readings == (seen("a", 0.9), reading)


@given(st.sampled_from(["a", "b"]), CHANCES)
def test_what_is_said_of_a_seat_is_said_of_the_answer_that_has_it(first: Seating, p: float) -> None:
    found = seated(Reading(first=first), p, "")
    assert (found.state, found.p_a) == ("parsed", p if first == "a" else 1 - p)
    assert seated(Reading(first=first), None, "why").reason == "why"


# Contrast and ratings.


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0.01, 2))
def test_a_contrast_is_a_softmax_over_two_scaled_contrasts(a: float, b: float, scale: float) -> None:
    twin = math.exp(scale * a) / (math.exp(scale * a) + math.exp(scale * b))
    assert of_contrast(a, b, scale) == pytest.approx(twin)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (2.0, 2.0, 0.5),
        (math.log(3), 0.0, 0.75),
        (-5000.0, 5000.0, 0.0),
        (math.inf, 0.0, None),
        (0.0, -math.inf, None),
        (math.inf, math.inf, None),
        (math.nan, 0.0, None),
    ],
)
def test_a_contrast_that_is_not_finite_is_no_verdict(a: float, b: float, expected: float | None) -> None:
    assert of_contrast(a, b, 1.0) == (expected if expected is None else pytest.approx(expected))


def shares(logprobs: dict[int, float]) -> dict[int, float]:
    total = sum(math.exp(value) for value in logprobs.values())
    return {rating: math.exp(value) / total for rating, value in logprobs.items()}


@given(RATED, RATED)
def test_ratings_are_compared_rating_by_rating(a: dict[int, float], b: dict[int, float]) -> None:
    twin = 0.0
    for i, p in shares(a).items():
        for j, q in shares(b).items():
            twin += p * q * (1.0 if i > j else 0.5 if i == j else 0.0)
    assert of_ratings(a, b) == pytest.approx(twin)
    assert (of_ratings(a, b) or 0) + (of_ratings(b, a) or 0) == pytest.approx(1)


@given(RATED, st.floats(-800, 0))
def test_a_rating_is_expected_whatever_other_words_take(logprobs: dict[int, float], lost: float) -> None:
    twin = sum(rating * p for rating, p in shares(logprobs).items())
    assert expected_rating(logprobs) == pytest.approx(twin)
    assert expected_rating({key: value + lost for key, value in logprobs.items()}) == pytest.approx(twin)


def test_ratings_by_hand() -> None:
    a, b = {9: math.log(0.5), 10: math.log(0.5)}, {1: math.log(0.2), 9: math.log(0.2)}
    assert expected_rating(a) == pytest.approx(9.5)
    assert expected_rating(b) == pytest.approx(5.0), "what is left for other words does not count"
    assert of_ratings(a, b) == pytest.approx(0.5 + 0.5 * (0.5 + 0.5 * 0.5))
    assert of_ratings(a, a) == pytest.approx(0.5)


@pytest.mark.parametrize("logprobs", [{}, {1: -math.inf, 10: -math.inf}, {5: math.nan}])
def test_a_rating_that_was_not_read_is_no_five(logprobs: dict[int, float]) -> None:
    assert expected_rating(logprobs) is None
    assert of_ratings(logprobs, {1: -1.0}) is None
    assert of_ratings({1: -1.0}, logprobs) is None


def test_a_rating_without_a_probability_counts_nothing() -> None:
    assert expected_rating({1: -math.inf, 8: -2.0}) == 8


def test_no_rating_begins_another() -> None:
    assert len(RATINGS) == 10
    assert not any(one != other and other.startswith(one) for one in RATINGS for other in RATINGS)


# Verdicts.


def test_no_question_at_all_is_unparsed() -> None:
    verdict = read([])
    assert (verdict.state, verdict.p_a, verdict.p_raw, verdict.reason) == ("unparsed", None, None, "nothing was asked")


@pytest.mark.parametrize(
    ("readings", "p_a"),
    [
        ([seen("a", 0.9)], 0.9),
        ([seen("b", 0.9)], 0.1),
        ([seen("a", 0.9), seen("b", 0.3)], 0.8),
        ([seen("a", 0.9), seen("b", 0.9)], 0.5),
        ([told(0.25)], 0.25),
        ([told(0.25, principle="p"), told(0.75, principle="q"), told(0.8, principle="r")], 0.6),
    ],
)
def test_readings_are_averaged_as_probabilities_of_a(readings: list[Reading], p_a: float) -> None:
    verdict = read(readings)
    assert verdict.state == "parsed"
    assert verdict.p_a == verdict.p_raw == pytest.approx(p_a)
    assert verdict.readings == tuple(readings)
    assert verdict.reason == ""


@given(st.lists(st.builds(scored, st.sampled_from(["a", "b"]), LOGPROBS, LOGPROBS), min_size=1, max_size=4))
def test_reading_and_swapping_commute(raw: list[Reading]) -> None:
    swapped = comparison(read(list(map(of_labels, raw)))).swap().verdict
    again = read([of_labels(one) for one in swapped.readings])
    assert again.p_a == pytest.approx(swapped.p_a)
    assert 0 <= (again.p_a or 0) <= 1


@pytest.mark.parametrize(
    ("unread", "state"),
    [
        ([told(None, "unparsed", "no label")], "unparsed"),
        ([told(None, "unparsed", "no label"), told(None, "refused", "declines")], "refused"),
        ([told(None, "refused", "declines"), told(None, "error", "broken"), told(None, "unparsed")], "error"),
    ],
)
def test_one_unread_reading_makes_a_verdict_unread_by_the_worst_of_them(unread: list[Reading], state: str) -> None:
    verdict = read([told(0.9), *unread])
    assert (verdict.state, verdict.p_a, verdict.p_raw) == (state, None, None)
    assert verdict.reason.startswith(f"{len(unread)} of {len(unread) + 1} questions were not read: ")
    assert all(one.reason in verdict.reason for one in unread)
    assert verdict.readings == (told(0.9), *unread)


# Calibration.


@given(st.floats(0.001, 0.999), st.floats(0.1, 10))
def test_softening_divides_the_log_odds(p: float, temperature: float) -> None:
    odds = (p / (1 - p)) ** (1 / temperature)
    assert softened(p, temperature) == pytest.approx(odds / (1 + odds))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_softening_leaves_ties_alone(temperature: float) -> None:
    assert softened(0.5, temperature) == 0.5


def test_a_written_verdict_can_be_softened_too() -> None:
    """Certain for what it says, it is taken for one in a million less."""
    assert (softened(0.0, 1), softened(1.0, 1)) == (0.0, 1.0)
    odds = math.log((1 - 1e-6) / 1e-6) / 10
    assert softened(1.0, 10) == pytest.approx(1 / (1 + math.exp(-odds)))
    assert softened(0.0, 10) == pytest.approx(1 - softened(1.0, 10))


def test_settling_by_hand_softens_then_clamps_then_smooths() -> None:
    halved = CalibrationConfig(temperature=2, smoothing=0.5)
    assert softened(0.9, 2) == pytest.approx(0.75)
    assert settled(0.9, halved) == pytest.approx(0.625)
    assert settled(0.9, halved, (0.4, 0.6)) == pytest.approx(0.55)
    assert settled(0.55, PLAIN, (0.4, 0.6)) == 0.55
    assert settled(0.05, PLAIN, (0.4, 0.6)) == 0.4
    assert settled(0.3, PLAIN) == 0.3


@given(CHANCES, st.floats(0.2, 5), st.floats(0, 0.9), st.none() | st.floats(0, 0.5).map(lambda low: (low, 1 - low)))
def test_settling_favours_neither_answer_and_keeps_the_winner(
    p: float, temperature: float, smoothing: float, clamp: tuple[float, float] | None
) -> None:
    config = CalibrationConfig(temperature=temperature, smoothing=smoothing)
    one, other = settled(p, config, clamp), settled(1 - p, config, clamp)
    assert one == pytest.approx(1 - other, abs=1e-9)
    assert (one - 0.5) * (p - 0.5) >= -1e-12


def test_a_verdict_keeps_what_it_was_before_it_was_settled() -> None:
    verdict = combined([told(0.95), told(0.85)], CalibrationConfig(smoothing=0.5), (0.4, 0.6))
    assert verdict.p_raw == pytest.approx(0.9), "the mean, before anything is done to it"
    assert verdict.p_a == pytest.approx(0.55)
    assert [one.p_a for one in verdict.readings] == [0.95, 0.85]


@given(st.floats(-700, 700))
def test_the_logistic_is_right_on_both_sides(x: float) -> None:
    assert logistic(x) == pytest.approx((1 + math.tanh(x / 2)) / 2, abs=1e-15)


# The audit.


def test_seats_by_principle_by_hand() -> None:
    readings = [
        seen("a", 0.8, "p"),
        seen("b", 0.6, "p"),
        seen("a", 0.4, "p"),  # a second thought in the same seating
        seen("b", 0.3, "q"),
        told(0.9, principle="r"),
        of_labels(Reading(first="a", principle="s")),
    ]
    assert by_principle(readings) == [
        {"a": pytest.approx(0.6), "b": pytest.approx(0.6)},
        {"b": pytest.approx(0.3)},
    ]


def test_an_audit_by_hand() -> None:
    verdicts = [
        read([seen("a", 0.8), seen("b", 0.6)]),  # p_a 0.6; the first seat wins twice
        read([seen("a", 0.9), seen("b", 0.1)]),  # p_a 0.9; answer a wins twice
        read([seen("b", 0.2)]),  # p_a 0.8; one seating
        read([seen("a", 0.5), seen("b", 0.5)]),  # p_a 0.5; no preference, so no preferred seat
        read([seen("a", 0.3), seen("b", 0.4)]),  # p_a 0.45; the second seat wins twice
        read([seen("a", 0.9), of_labels(Reading(first="b"))]),
        Verdict(state="refused", p_a=None),
        Verdict(state="error", p_a=None),
    ]
    found = audit(comparison(verdict) for verdict in verdicts)
    assert found.states == {"parsed": 5, "unparsed": 1, "refused": 1, "error": 1}
    assert found.both_orders == 4
    assert found.first_seat == pytest.approx((0.8 + 0.6 + 0.9 + 0.1 + 0.2 + 0.5 + 0.5 + 0.3 + 0.4) / 9)
    assert found.same_seat == 2 / 4
    assert found.decided == pytest.approx((0.2 + 0.8 + 0.6 + 0.0 + 0.1) / 5)


def test_an_audit_counts_each_principle_and_measures_before_calibration() -> None:
    readings = [seen("a", 0.9, "p"), seen("b", 0.9, "p"), seen("a", 0.9, "q"), seen("b", 0.1, "q")]
    verdict = combined(readings, PLAIN, (0.4, 0.6))  # p_raw 0.7
    found = audit([comparison(verdict)])
    assert (found.both_orders, found.same_seat) == (2, 0.5)
    assert found.first_seat == pytest.approx((0.9 + 0.9 + 0.9 + 0.1) / 4)
    assert (verdict.p_a, found.decided) == (pytest.approx(0.6), pytest.approx(0.4))


def test_a_judge_without_seats_has_no_position_bias_to_measure() -> None:
    found = audit([comparison(read([told(0.9)])), comparison(read([told(0.4)]))])
    assert (found.states, found.both_orders, found.first_seat, found.same_seat) == ({"parsed": 2}, 0, None, None)
    assert found.decided == pytest.approx((0.8 + 0.2) / 2)


def test_a_label_that_no_judge_gave_says_nothing_of_the_judge() -> None:
    found = audit([comparison(Verdict(state="parsed", p_a=1.0))])
    assert found == JudgeAudit({"parsed": 1}, 0, None, None, None)


def test_an_audit_of_nothing_knows_nothing() -> None:
    assert audit([]) == JudgeAudit({}, 0, None, None, None)


def test_a_judge_that_always_says_a_is_all_position_bias() -> None:
    found = audit([comparison(read([seen("a", 0.93), seen("b", 0.93)]))] * 3)
    assert (found.same_seat, found.first_seat, found.decided) == (1.0, pytest.approx(0.93), pytest.approx(0))
