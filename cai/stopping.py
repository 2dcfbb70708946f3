"""SIGTERM, by which schedulers and containers stop a process, is taken as Ctrl-C is."""

from __future__ import annotations

import signal

TERMINATED = 143
"""The exit code after it: 128 and its number, as shells have it."""


def heed_terminate() -> list[int]:
    """From now on SIGTERM goes to whoever takes Ctrl-C at the moment. What is returned is empty until it came."""
    came: list[int] = []

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, pass_on)
    return came
