"""What looks at a panel say: the gap by hand, when it ends a training, which look is gone back to."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.panel_config import PanelStop
from cai.trainers.panel_looks import Look, best, gap, gaps, stopped, told

FIRST = Look(0, (1.0, 3.0), (10.0, 20.0))
"""Deviations 1 and 5."""
RULE = PanelStop(reward="held", gap=1.0, patience=2)


def test_the_gap_by_hand() -> None:
    """The reward rose by 2 of its deviations, the watched one fell by one of its own."""
    assert gap(FIRST, Look(25, (3.0, 5.0), (5.0, 15.0))) == pytest.approx(2.0 - (-1.0))
    assert gap(FIRST, Look(25, (2.0, 4.0), (15.0, 25.0))) == pytest.approx(0.0)
    assert gaps([FIRST, Look(25, (1.0, 4.0), (10.0, 20.0))]) == [0.0, pytest.approx(0.5)]


ROWS = st.lists(st.tuples(*[st.floats(-9, 9)] * 4), min_size=2, max_size=6)


@given(ROWS)
def test_the_gap_is_the_mean_over_the_panel_prompt_by_prompt(rows: list[tuple[float, ...]]) -> None:
    first, now = (
        Look(0, *zip(*[row[:2] for row in rows], strict=True)),
        Look(9, *zip(*[row[2:] for row in rows], strict=True)),
    )
    units = statistics.pstdev(first.reward), statistics.pstdev(first.held)
    if min(units) < 1e-6:
        return
    each = [(r - r0) / units[0] - (h - h0) / units[1] for r0, h0, r, h in rows]
    assert gap(first, now) == pytest.approx(sum(each) / len(each), rel=1e-6, abs=1e-6)


def test_without_a_spread_at_the_first_look_the_gap_has_no_unit() -> None:
    flat = Look(0, (1.0, 1.0), (10.0, 20.0))
    assert gap(flat, FIRST) is None and gap(Look(0, (1.0, 2.0)), FIRST) is None
    assert not stopped([flat, FIRST, FIRST], RULE) and "has no unit" in told([flat, FIRST], RULE)


WIDE, NARROW = Look(25, (3.0, 5.0), (10.0, 20.0)), Look(25, (2.0, 4.0), (10.0, 20.0))
"""Gaps of 2 and of 1, which is not wider than 1."""


@pytest.mark.parametrize(
    ("looks", "ended"),
    [
        ([FIRST], False),
        ([FIRST, WIDE], False),
        ([FIRST, WIDE, WIDE], True),
        ([FIRST, WIDE, NARROW, WIDE], False),
        ([FIRST, NARROW, NARROW], False),
        ([FIRST, WIDE, NARROW, WIDE, WIDE], True),
    ],
)
def test_it_takes_so_many_looks_in_a_row(looks: list[Look], ended: bool) -> None:
    assert stopped(looks, RULE) == ended
    assert not stopped(looks, None)


def test_the_best_look_is_by_the_watched_reward_and_of_equal_ones_the_earliest() -> None:
    looks = [
        FIRST,
        Look(1, (9.0, 9.0), (0.0, 0.0)),
        Look(2, (0.0, 0.0), (16.0, 16.0)),
        Look(3, (1.0, 1.0), (16.0, 16.0)),
    ]
    assert best(looks).step == 2 and best(looks[:2]).step == 0


def test_it_is_told_in_words() -> None:
    ended = [FIRST, WIDE, Look(50, (3.0, 5.0), (5.0, 15.0))]
    assert told(ended, RULE) == (
        "stopped after step 50: the reward ran 3.00 standard deviations ahead of held, more than 1 at 2 looks in a "
        "row; the model of step 0 was left, with the best held"
    )
    kept = RULE.model_copy(update={"then": "stop"})
    assert told(ended, kept).endswith("; the model was left as it was")
    assert told(ended[:2], RULE) == "not stopped: at the last look, step 25, the gap to held was 2.00"
    assert told(ended, None) == "watched at 3 looks"
