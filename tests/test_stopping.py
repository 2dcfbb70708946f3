"""SIGTERM is what Ctrl-C is, to whoever takes that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from cai import cli
from cai.errors import Interrupted
from cai.stopping import heed_terminate


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_raises_what_ctrl_c_raises_and_is_told_apart() -> None:
    came = heed_terminate()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert came == []
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert came == [signal.SIGTERM]


def test_it_goes_to_whoever_takes_ctrl_c_at_the_moment() -> None:
    heed_terminate()
    taken: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
    os.kill(os.getpid(), signal.SIGTERM)
    assert taken == [signal.SIGINT]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("ends", [KeyboardInterrupt, Interrupted, SystemExit])
def test_the_exit_code_tells_which_it_was(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int, ends: type[BaseException]
) -> None:
    """As a stage, a trainer or the parser of the command line passes it on."""

    def command(**_: Any) -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise ends(130) from None

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code


def test_another_end_after_sigterm_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(**_: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise SystemExit(4) from None

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
