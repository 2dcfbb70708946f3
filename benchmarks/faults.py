"""What becomes of a run whose server does faults of every kind at 30 % of its calls: python -m benchmarks.faults."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.__main__ import merge_rows
from benchmarks.faulty_server import FAULTS, HARMLESS, ITEM, TIMEOUT, FaultyServer
from cai.config import load_recipe
from cai.errors import EngineError
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import Answer, Classified, Comparison, Harm, Match, Measurement, Prompt, Record, Revision
from cai.store import RunFolder

RATE, PROMPTS, RETRIES, MOST_ATTEMPTS = 0.3, 96, 2, 20
RESULTS = Path(__file__).with_name("faults.json")
_COMMAND = "python -m benchmarks.faults"

GUEST = "served"
"""Joins the evaluation through the server: the run's own models are trained here, and never asked of one."""


@dataclass(frozen=True)
class Asked:
    """A stage that asks the server. `item`: the id of the item that a record ends, or None where it ends none."""

    record: type[Record]
    items: Callable[[Material], Iterable[tuple[str, Prompt]]]
    item: Callable[[Any], str | None]


def _of_prompt(one: Any) -> str:
    return one.prompt.id


def _last_round(one: Revision) -> str | None:
    return one.prompt.id if one.round == ROUNDS else None


def _guests_answer(one: Measurement) -> str | None:
    return one.prompt.id if one.model == GUEST else None


def _harmful(material: Material) -> list[tuple[str, Prompt]]:
    return [(prompt.id, prompt) for prompt in material.prompts["harmful"].train]


def _helpful(material: Material) -> list[tuple[str, Prompt]]:
    return [(prompt.id, prompt) for prompt in material.prompts["helpful"].train]


def _held_out(material: Material) -> list[tuple[str, Prompt]]:
    return [(prompt.id, prompt) for split in material.prompts.values() for prompt in split.held_out]


def _answered(material: Material) -> list[tuple[str, Prompt]]:
    return [(f"{model}/{id_}", prompt) for id_, prompt in _held_out(material) for model in ("base", GUEST)]


def _answered_harmful(material: Material) -> list[tuple[str, Prompt]]:
    return [(id_, prompt) for id_, prompt in _answered(material) if prompt.kind == "harmful"]


ROUNDS = 2
STAGES: dict[str, Asked] = {
    "respond": Asked(Answer, _helpful, _of_prompt),
    "revise": Asked(Revision, _harmful, _last_round),
    "compare": Asked(Comparison, _harmful, _of_prompt),
    "guests": Asked(Measurement, _held_out, _guests_answer),
    "win_rates": Asked(Match, _held_out, _of_prompt),
    "harmfulness": Asked(Harm, _answered_harmful, lambda one: one.id),
    "refusals": Asked(Classified, _answered, lambda one: one.id),
}
"""In the order in which they run. Each asks the server about every item, so that none ends without a call."""


@dataclass
class Outcome:
    """What became of the items. `failed`: by the fault that a last try had; `lost`: neither done nor recorded, too.

    `by_stage`: of each stage, how many items it is done with in the end, and how many failures it recorded on the way.
    """

    attempts: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: dict[str, str | None] = field(default_factory=dict)
    again: list[tuple[set[str], set[str]]] = field(default_factory=list)
    """For each further attempt within one stage, the items that had failed and those that it then asked for."""
    by_stage: dict[str, tuple[int, int]] = field(default_factory=dict)


def recipe_overrides(base_url: str, files: dict[str, Path], limit: int, retries: int) -> list[str]:
    """Of recipe `smoke`: all that is not trained asks the server, and judges through it."""
    return [
        *(f"prompts.{kind}={file}" for kind, file in files.items()),
        f"prompts.limit={limit}", "prompts.held_out=0.3", "revise.few_shot=0", f"revise.rounds={ROUNDS}",
        "compare.judge.few_shot=0", "without=[sft, rl]", f"guests={{{GUEST}: {GUEST}}}",
        f"evaluate.limit={max(4, limit // 6)}", "preference_model.batch_size=32", "preference_model.micro_batch=32",
        f"engine={{type: openai, base_url: {base_url}, concurrency: 32, timeout: {TIMEOUT}, retries: {retries}}}",
        "models={assistant: served, pretrained: {model: tiny-random, engine: {type: scripted}}}",
    ]  # fmt: skip


def survived(root: Path, server: FaultyServer, prompts: int = PROMPTS, retries: int = RETRIES) -> Outcome:
    """Runs `cai run` until the last of the stages is done. Raises AssertionError where an item comes twice."""
    overrides = recipe_overrides(server.base_url, _prompt_files(root, 2 * prompts), prompts, retries)
    material = Material(load_recipe("smoke", overrides))
    words = {stage: {id_: _word(one) for id_, one in asked.items(material)} for stage, asked in STAGES.items()}
    outcome, failed, ended = Outcome(), {stage: set[str]() for stage in STAGES}, False
    recorded: Counter[str] = Counter()
    while not ended and outcome.attempts < MOST_ATTEMPTS:
        start, stopped = len(server.calls), next((stage for stage in STAGES if failed[stage]), None)
        ended = _attempt(root, overrides)
        outcome.attempts += 1
        found = {stage: _records(root, stage) for stage in STAGES}
        if stopped and not any(map(any, list(found.values())[list(STAGES).index(stopped) + 1 :])):
            outcome.again.append((failed[stopped], set(server.by_item(start))))
        last = server.last_faults()
        for stage, (done, broken) in found.items():
            failed[stage] = {words[stage][one] for one in broken}
            recorded[stage] += len(broken)
            outcome.failed.update(last[words[stage][one]] or "none" for one in broken)
            lost = words[stage].keys() - done - broken if done or broken else set()
            outcome.lost |= {f"{stage} {one}": last.get(words[stage][one]) for one in lost}
    outcome.by_stage = {stage: (len(_records(root, stage)[0]), recorded[stage]) for stage in STAGES}
    return outcome


