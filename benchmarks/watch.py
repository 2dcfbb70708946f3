"""Prints how far a training is, and keeps what it logs, for the benchmarks that train outside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console


class Watch:
    """A trainer's watch; the folder of `log` names the training."""

    def __init__(self, console: Console, log: Path) -> None:
        self._console, self._log = console, log

    def step(self, done: int, total: int) -> None:
        """Prints a line."""
        self._console.print(f"{self._log.parent.name}: {done}/{total} steps", highlight=False)

    def metric(self, row: dict[str, Any]) -> None:
        """Adds a line to the log."""
        with self._log.open("a") as file:
            file.write(json.dumps(row) + "\n")
