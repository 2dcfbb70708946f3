"""Runs a program twice at once, as two processes that share a training."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


def two_processes(program: str, folder: Path, **known: str) -> list[Any]:
    """What each left in `folder`/<rank>.json; it is given the folder and its rank. Both must end with code 0."""
    here = Path(__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        known["MASTER_PORT"] = str(free.getsockname()[1])
    known |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "PYTHONPATH": f"{here}:{here.parents[1]}"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder), str(rank)],
            env={**os.environ, **known, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=280) for process in started] == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
