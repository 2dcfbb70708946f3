"""What a prompt costs in memory and time: `revise` over many of them on an instant engine, each size in a process.

`python -m benchmarks.streaming --prompts 10000 100000 1000000` prints peak resident memory and seconds, and merges its
rows into benchmarks/streaming.json: memory of the last size over that of the first, time of a prompt in the last size
over that in the one before. Each size is then cut off in the middle of its records and goes on from there, in a
process of its own, since that one reads what is stored.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from benchmarks.__main__ import merge_rows
from benchmarks.memory import resident
from benchmarks.overhead import Bare
from cai.config import load_recipe
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.store import RunFolder

RESULTS = Path(__file__).with_name("streaming.json")
MODULE = "benchmarks.streaming"
SETTINGS = ("prompts.held_out=0.01", "prompts.helpful=questions/red_team", "revise.rounds=1", "revise.few_shot=0")
MEMORY, TIME = 2.0, 1.25
"""The reach of the rows: peak memory over that of the first size, and time a prompt over that of the size before."""

Took = dict[str, float]
"""Of one process: `resident` (MB), `seconds`, `cpu` (seconds), `prompts`, `bytes` stored."""


def main() -> None:
    """Measures every size, prints it, and merges the rows; called with `--child`, measures one size."""
    options = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    options.add_argument("--prompts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        print(json.dumps(_one(given.prompts[0], given.child)))
        return
    took = {count: _apart(count) for count in given.prompts}
    rows = _rows(took)
    for row in rows:
        print(f"{row['name']}: {row['value']:.3g} {row['unit']} (at most {row['reach']}); {row['detail']}")
    merge_rows(RESULTS, rows)


def _one(count: int, root: Path) -> Took:
    """What this process takes for `count` prompts, from their file to records that are done."""
    named = f"prompts.harmful={root / 'many.txt'}", f"prompts.limit={count}"
    recipe, start = load_recipe("smoke", [*named, *SETTINGS]), time.monotonic()
    with mock.patch("cai.engines.pool.open_engine", lambda *_: Bare(0.0, 64)):
        steps = run(Material(recipe), RunFolder(root, "many"), Reporter(Console(quiet=True)), until="revise")
    folder, times = steps["revise"].folder, os.times()
    return {
        "resident": resident(),
        "seconds": time.monotonic() - start,
        "cpu": times.user + times.system,
        "prompts": folder.summary["items"],
        "bytes": (folder.path / "items.jsonl").stat().st_size,
    }


def _apart(count: int) -> dict[str, Took]:
    """A size at once, and cut off and gone on with; each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _questions(root / "many.txt", round(count * 1.02) + 100)
        fresh = _child(count, root)
        _print(count, "at once", fresh)
        _cut_off(root / "many")
        resumed = _child(count, root)
        _print(count, "gone on with from half", resumed)
    return {"fresh": fresh, "resumed": resumed}


def _child(count: int, root: Path) -> Took:
    command = [sys.executable, "-m", MODULE, "--prompts", str(count), "--child", str(root)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _questions(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"Question number {number}, asked in good faith?\n" for number in range(count))


def _cut_off(run_folder: Path) -> None:
    """Leaves a run as a kill in the middle of a write does: half of the records, the last of them torn."""
    (step,) = run_folder.glob("revise-*")
    (step / "DONE").unlink()
    os.truncate(step / "items.jsonl", (step / "items.jsonl").stat().st_size // 2)


def _print(count: int, how: str, took: Took) -> None:
    print(
        f"{count:,} prompts {how}: {took['resident']:.0f} MB at most, {took['seconds']:.0f} s "
        f"({took['cpu']:.0f} s of CPU), {took['bytes'] / 1e6:,.0f} MB of records",
        flush=True,
    )


def _rows(took: dict[int, dict[str, Took]]) -> list[dict[str, Any]]:
    first, before, last = min(took), sorted(took)[-2] if len(took) > 1 else min(took), max(took)
    command = f"python -m {MODULE} --prompts {' '.join(map(str, took))}"
    rows = []
    for how, about in (("fresh", "at once"), ("resumed", "gone on with from half of the records")):
        peaks = ", ".join(f"{sizes[how]['resident']:.0f} MB at {count:,}" for count, sizes in took.items())
        grown = took[last][how]["resident"] / took[first][how]["resident"]
        rows.append(_row(f"streaming_memory_{how}", grown, MEMORY, "MB / MB", command, f"{about}: {peaks}"))
    each = {count: sizes["fresh"]["cpu"] / count for count, sizes in took.items()}
    said = ", ".join(
        f"{1e6 * each[count]:.0f} us of CPU a prompt at {count:,} ({sizes['fresh']['seconds']:.0f} s by the clock)"
        for count, sizes in took.items()
    )
    points = [{"prompts": count, **sizes} for count, sizes in took.items()]
    time_row = _row("streaming_time", each[last] / each[before], TIME, "us / us", command, said)
    return [*rows, {**time_row, "points": points}]


def _row(name: str, value: float, reach: float, unit: str, command: str, detail: str) -> dict[str, Any]:
    return {"name": name, "value": value, "reach": reach, "reached": value <= reach, "unit": unit,
            "command": command, "detail": detail}  # fmt: skip


if __name__ == "__main__":
    main()
