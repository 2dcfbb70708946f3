"""Verdicts against a plain softmax, at the extremes, unread, and audited by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.records import Comparison, Completion, Message, OrderedLabels, Prompt, Verdict
from cai.verdicts import LABELS, JudgeAudit, audit, probability_of_a, probability_of_first, read

Seat = Literal["a", "b"]
LOGPROBS = st.floats(-50, 0)


def seating(first: Seat, lp_first: float, lp_second: float) -> OrderedLabels:
    return OrderedLabels(first=first, logprobs={LABELS[0]: lp_first, LABELS[1]: lp_second})


def seen(first: Seat, p_first: float) -> OrderedLabels:
    """A seating in which the first-shown answer is better with `p_first`."""
    return seating(first, math.log(p_first), math.log(1 - p_first))


def comparison(verdict: Verdict) -> Comparison:
    prompt = Prompt.of((Message(role="user", content="hi"),), "harmful", "test")
    answer = Completion(text="x", raw="x", finish="stop", prompt_tokens=1, tokens=1, seed=0)
    return Comparison(id=prompt.id, prompt=prompt, principle="p", a=answer, b=answer, verdict=verdict)


@given(LOGPROBS, LOGPROBS)
def test_the_probability_is_a_softmax_over_two_labels(first: float, second: float) -> None:
    twin = math.exp(first) / (math.exp(first) + math.exp(second))
    assert probability_of_first(seating("a", first, second)) == pytest.approx(twin)
    assert probability_of_a(seating("a", first, second)) == pytest.approx(twin)
    assert probability_of_a(seating("b", first, second)) == pytest.approx(1 - twin)


@given(LOGPROBS, LOGPROBS, st.floats(-700, 0))
def test_what_both_labels_lose_to_other_words_cancels(first: float, second: float, lost: float) -> None:
    plain, shifted = (probability_of_first(seating("a", first + by, second + by)) for by in (0, lost))
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
    assert probability_of_first(seating("a", first, second)) == pytest.approx(expected)


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
    order = OrderedLabels(first="a", logprobs=logprobs)
    assert probability_of_first(order) is None
    assert probability_of_a(order) is None
    verdict = read([seen("a", 0.9), order])
    assert (verdict.state, verdict.p_a) == ("unparsed", None)
    assert verdict.reason.startswith("1 of 2 seatings")
    assert verdict.orders == (seen("a", 0.9), order)


def test_no_seating_at_all_is_unparsed() -> None:
    assert read([]).state == "unparsed"
    assert read([]).p_a is None


@pytest.mark.parametrize(
    ("orders", "p_a"),
    [
        ([seen("a", 0.9)], 0.9),
        ([seen("b", 0.9)], 0.1),
        ([seen("a", 0.9), seen("b", 0.3)], 0.8),
        ([seen("a", 0.9), seen("b", 0.9)], 0.5),
    ],
)
def test_seatings_are_averaged_as_probabilities_of_a(orders: list[OrderedLabels], p_a: float) -> None:
    verdict = read(orders)
    assert verdict.state == "parsed"
    assert verdict.p_a == pytest.approx(p_a)
    assert verdict.orders == tuple(orders)
    assert verdict.reason == ""


@given(st.lists(st.builds(seating, st.sampled_from(["a", "b"]), LOGPROBS, LOGPROBS), min_size=1, max_size=4))
def test_reading_and_swapping_commute(orders: list[OrderedLabels]) -> None:
    swapped = comparison(read(orders)).swap().verdict
    again = read(swapped.orders)
    assert again.p_a == pytest.approx(swapped.p_a)
    assert 0 <= (again.p_a or 0) <= 1


def test_an_audit_by_hand() -> None:
    verdicts = [
        read([seen("a", 0.8), seen("b", 0.6)]),  # p_a 0.6; the first seat wins twice
        read([seen("a", 0.9), seen("b", 0.1)]),  # p_a 0.9; answer a wins twice
        read([seen("b", 0.2)]),  # p_a 0.8; one seating
        read([seen("a", 0.5), seen("b", 0.5)]),  # p_a 0.5; no preference, so no preferred seat
        read([seen("a", 0.3), seen("b", 0.4)]),  # p_a 0.45; the second seat wins twice
        read([seen("a", 0.9), OrderedLabels(first="b", logprobs={})]),
        Verdict(state="refused", p_a=None, orders=()),
        Verdict(state="error", p_a=None, orders=()),
    ]
    found = audit(comparison(verdict) for verdict in verdicts)
    assert found.states == {"parsed": 5, "unparsed": 1, "refused": 1, "error": 1}
    assert found.both_orders == 4
    assert found.first_seat == pytest.approx((0.8 + 0.6 + 0.9 + 0.1 + 0.2 + 0.5 + 0.5 + 0.3 + 0.4) / 9)
    assert found.same_seat == 2 / 4
    assert found.decided == pytest.approx((0.2 + 0.8 + 0.6 + 0.0 + 0.1) / 5)


def test_an_audit_of_nothing_knows_nothing() -> None:
    assert audit([]) == JudgeAudit({}, 0, None, None, None)


def test_a_judge_that_always_says_a_is_all_position_bias() -> None:
    found = audit([comparison(read([seen("a", 0.93), seen("b", 0.93)]))] * 3)
    assert (found.same_seat, found.first_seat, found.decided) == (1.0, pytest.approx(0.93), pytest.approx(0))
