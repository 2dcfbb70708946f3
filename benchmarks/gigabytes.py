"""A run of several GB: what `cai show`, `cai verify` and the viewer take to open it, in time and memory.

    python -m benchmarks.gigabytes --records 1500000

Makes chains as benchmarks/view_pages.py does and opens them in processes of their own. The viewer is asked for its list
right after it starts, while it indexes, and afterwards. Rows go to benchmarks/streaming.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.__main__ import merge_rows
from benchmarks.memory import resident
from benchmarks.view_pages import client, fetched, indexed, pages, seconds, stored

RESULTS = Path(__file__).with_name("streaming.json")
RUN, MOST = "many", 1.0
"""The run's name; seconds that a first page may take."""


def main() -> None:
    """Makes the run, opens it, writes the rows; called with `--child`, opens it in one way."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.gigabytes", description=__doc__)
    options.add_argument("--records", type=int, default=1_500_000)
    options.add_argument("--child", choices=("show", "verify", "view"), help=argparse.SUPPRESS)
    options.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        print(json.dumps({**WAYS[given.child](given.root), "resident": resident()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stored(root / "runs", RUN, given.records)
        size = sum(path.stat().st_size for path in root.rglob("items.jsonl")) / 1e9
        took = {way: _apart(way, root) for way in WAYS}
    rows = _rows(took, f"{2 * given.records:,} records, {size:.1f} GB", f"--records {given.records}")
    merge_rows(RESULTS, rows)
    for row in rows:
        print(f"{row['name']}: {row['value']:.3g} {row['unit']}; {row['detail']}")


def _opened(command: str, root: Path) -> dict[str, float]:
    """Seconds of a command; what it prints goes where errors go, since standard output is for the figures."""
    from cai.cli import app

    with redirect_stdout(sys.stderr):
        return {"seconds": seconds(lambda: app([command, RUN, "--runs", str(root / "runs")], standalone_mode=False))}


def _view(root: Path) -> dict[str, float]:
    """The first page with nothing indexed, the time until all is, and the first page of another viewer after that."""
    runs, cache, listed = root / "runs", root / "cache", pages(RUN)["list"]
    cold = seconds(lambda: fetched(client(runs, cache), listed))
    building = indexed(runs, cache, RUN)
    again = client(runs, cache)
    return {"cold": cold, "indexing": building, "first": seconds(lambda: fetched(again, listed))}


WAYS = {"show": partial(_opened, "show"), "verify": partial(_opened, "verify"), "view": _view}


def _apart(way: str, root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.gigabytes", "--child", way, "--root", str(root)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def _rows(took: dict[str, dict[str, float]], size: str, given: str) -> list[dict[str, Any]]:
    command = f"python -m benchmarks.gigabytes {given}"
    view = took["view"]
    rows = [
        _row(f"gigabytes_{way}", took[way]["resident"], "stated", "MB", command, True,
             f"peak memory of `cai {way}` on {size}: {took[way]['seconds']:.0f} s")
        for way in ("show", "verify")
    ]  # fmt: skip
    detail = (
        f"first page of a viewer just started on {size}, nothing indexed yet; {view['first']:.2f} s once all is, which "
        f"took {view['indexing']:.0f} s in the background; {view['resident']:.0f} MB at most"
    )
    slower = max(view["cold"], view["first"])
    return [*rows, _row("gigabytes_view", view["cold"], str(MOST), "s", command, slower <= MOST, detail)]


def _row(name: str, value: float, reach: str, unit: str, command: str, reached: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "value": value, "reach": reach, "reached": reached, "unit": unit,
            "command": command, "detail": detail}  # fmt: skip


if __name__ == "__main__":
    main()
