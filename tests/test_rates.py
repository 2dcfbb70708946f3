"""The rates of a device, by hand; and what the paper's full size comes to, against a count written out."""

from __future__ import annotations

import pytest

from benchmarks.paper_scale import Paper, Stage, stages, table
from cai.rates import H100, LAPTOP, Device, tokens_per_second

DEVICE = Device("made up", peak=1e12, bandwidth=1e9, bytes=2, batch=10, read=0.5, write=0.25, train=0.3, scaling=0.5)


def test_the_rates_of_a_made_up_device() -> None:
    assert tokens_per_second("read", 1e6, DEVICE) == 0.5 * 1e12 / 2e6
    assert tokens_per_second("train", 1e6, DEVICE) == pytest.approx(0.3 * 1e12 / 6e6)
    assert tokens_per_second("write", 1e6, DEVICE) == 0.25 * 1e9 / 2e6 * 10, "bound by memory"


def test_writing_is_bound_by_computing_where_many_rows_share_the_weights() -> None:
    wide = Device("wide", peak=1e12, bandwidth=1e9, batch=100_000)
    assert tokens_per_second("write", 1e6, wide) == tokens_per_second("read", 1e6, wide)


@pytest.mark.parametrize(("devices", "times"), [(1, 1.0), (2, 1.5), (8, 4.5)])
def test_each_further_device_adds_its_share(devices: int, times: float) -> None:
    for work in ("read", "write", "train"):
        one, several = (tokens_per_second(work, 1e6, DEVICE, count) for count in (1, devices))
        assert several == pytest.approx(times * one)


def test_the_laptop_does_what_was_measured_on_it() -> None:
    assert tokens_per_second("write", 135e6, LAPTOP) == pytest.approx(60)
    assert tokens_per_second("train", 135e6, LAPTOP) == pytest.approx(90)
    assert tokens_per_second("write", 270e6, LAPTOP) == pytest.approx(30)


def test_the_tokens_of_a_small_paper_counted_one_by_one() -> None:
    paper = Paper(red_team=2, helpful=3, answers=2, rounds=2, comparisons=5, judged=2, rl_prompts=7,
                  prompt=10, reply=20, shown=5, rl_reply=8)  # fmt: skip
    found = {one.name: one for one in stages(paper)}
    written = read = 0
    for _ in range(2):
        read, written = read + 10, written + 20
        for _ in range(2):
            read, written = read + (10 + 20 + 5), written + 20  # the critique
            read, written = read + (10 + 20 + 5 + 20), written + 20  # the revision, which sees it
    assert (found["revise"].read, found["revise"].write) == (read, written)
    assert (found["respond"].read, found["respond"].write) == (3 * 2 * 10, 3 * 2 * 20)
    assert found["sft"].train == (2 * 2 + 3 * 2) * 30
    assert found["preference model"].train == 5 * 2 * 30
    assert found["compare"].read == 2 * (2 * 10 + 2 * (10 + 2 * 20 + 5)) and found["compare"].write == 2 * 2 * 20
    assert (found["rl (PPO)"].write, found["rl (PPO)"].train) == (7 * 8, 2 * 7 * 18)


def test_hours_add_up_over_the_kinds_of_work() -> None:
    rates = [tokens_per_second(kind, 1e6, DEVICE) for kind in ("read", "write", "train")]
    hours = Stage("one", 1e6, 2e6, 3e6).hours(1e6, DEVICE, 1)
    assert hours == pytest.approx((1e6 / rates[0] + 2e6 / rates[1] + 3e6 / rates[2]) / 3600)


def test_the_table_s_last_lines_are_sums_of_those_above() -> None:
    paper = Paper()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(paper, 7e9, H100, [1, 8]).splitlines()
    ]
    assert [row[0] for row in rows[2:]] == [*(one.name for one in stages(paper)), "all", "GPU hours"]
    hours = [sum(one.hours(7e9, H100, count) for one in stages(paper)) for count in (1, 8)]
    assert rows[-2][4:] == [f"{one:,.0f}" for one in hours] and rows[-1][5] == f"{8 * hours[1]:,.0f}"
