"""Meters count right after a resume too, and are shown as lines where there is no terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from cai.progress import Meter, Reporter


def meter(seconds: float, total: int = 24, done: int = 0) -> Meter:
    """One that began `seconds` ago, at `done`."""
    return Meter("revise", total, "prompts", done=done, begun_at=done, started=time.monotonic() - seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)


@pytest.mark.usefixtures("clock")
def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    shown = meter(40)
    shown.advance(12, tokens=3200)
    assert shown.line() == "revise: 12/24 prompts, 80 tokens/s, 40 s left"


@pytest.mark.usefixtures("clock")
def test_large_rates_have_separators_and_a_finished_step_has_no_time_left() -> None:
    shown = meter(2, total=1)
    shown.advance(1, tokens=5000)
    assert shown.line() == "revise: 1/1 prompts, 2,500 tokens/s"


@pytest.mark.usefixtures("clock")
def test_nothing_is_said_of_speed_before_anything_is_done() -> None:
    assert meter(40).line() == "revise: 0/24 prompts"
    assert meter(40).rate is None
    assert meter(0).rate is None


@pytest.mark.usefixtures("clock")
def test_a_resumed_step_is_timed_by_what_is_new() -> None:
    shown = meter(10, total=24, done=20)
    assert shown.line() == "revise: 20/24 prompts"
    shown.advance(1)
    assert shown.line() == "revise: 21/24 prompts, 30 s left"


@pytest.mark.usefixtures("clock")
def test_a_training_step_says_first_that_it_starts() -> None:
    shown = meter(9, total=0)
    assert shown.line() == "revise: starting"
    shown.reach(1, 10)
    assert shown.line() == "revise: 1/10 prompts, 81 s left"


@pytest.mark.usefixtures("clock")
def test_a_training_resumed_from_a_checkpoint_is_timed_by_its_new_steps() -> None:
    shown = meter(10, total=0)
    shown.reach(51, 60)
    assert shown.line() == "revise: 51/60 prompts, 90 s left"
    shown.reach(52, 60)
    assert shown.line() == "revise: 52/60 prompts, 40 s left"


def test_without_a_terminal_there_are_plain_lines() -> None:
    text = io.StringIO()
    with Reporter(Console(file=text)).step("sft", 3, "steps") as shown:
        shown.reach(3, 3)
    assert text.getvalue() == "sft: 3/3 steps\n"


def test_a_line_comes_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cai.progress._PLAIN_EVERY", 0.02)
    text = io.StringIO()
    with Reporter(Console(file=text)).step("sft", 3, "steps"):
        deadline = time.monotonic() + 10
        while text.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert text.getvalue().count("sft: 0/3 steps\n") >= 3


def test_a_name_is_never_read_as_markup() -> None:
    text = io.StringIO()
    with Reporter(Console(file=text)).step("evaluate [bold]x", 1, "items"):
        pass
    assert text.getvalue() == "evaluate [bold]x: 0/1 items\n"


def test_a_terminal_gets_a_bar_that_ends_with_the_last_count() -> None:
    text = io.StringIO()
    with Reporter(Console(file=text, force_terminal=True, width=120)).step("sft", 8, "steps") as shown:
        shown.reach(8, 8)
    assert "━" in text.getvalue()
    assert "8/8 steps" in text.getvalue()


def test_the_last_line_is_shown_where_the_step_fails() -> None:
    text = io.StringIO()
    with pytest.raises(KeyError), Reporter(Console(file=text)).step("sft", 3, "steps", done=2):
        raise KeyError
    assert text.getvalue() == "sft: 2/3 steps\n"
