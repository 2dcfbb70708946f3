"""What becomes of a run whose server does faults of every kind at 30 % of its calls: python -m benchmarks.faults."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.__main__ import merge_rows
from benchmarks.faulty_server import FAULTS, HARMLESS, TIMEOUT, FaultyServer
from cai.config import load_recipe
from cai.errors import EngineError
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import Comparison, Revision
from cai.store import RunFolder

RATE, PROMPTS, RETRIES, MOST_ATTEMPTS = 0.3, 96, 2, 20
RESULTS = Path(__file__).with_name("faults.json")
_COMMAND = "python -m benchmarks.faults"


STAGES = ("revise", "compare")


@dataclass
class Outcome:
    """What became of the items. `failed`: by the fault at their last call; `lost`: neither done nor recorded, too."""

    attempts: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: dict[str, str | None] = field(default_factory=dict)
    again: list[tuple[set[str], set[str]]] = field(default_factory=list)
    """For each further attempt, the items that had failed in a stage and those that it then asked for there."""


def recipe_overrides(base_url: str, prompts: Path, limit: int, retries: int) -> list[str]:
    """Of recipe `smoke`: `revise` and the judge of `compare` ask the server."""
    return [
        f"prompts.harmful={prompts}", f"prompts.limit={limit}", "revise.few_shot=0", "compare.judge.few_shot=0",
        "without=[respond, sft]",
        f"engine={{type: openai, base_url: {base_url}, concurrency: 32, timeout: {TIMEOUT}, retries: {retries}}}",
        "models={assistant: served, pretrained: {model: tiny-random, engine: {type: scripted}}}",
    ]  # fmt: skip


def survived(root: Path, server: FaultyServer, prompts: int = PROMPTS, retries: int = RETRIES) -> Outcome:
    """Runs `cai run` until stage compare is done. Raises AssertionError where an item comes twice."""
    file = root / "many.txt"
    file.write_text("".join(f"Is item-{number} safe to use at home?\n" for number in range(2 * prompts)), "utf-8")
    overrides = recipe_overrides(server.base_url, file, prompts, retries)
    asked = Material(load_recipe("smoke", overrides)).prompts["harmful"].train
    names = {prompt.id: prompt.messages[0].content.split()[1] for prompt in asked}
    outcome, failed, ended = Outcome(), {stage: set[str]() for stage in STAGES}, False
    while not ended and outcome.attempts < MOST_ATTEMPTS:
        start, stopped = len(server.calls), next((stage for stage in STAGES if failed[stage]), None)
        ended = _attempt(root, overrides)
        outcome.attempts += 1
        if stopped == "compare" or (stopped and not ended and _records(root, "compare") == (set(), set())):
            outcome.again.append((failed[stopped], set(server.by_item(start))))
        last = server.last_faults()
        for stage in STAGES:
            done, broken = _records(root, stage)
            failed[stage] = {names[one] for one in broken}
            outcome.failed.update(last[name] or "none" for name in failed[stage])
            lost = names.keys() - done - broken if done or broken else set()
            outcome.lost |= {names[one]: last.get(names[one]) for one in lost}
    return outcome


def _attempt(root: Path, overrides: list[str]) -> bool:
    """Whether `cai run` comes to the end of stage compare."""
    reporter = Reporter(Console(quiet=True))
    try:
        run(Material(load_recipe("smoke", overrides)), RunFolder(root, "smoke"), reporter, "compare")
    except EngineError as error:
        if "items failed" not in str(error):
            raise
        return False
    return True


def _records(root: Path, stage: str) -> tuple[set[str], set[str]]:
    """The prompts that a stage is done with, and those that it recorded as failed, each with a reason."""
    step = RunFolder(root, "smoke").steps[stage]
    whole = [one.prompt.id for one in step.records(Revision) if one.round == 2] if stage == "revise" else [
        one.prompt.id for one in step.records(Comparison)
    ]  # fmt: skip
    assert len(whole) == len(set(whole)), "an item came twice"
    file = step.path / "failures.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
    assert all(row["error"] for row in rows)
    return set(whole), {row["id"] for row in rows}


def _rows(server: FaultyServer, outcome: Outcome, seconds: float) -> list[dict[str, Any]]:
    faults = sum(call.fault is not None for call in server.calls)
    whole = (
        f"{len(server.calls)} calls, {faults} with a fault ({faults / len(server.calls):.0%}), {PROMPTS} prompts "
        f"through revise and compare, {RETRIES} retries a call, {outcome.attempts} times `cai run` until all was "
        f"done, in {seconds:.0f} s"
    )
    rows = [_row("faults_lost", len(outcome.lost), 0, "items", whole)]
    asked_again = sum(asked - failed != set() for failed, asked in outcome.again)
    about = f"{len(outcome.again)} further attempts within one stage; each asked for what had failed and nothing else"
    rows.append(_row("faults_asked_in_vain", asked_again, 0, "attempts", about))
    for fault in FAULTS:
        made, retried = len(server.of(fault)), server.retried(fault)
        lost = list(outcome.lost.values()).count(fault)
        told = f"{retried} tried again, {outcome.failed[fault]} items failed at it for this attempt, {lost} lost"
        rows.append(_row(f"fault {fault}", made, None, "calls", told + (" (an answer)" if fault in HARMLESS else "")))
    return rows


def _row(name: str, value: float, reach: float | None, unit: str, detail: str) -> dict[str, Any]:
    reached = reach is None or value <= reach
    return {"name": name, "value": value, "reach": reach, "reached": reached, "unit": unit, "command": _COMMAND,
            "detail": detail}  # fmt: skip


def main() -> int:
    """Prints the table and writes benchmarks/faults.json; 0 where nothing was lost."""
    server, started = FaultyServer(RATE), time.monotonic()
    with tempfile.TemporaryDirectory() as root, server.running():
        outcome = survived(Path(root), server)
    rows = _rows(server, outcome, time.monotonic() - started)
    print(rows[0]["detail"])
    print(f"{'fault':24} injected  retried  items failed  lost")
    for fault in FAULTS:
        print(
            f"{fault:24} {len(server.of(fault)):8} {server.retried(fault):8} {outcome.failed[fault]:13} "
            f"{list(outcome.lost.values()).count(fault):5}"
        )
    print(f"items lost: {len(outcome.lost)}; attempts that asked for more than had failed: {rows[1]['value']}")
    merge_rows(RESULTS, rows)
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
