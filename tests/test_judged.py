"""Bias to a seat and to length, by hand and by judges that are biased on purpose."""

from __future__ import annotations

import random

import pytest

from cai.judged import Judged, length_bias, position_bias
from cai.records import Reading, Seating, Verdict
from cai.stats import rate


def seen(first: Seating | None, p_a: float, principle: str = "kind") -> Reading:
    return Reading(first=first, p_a=p_a, principle=principle)


def verdict(*readings: Reading) -> Verdict:
    p = sum(one.p_a or 0 for one in readings) / len(readings)
    return Verdict(state="parsed", p_a=p, p_raw=p, readings=readings)


def pair(p_a: float, better: Seating, a: int, b: int) -> Judged:
    return Judged(f"{p_a} {better} {a} {b}", Verdict(state="parsed", p_a=p_a), better, (a, b))


FIRST = verdict(seen("a", 0.8), seen("b", 0.3))
SECOND = verdict(seen("a", 0.1), seen("b", 0.9))
EVEN = verdict(seen("a", 0.8), seen("b", 0.7))
TIED = verdict(seen("a", 0.5), seen("b", 0.3))
ALONE = verdict(seen("a", 0.9))
SEATLESS = verdict(seen(None, 0.9))


def test_the_same_seat_twice() -> None:
    found = position_bias([FIRST, FIRST, SECOND, EVEN, TIED, ALONE, SEATLESS])
    assert found and found.same_seat == rate(3, 5)
    assert found.first == pytest.approx(2 / 3)


@pytest.mark.parametrize("verdicts", [[], [ALONE], [SEATLESS, ALONE], [Verdict(state="parsed", p_a=0.9)]])
def test_no_pair_in_both_seatings_has_no_bias_to_a_seat(verdicts: list[Verdict]) -> None:
    assert position_bias(verdicts) is None


def test_an_even_judge_prefers_no_seat() -> None:
    found = position_bias([EVEN, EVEN])
    assert found and (found.same_seat.value, found.first) == (0, None)


def test_seatings_are_matched_within_a_principle_and_thoughts_averaged() -> None:
    several = verdict(
        seen("a", 0.9, "kind"),
        seen("b", 0.1, "kind"),
        seen("a", 0.2, "true"),
        seen("b", 0.1, "true"),
        seen("a", 1, "wise"),
    )
    thoughts = verdict(seen("a", 1.0), seen("a", 0.2), seen("b", 0.0), seen("b", 0.8))
    found = position_bias([several, thoughts])
    assert found and found.same_seat == rate(0.5 + 1, 2)
    assert found.first == 1


def test_a_swap_of_names_changes_no_bias_to_a_seat() -> None:
    verdicts = [FIRST, FIRST, SECOND, EVEN, TIED]
    assert position_bias([one.swap() for one in verdicts]) == position_bias(verdicts)


def test_a_judge_that_reads_the_seat_alone_is_found_out() -> None:
    draw = random.Random(1)
    firsts = [0.5 + draw.random() / 2 for _ in range(50)]
    found = position_bias([verdict(seen("a", p), seen("b", 1 - p)) for p in firsts])
    assert found and (found.same_seat.value, found.first) == (1, 1)


def test_length_by_hand() -> None:
    pairs = [
        pair(0.9, "a", 30, 10),  # The longer answer: people, judge.
        pair(0.8, "b", 30, 10),  # Judge only.
        pair(0.7, "b", 20, 10),  # Judge only.
        pair(0.5, "a", 9, 3),  # People; the judge is undecided.
        pair(0.1, "b", 30, 30),  # Of the same length.
    ]
    found = length_bias(pairs)
    assert found
    assert (found.judge, found.people) == (rate(3.5, 4), rate(2, 4))
    assert (found.right_longer, found.right_shorter) == (rate(1.5, 2), rate(0, 2))
    assert found.as_json()["shorter_is_better"]["accuracy"] == 0


def test_answers_of_equal_length_say_nothing_of_it() -> None:
    assert length_bias([pair(0.9, "a", 5, 5)]) is None
    assert length_bias([]) is None
    found = length_bias([pair(0.9, "a", 6, 5)])
    assert found and found.right_shorter is None and found.as_json()["shorter_is_better"] is None


def test_only_a_parsed_verdict_has_a_probability() -> None:
    lost = Judged("x", Verdict(state="unparsed", p_a=None, p_raw=0.9), "a", (1, 2))
    assert (lost.p_a, lost.p_raw, lost.longer, lost.group) == (None, None, "b", "x")
    clamped = Judged("x", Verdict(state="parsed", p_a=0.6, p_raw=0.97), "a", (1, 2), prompt="q")
    assert (clamped.p_a, clamped.p_raw, clamped.group) == (0.6, 0.97, "q")
