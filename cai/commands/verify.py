"""Command verify: what is damaged in runs, one line a finding, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from cai.errors import StoreError
from cai.terminal import say
from cai.verify import Verified, verify


def verify_runs(console: Console, names: list[str], as_json: bool, runs: Path) -> int:
    """Prints what was found. Returns the exit code: 0 where all runs are sound, else that of StoreError."""
    found = [verify(runs, name) for name in names]
    if as_json:
        console.print_json(json.dumps([{**asdict(one), "sound": one.sound} for one in found]))
    else:
        for one in found:
            _print(console, one)
    return 0 if all(one.sound for one in found) else StoreError.exit_code


def _print(console: Console, one: Verified) -> None:
    for finding in one.findings:
        say(console, f"{'damaged' if finding.damage else 'note'}: {finding}")
    damaged = sum(finding.damage for finding in one.findings)
    checked = f"{one.steps} stages, {one.files} files by checksum, {one.records} records"
    say(console, f"{one.run}: {checked}: {f'{damaged} damaged' if damaged else 'sound'}")
