"""What benchmarks/chaos.py found, as rows in the form of benchmarks/results.json, and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos_compare import Difference
from benchmarks.chaos_workers import ABOUT as WORKERS
from benchmarks.chaos_workers import KIND, Killed
from cai.plan import STAGES

AT_RANDOM = "at a random time"

END = "end"
"""What stands for a stage where all were done."""


@dataclass(frozen=True)
class Point:
    """One strike that ended a run: in which stage, when, how it ended, and after how many seconds."""

    kind: str
    stage: str
    when: str
    code: int
    seconds: float
    clean: bool

    @property
    def at_random(self) -> bool:
        """Whether it fell at a random time, and not at a moment that was waited for."""
        return self.when == AT_RANDOM


@dataclass
class Tally:
    """What was found so far. `differences`: by stage, of runs with the kinds that struck them there."""

    points: list[Point] = field(default_factory=list)
    runs: int = 0
    differences: list[tuple[str, Difference, frozenset[str]]] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    damaged: int = 0
    refused: int = 0
    asked: int = 0

    @property
    def at_random(self) -> list[Point]:
        """The points at random times."""
        return [point for point in self.points if point.at_random]


def rows(tally: Tally, about: Callable[[str], str], asked: int, command: str, detail: str) -> list[dict[str, Any]]:
    """What was found, in the form of benchmarks/results.json; kinds and stages stand in `stages`.

    `about` says what a kind of strike is, `asked` how many points at random times there were to be.
    """
    stopped = [point.seconds for point in tally.points if point.kind in ("SIGTERM", "Ctrl-C")]
    unclean = [point for point in tally.points if not point.clean]
    struck = {point.stage for point in tally.at_random} & set(STAGES)
    rounded = sum(found.rounded for _, found, _ in tally.differences)
    facts = [
        ("chaos_points", len(tally.at_random), asked, "points", f"at random times, in {tally.runs} runs that were "
         f"killed and resumed until done, {detail}"),
        ("chaos_aimed", len(tally.points) - len(tally.at_random), None, "points", "beside these, right before an "
         "operation on a file that is dangerous to interrupt"),
        ("chaos_stages", len(struck), len(STAGES) if asked >= ENOUGH else None, "stages", f"of {len(STAGES)}, struck "
         "at random times"),
        *((f"chaos_{name}", sum(getattr(found, name) for _, found, _ in tally.differences), 0, "items", about)
          for name, about in ABOUT.items()),
        ("chaos_vanished", len(tally.vanished), 0, "files", "a record that was stored before a kill was gone after it"),
        ("chaos_damaged", tally.damaged, 0, "runs", "`cai verify` found something damaged in the end"),
        ("chaos_rounded", rounded, None, "items", "equal but for the rounding of a score: its batch was another one"),
        ("chaos_unclean", len(unclean), 0, "points", "another exit code than documented, or a traceback of Ctrl-C, "
         "SIGTERM or a full disk"),
        ("chaos_stop", max(stopped, default=0.0), 10, "s", f"longest of {len(stopped)} stops by SIGTERM or Ctrl-C"),
        ("chaos_second_process", tally.refused, tally.asked, "refusals", "second processes on one run, refused with "
         "the holder's process id"),
    ]  # fmt: skip
    told = [_row(name, value, reach, unit, command, detail) for name, value, reach, unit, detail in facts]
    kinds = sorted({point.kind for point in tally.points})
    return [*told, *(_of_kind(kind, tally, command, about(kind)) for kind in kinds)]


ENOUGH = 5 * len(STAGES)
"""From so many points on each stage must have been struck."""


ABOUT = {
    "lost": "records of the unbroken run that a killed one lacks",
    "twice": "records that a killed run stored twice",
    "different": "records, curves, figures, weights or reports that differ from the unbroken run's",
}
MORE = ("chaos_points", "chaos_stages", "chaos_second_process")
"""What is reached from below."""


def _row(name: str, value: float, reach: float | None, unit: str, command: str, detail: str) -> dict[str, Any]:
    met = reach is None or (value >= reach if name in MORE else value <= reach)
    named = {"name": name, "value": value, "reach": reach, "reached": met}
    return {**named, "unit": unit, "command": command, "detail": detail}


def _of_kind(kind: str, tally: Tally, command: str, about: str) -> dict[str, Any]:
    """The points of one kind, and by stage what came of the runs that it struck there."""
    found = [point for point in tally.points if point.kind == kind]
    points, at_random = (Counter(point.stage for point in some) for some in (found, [p for p in found if p.at_random]))
    stages = {
        stage: {"points": points[stage], "at_random": at_random[stage], **_losses(kind, stage, tally)}
        for stage in (*STAGES, END)
        if points[stage]
    }
    return {**_row(f"chaos {kind}", len(found), None, "points", command, about), "stages": stages}


def _losses(kind: str, stage: str, tally: Tally) -> dict[str, int]:
    found = [difference for at, difference, kinds in tally.differences if at == stage and kind in kinds]
    return {name: sum(getattr(one, name) for one in found) for name in ABOUT}


def table(told: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The kinds by stages, as Markdown: points, how many of them fell at random times, and what was lost."""
    kinds = [row for row in told if "stages" in row]
    struck = {stage for row in kinds for stage in row["stages"]}
    stages = [stage for stage in (*STAGES, END) if stage in struck]
    names = [row["name"].removeprefix("chaos ") for row in kinds]
    yield f"| stage | {' | '.join(names)} | at random times | lost | twice | different |"
    yield f"|---{'|---:' * (len(kinds) + 4)}|"
    for stage in stages:
        cells = [row["stages"].get(stage, {}) for row in kinds]
        points = [cell.get("points", 0) for cell in cells]
        points.append(sum(cell.get("at_random", 0) for cell in cells))
        losses = [max((cell.get(name, 0) for cell in cells), default=0) for name in ABOUT]
        yield f"| {stage} | {' | '.join(map(str, [*points, *losses]))} |"


def of_workers(killed: Sequence[Killed], command: str) -> dict[str, Any]:
    """The row of the actors that were killed."""
    stages: dict[str, Counter[str]] = {}
    for one in killed:
        found = Counter({"points": 1, **{name: getattr(one, name) for name in ABOUT}})
        stages[one.stage] = stages.get(one.stage, Counter()) + found
    codes = sorted({str(one.code) for one in killed})
    row = _row(f"chaos {KIND}", len(killed), None, "points", command, f"{WORKERS}; exit codes: {', '.join(codes)}")
    sound = codes in ([], ["0"]) and not any(getattr(one, name) for one in killed for name in ABOUT)
    told = {stage: {name: found[name] for name in ("points", *ABOUT)} for stage, found in stages.items()}
    return {**row, "reached": sound, "stages": told}
