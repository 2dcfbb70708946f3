"""How far the stages of a run are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cai.store import StepFolder
from cai.view.library import Run

State = Literal["done", "in progress", "stopped", "not begun"]


@dataclass(frozen=True)
class Progress:
    """One stage. `records`: those indexed, all of them where that is `whole`; None where it keeps none.

    `counts`: what DONE says beside time and tokens. `written`: seconds since it last wrote anything; None where it
    has not begun, or is done.
    """

    stage: str
    state: State
    folder: str
    records: int | None
    whole: bool
    seconds: float | None
    tokens: int | None
    prompt_tokens: int | None
    counts: tuple[tuple[str, Any], ...]
    failures: int
    written: float | None
    shared: bool


_TOLD = ("seconds", "tokens", "prompt_tokens", "cached_tokens")


def progress(run: Run) -> list[Progress]:
    """The stages of a run in order."""
    at_work = run.running is not None
    return [_stage(run, stage, step, at_work) for stage, step in run.steps.items()]


def state(step: StepFolder, at_work: bool) -> State:
    """Of one step; `at_work`: a process works on its run."""
    if step.done:
        return "done"
    if not step.spec:
        return "not begun"
    return "in progress" if at_work else "stopped"


def _stage(run: Run, stage: str, step: StepFolder, at_work: bool) -> Progress:
    found, summary = state(step, at_work), step.summary
    reached = run.records(stage).index.reached() if stage in run.listed else None
    return Progress(
        stage=stage,
        state=found,
        folder=str(step.path.relative_to(run.folder.root)),
        records=reached.lines if reached else None,
        whole=reached is None or reached.whole,
        seconds=summary.get("seconds"),
        tokens=summary.get("tokens"),
        prompt_tokens=summary.get("prompt_tokens"),
        counts=tuple(_counts(summary)),
        failures=_lines(step, "failures.jsonl"),
        written=_written(step) if found in ("in progress", "stopped") else None,
        shared=step.path.parent != run.folder.path,
    )


def _counts(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The plain numbers other than zero that are not shown by themselves."""
    for name, value in summary.items():
        if name not in _TOLD and value and isinstance(value, int | float) and not isinstance(value, bool):
            yield name.replace("_", " "), value


def _lines(step: StepFolder, name: str) -> int:
    path = step.path / name
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _written(step: StepFolder) -> float:
    return max(0.0, time.time() - max(path.stat().st_mtime for path in step.path.glob("*")))