def _prompt_files(root: Path, count: int) -> dict[str, Path]:
    """Prompts of both kinds, each about an item of its own."""
    files = {"harmful": root / "harmful.txt", "helpful": root / "helpful.txt"}
    for place, file in enumerate(files.values()):
        numbers = range(place * count, (place + 1) * count)
        file.write_text("".join(f"Is item-{number} safe to use at home?\n" for number in numbers), "utf-8")
    return files


def _word(prompt: Prompt) -> str:
    return ITEM.findall(prompt.messages[0].content)[0]


def _attempt(root: Path, overrides: list[str]) -> bool:
    """Whether `cai run` comes to the end of the last of the stages."""
    reporter = Reporter(Console(quiet=True))
    try:
        run(Material(load_recipe("smoke", overrides)), RunFolder(root, "smoke"), reporter, [*STAGES][-1])
    except EngineError as error:
        if "items failed" not in str(error):
            raise
        return False
    return True


def _records(root: Path, stage: str) -> tuple[set[str], set[str]]:
    """The items that a stage is done with, and those that it recorded as failed, each with a reason."""
    step, asked = RunFolder(root, "smoke").steps.get(stage), STAGES[stage]
    if step is None:
        return set(), set()
    whole = [id_ for one in step.records(asked.record) if (id_ := asked.item(one)) is not None]
    assert len(whole) == len(set(whole)), "an item came twice"
    file = step.path / "failures.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
    assert all(row["error"] for row in rows)
    return set(whole), {row["id"] for row in rows}


def _rows(server: FaultyServer, outcome: Outcome, seconds: float) -> list[dict[str, Any]]:
    faults = sum(call.fault is not None for call in server.calls)
    whole = (
        f"{len(server.calls)} calls, {faults} with a fault ({faults / len(server.calls):.0%}), of {len(STAGES)} stages "
        f"on {PROMPTS} prompts of each kind, {RETRIES} retries a call, {outcome.attempts} times `cai run` until all "
        f"was done, in {seconds:.0f} s"
    )
    rows = [_row("faults_lost", len(outcome.lost), 0, "items", whole)]
    asked_again = sum(asked - failed != set() for failed, asked in outcome.again)
    about = f"{len(outcome.again)} further attempts within one stage; each asked for what had failed and nothing else"
    rows.append(_row("faults_asked_in_vain", asked_again, 0, "attempts", about))
    about = f"of `cai run`, until it came to its end; after {MOST_ATTEMPTS} it is given up"
    rows.append(_row("faults_attempts", outcome.attempts, MOST_ATTEMPTS - 1, "attempts", about))
    for stage, (done, failed) in outcome.by_stage.items():
        counts = {"failed": failed, "lost": sum(one.startswith(f"{stage} ") for one in outcome.lost)}
        detail = "done in the end; `failed`: recorded with their reason on the way"
        rows.append({**_row(f"faults in {stage}", done, None, "items", detail), **counts})
    return [*rows, *(_of_fault(fault, server, outcome) for fault in FAULTS)]


def _of_fault(fault: str, server: FaultyServer, outcome: Outcome) -> dict[str, Any]:
    detail = "an answer, kept as it is" if fault in HARMLESS else "`failed`: items for which the last try had it"
    counts = {
        "retried": server.retried(fault),
        "failed": outcome.failed[fault],
        "lost": list(outcome.lost.values()).count(fault),
    }
    return {**_row(f"fault {fault}", len(server.of(fault)), None, "calls", detail), **counts}


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The stages and the faults, as Markdown."""
    yield "| stage | items done in the end | failed on the way | lost |"
    yield "|---|---:|---:|---:|"
    for row in rows:
        if row["name"].startswith("faults in "):
            yield f"| {row['name'].removeprefix('faults in ')} | {row['value']} | {row['failed']} | {row['lost']} |"
    yield ""
    yield "| fault | calls with it | tried again | items failed at it | lost |"
    yield "|---|---:|---:|---:|---:|"
    for row in rows:
        if row["name"].startswith("fault "):
            counts = " | ".join(str(row[name]) for name in ("value", "retried", "failed", "lost"))
            yield f"| {row['name'].removeprefix('fault ')} | {counts} |"


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
    print("\n".join([rows[0]["detail"], "", *table(rows), ""]))
    print(f"items lost: {len(outcome.lost)}; attempts that asked for more than had failed: {rows[1]['value']}")
    RESULTS.write_text("[]", encoding="utf-8")
    merge_rows(RESULTS, rows)
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
