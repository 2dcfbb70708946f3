"""Progress of long steps: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_PLAIN_EVERY = 15.0
"""Seconds between plain lines."""


@dataclass
class Meter:
    """Counts the items and tokens of one step."""

    name: str
    total: int
    unit: str
    done: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    begun_at: int = 0

    def advance(self, items: int = 0, tokens: int = 0) -> None:
        """Adds what has just been finished."""
        self.done += items
        self.tokens += tokens

    def reach(self, done: int, total: int) -> None:
        """Says where a counted step stands. The first call tells where it was taken up again."""
        if not self.total:
            self.begun_at = done - 1
        self.done, self.total = done, total

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float | None:
        """Tokens a second; None where no tokens were counted."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None

    def line(self) -> str:
        """For example `revise: 12/24 prompts, 80 tokens/s, 40 s left`."""
        if not self.total:
            return f"{self.name}: starting"
        parts = [f"{self.name}: {self.done}/{self.total} {self.unit}"]
        if self.rate:
            parts.append(f"{self.rate:,.0f} tokens/s")
        new = self.done - self.begun_at
        if new and self.done < self.total:
            parts.append(f"{self.seconds / new * (self.total - self.done):,.0f} s left")
        return ", ".join(parts)


class Reporter:
    """Shows meters on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def loading(self, model: str) -> None:
        """Says that a model is being loaded, which may take a while."""
        self.console.print(f"loading {model}", highlight=False, markup=False)

    @contextmanager
    def step(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Meter]:
        """A meter that is shown while the block runs."""
        meter = Meter(name, total, unit, done=done, begun_at=done)
        with _Bar(self.console, meter) if self.console.is_terminal else _Lines(self.console, meter):
            yield meter


class _Ticker:
    """Refreshes from a thread, so that a long batch still shows the time."""

    def __init__(self, console: Console, meter: Meter, every: float) -> None:
        import threading

        self._console, self._meter, self._every = console, meter, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        self._start()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._stop()

    def _tick(self) -> None:
        while not self._over.wait(self._every):
            self._show()

    def _start(self) -> None: ...

    def _show(self) -> None: ...

    def _stop(self) -> None: ...


class _Lines(_Ticker):
    def __init__(self, console: Console, meter: Meter) -> None:
        super().__init__(console, meter, _PLAIN_EVERY)

    def _show(self) -> None:
        self._console.print(self._meter.line(), highlight=False, markup=False)

    _stop = _show


class _Bar(_Ticker):
    def __init__(self, console: Console, meter: Meter) -> None:
        super().__init__(console, meter, 0.2)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
        self._task = self._progress.add_task(meter.name, total=meter.total, completed=meter.done, line="")

    def _start(self) -> None:
        self._progress.start()

    def _show(self) -> None:
        line = self._meter.line().removeprefix(f"{self._meter.name}: ")
        self._progress.update(self._task, completed=self._meter.done, total=self._meter.total, line=line)

    def _stop(self) -> None:
        self._show()
        self._progress.stop()
