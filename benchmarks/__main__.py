"""Runs every benchmark and writes benchmarks/results.json."""

import json
from pathlib import Path

from benchmarks import overhead, prefix_reuse

if __name__ == "__main__":
    rows = [row for module in (overhead, prefix_reuse) for row in module.measure()]
    for row in rows:
        print(
            f"{row['name']}: {row['value']:.3g} {row['unit']} (reach {row['reach']}: {row['reached']}); {row['detail']}"
        )
    Path("benchmarks/results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
