"""Runs the benchmarks named on the command line, or all, and writes their rows into benchmarks/results.json."""

import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

NAMES = ("overhead", "memory", "http_calls", "prefix_reuse", "judging", "chains", "sft", "preference", "view_pages")
RESULTS = Path(__file__).with_name("results.json")


def _measured(name: str) -> list[dict[str, Any]]:
    rows = importlib.import_module(f"benchmarks.{name}").measure()
    for row in rows:
        met = "reached" if row["reached"] else "missed"
        print(f"{row['name']}: {row['value']:.3g} {row['unit']} ({row['reach']} {met}); {row['detail']}", flush=True)
    return rows


def merge_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    """Rows measured now replace those of the same name."""
    known = json.loads(file.read_text("utf-8")) if file.is_file() else []
    merged = {row["name"]: row for row in [*known, *rows]}
    file.write_text(json.dumps(list(merged.values()), indent=1) + "\n", encoding="utf-8")


def main(wanted: list[str]) -> int:
    """0, or 2 where a name is unknown."""
    if unknown := set(wanted) - set(NAMES):
        print(f"no benchmark {', '.join(sorted(unknown))}; expected some of {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for name in wanted or NAMES:
        merge_rows(RESULTS, _measured(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
