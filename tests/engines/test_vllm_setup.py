"""Ctrl-C while an engine starts stops the start, whatever a library makes of it."""

from __future__ import annotations

import gc
import signal
import threading

import pytest

from cai.engines.vllm_setup import insistent_interrupt


class Dropping:
    """Python drops what is raised while it takes an object away."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_dropped_comes_at_the_end() -> None:
    went_on = False
    with pytest.raises(KeyboardInterrupt), insistent_interrupt():
        Dropping()
        gc.collect()
        went_on = True
    assert went_on


def test_an_interrupt_stops_at_once_where_nothing_holds_it_back() -> None:
    with pytest.raises(KeyboardInterrupt), insistent_interrupt():
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")


def test_the_handler_from_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with insistent_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_is_left_alone() -> None:
    found: list[str] = []

    def work() -> None:
        with insistent_interrupt():
            found.append("worked")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["worked"]
