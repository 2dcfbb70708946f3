"""Runs pip-audit on what is installed, and says how much of it could be looked up: what could not is not clean.

Exit code 1 where a package has a known weakness, 0 where none has, and 0 with a plain word where nothing was checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_PATIENCE = 300
"""Seconds."""


def main() -> int:
    """The exit code."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
    try:
        ended = subprocess.run([*command, "--timeout", "10"], capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return _not_checked(f"no answer within {_PATIENCE} s")
    try:
        found = json.loads(ended.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        return _not_checked((ended.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    return told(found)


def told(found: list[dict[str, Any]]) -> int:
    """Prints what pip-audit found, package by package, and returns the exit code."""
    looked_up = [one for one in found if "skip_reason" not in one]
    if not looked_up:
        return _not_checked(found[0]["skip_reason"] if found else "no package is installed")
    weak = [one for one in looked_up if one["vulns"]]
    for one in weak:
        names = ", ".join(
            f"{each['id']} (mended in {', '.join(each['fix_versions']) or 'no version'})" for each in one["vulns"]
        )
        print(f"{one['name']} {one['version']}: {names}")
    left = [one["name"] for one in found if "skip_reason" in one]
    more = f"; not checked: {', '.join(left)}" if left else ""
    print(f"pip-audit: {len(weak)} of {len(looked_up)} packages have known weaknesses{more}")
    return int(bool(weak))


def _not_checked(why: str) -> int:
    print(f"pip-audit: NOT CHECKED, which is not the same as clean: {why[:300]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
