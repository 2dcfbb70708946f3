"""The viewer in a browser: view."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cai.errors import InputError, needing
from cai.terminal import say


def view(console: Console, runs: Path, host: str, port: int, browser: bool, token: bool) -> None:
    """Serves the runs below `runs` until it is stopped. Raises InputError, MissingExtra."""
    with needing("view"):
        from cai.view.serve import serve
    if not runs.is_dir():
        raise InputError(f"no folder {runs}; expected the one that holds the runs, such as `runs`")
    serve(runs, host, port, browser, token, lambda text: say(console, text))
