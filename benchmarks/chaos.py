"""Kills `cai run` at random points, resumes it, and compares what it leaves with an unbroken run.

A run is struck again and again until it is done; then it is compared, and the next one begins. Most strikes fall at a
time drawn uniformly over what the unbroken run took for a stage, one of the next two, so that no stage is passed over;
the others fall right before an operation on a file that is dangerous to interrupt.
`python -m benchmarks.chaos --points 200` writes benchmarks/chaos.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.__main__ import merge_rows
from benchmarks.chaos_child import Aim, Child, start, warm_up
from benchmarks.chaos_compare import Difference, compare, lines
from benchmarks.chaos_strikes import AIMS, Strike, relieve, small_disk, strikes
from benchmarks.chaos_workers import ABOUT as WORKERS
from benchmarks.chaos_workers import KIND, Killed, kill_workers
from cai.plan import STAGES

RECIPE = Path(__file__).with_name("chaos.yaml")
RESULTS = Path(__file__).with_name("chaos.json")
COMMAND = "make chaos POINTS={points}"

SHARES = {"SIGKILL": 8, "SIGTERM": 4, "Ctrl-C": 4, "out of memory": 3, "full disk": 4}
"""How often each kind strikes."""

AT_RANDOM = "at a random time"

AIMED = 0.4
"""The share of strikes that wait for a dangerous moment."""

NEXT = 2
"""Of so many stages that are not done, one is struck."""

STARTING = 0.1
"""The share of strikes at a random time that may fall before any stage is at work."""

TIRED = 2
"""After so many strikes in the last stage a run is left to end, so that not most of them fall there."""

LONGEST = 300.0
"""Seconds after which a run that nothing strikes is taken to hang."""


@dataclass(frozen=True)
class Point:
    """One strike that ended a run: in which stage, when, how it ended, and after how many seconds."""

    kind: str
    stage: str
    when: str
    code: int
    seconds: float
    clean: bool


@dataclass
class Tally:
    """What was found so far. `differences`: by stage, of runs with the kinds that struck them there."""

    points: list[Point] = field(default_factory=list)
    runs: int = 0
    differences: list[tuple[str, Difference, frozenset[str]]] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    refused: int = 0
    asked: int = 0


class Chaos:
    """The harness. `home` is on the disk that may be filled; `beside` is not."""

    def __init__(self, home: Path, beside: Path, mounted: bool, seed: int) -> None:
        self._home, self._beside, self._draw = home, beside, random.Random(seed)
        self._strikes = strikes(home, mounted)
        self._ends: dict[str, float] = {}
        self.mounted, self.tally = mounted, Tally()

    @property
    def stages(self) -> list[str]:
        """In the order in which they run."""
        return sorted(self._ends, key=lambda stage: self._ends[stage])

    def about(self, kind: str) -> str:
        """What a kind of strike is."""
        first = kind.partition(", then")[0]
        return self._strikes[first].about + (", until it was killed" if first != kind else "")

    @property
    def unbroken(self) -> Path:
        """The run that nothing strikes."""
        return self._beside / "unbroken" / "chaos"

    def measure(self) -> float:
        """Runs the recipe unbroken, twice: the first run fills caches. Returns the second one's seconds."""
        for name in ("first", "unbroken"):
            begun = time.time()
            code = self._start(self._beside / name).ended(LONGEST)
            if code != 0:
                raise RuntimeError(f"the unbroken run ended with {code}:\n{self._log.read_text()}")
            done = (self._beside / name / "chaos").glob("*/DONE")
            self._ends = {path.parent.name.rpartition("-")[0]: path.stat().st_mtime - begun for path in done}
        twin = compare(self._beside / "first" / "chaos", self.unbroken)
        if unlike := {stage: found for stage, found in twin.items() if found.told or found.different}:
            raise RuntimeError(f"two unbroken runs differ already: {unlike}")
        return max(self._ends.values())

    def strike_until(self, points: int) -> None:
        """Strikes run after run until there are so many points; the last run is finished too."""
        for number in count(1):
            self._one_run(self._home / f"run{number}", points)
            if len(self.tally.points) >= points:
                return

    def _one_run(self, root: Path, points: int) -> None:
        struck: list[Point] = []
        kept: dict[str, list[bytes]] = {}
        while self._stage(root / "chaos"):
            last = len(self.tally.points) >= points or [point.stage for point in struck].count(self.stages[-1]) >= TIRED
            point = None if last else self._strike(root)
            if last and self._start(root).ended(LONGEST) != 0:
                raise RuntimeError(f"a run that nothing struck did not end well:\n{self._log.read_text()}")
            if point:
                struck.append(point)
                self.tally.points.append(point)
                print(f"{len(self.tally.points)}: {_told(point)}", flush=True)
            kept = self._still_there(root / "chaos", kept)
        self._compared(root / "chaos", struck)
        shutil.rmtree(root)

    def _compared(self, run: Path, struck: Sequence[Point]) -> None:
        self.tally.runs += 1
        for stage, found in compare(run, self.unbroken).items():
            kinds = frozenset(point.kind for point in struck if point.stage == stage)
            self.tally.differences.append((stage, found, kinds))
            if found.lost or found.twice or found.different:
                print(f"{stage} differs: {found}", flush=True)
                shutil.copytree(run, self._beside / f"differs{self.tally.runs}", dirs_exist_ok=True)

    def _still_there(self, run: Path, kept: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        """What is stored now; what was stored before must be its beginning."""
        now = lines(run)
        for stage, before in kept.items():
            if now.get(stage, [])[: len(before)] != before:
                self.tally.vanished.append(stage)
        return now

    def _strike(self, root: Path) -> Point | None:
        """Begins or resumes a run and strikes it once. None where it was done before."""
        strike = self._strikes[self._draw.choices(list(SHARES), list(SHARES.values()))[0]]
        aim = self._draw.choice(self._aims(root / "chaos")) if self._draw.random() < AIMED else None
        waiting = [stage for stage in self.stages if not list((root / "chaos").glob(f"{stage}-????????/DONE"))]
        stage = "" if self._draw.random() < STARTING else self._draw.choice(waiting[:NEXT])
        try:
            return self._struck(root, strike, aim, stage, self._draw.uniform(0, self._seconds(stage or waiting[0])))
        finally:
            relieve(self._home)

    def _struck(self, root: Path, strike: Strike, aim: Aim | None, stage: str, late: float) -> Point | None:
        mark = self._beside / "struck"
        mark.unlink(missing_ok=True)

        def at_the_moment() -> None:
            mark.touch()
            strike.do(os.getpid())

        begun, child = time.time(), self._start(root, aim, at_the_moment)
        if aim is None:
            code = None
            while stage and code is None and not _at_work(root / "chaos", stage, begun):
                code = child.ended(0.01)
            code = child.ended(late) if code is None else code
            if code is not None:
                return self._unstruck(code)
            mark.touch()
            strike.do(child.pid)
        return self._outcome(child, strike, root, aim, mark)

    def _outcome(self, child: Child, strike: Strike, root: Path, aim: Aim | None, mark: Path) -> Point | None:
        code, kind, end = None, strike.name, time.monotonic() + LONGEST
        while code is None and not mark.exists() and time.monotonic() < end:
            code = child.ended(0.05)
        code = child.ended(strike.patience) if code is None else code
        begun = mark.stat().st_mtime if mark.exists() else None
        seconds = time.time() - begun if begun else 0.0
        if code is None:
            self._strikes["SIGKILL"].do(child.pid)
            child.ended(10)
            kind, code = f"{kind}, then SIGKILL", -9
        if begun is None or code == 0:
            return self._unstruck(code)
        clean = code in strike.codes and (strike.name == "out of memory" or "Traceback" not in child.said())
        if not clean:
            print(f"not clean ({strike.name}, {code}):\n{child.said()[-3000:]}", flush=True)
        stage = self._stage(root / "chaos")
        return Point(kind, stage or "end", aim.about if aim else AT_RANDOM, code, seconds, clean)

    def _unstruck(self, code: int) -> None:
        """It ended before the strike fell."""
        if code != 0:
            raise RuntimeError(f"a run that nothing struck ended with {code}:\n{self._log.read_text()}")

    def second_process(self, times: int) -> None:
        """Begins a run while another holds it, so often; it must be refused, with the holder's name."""
        for number in range(times):
            root = self._home / f"held{number}"
            first = self._start(root, log="holder.log")
            while not (root / "chaos" / "lock.json").is_file() and first.ended(0.01) is None:
                pass
            second = self._start(root)
            self.tally.asked += 1
            self.tally.refused += second.ended(LONGEST) == 4 and f"process {first.pid}" in second.said()
            self._strikes["SIGKILL"].do(first.pid)
            first.ended(10)
            shutil.rmtree(root)

    def _aims(self, run: Path) -> list[Aim]:
        """Those that may be met before the run ends."""
        trained = list(run.glob("rl-????????/DONE"))
        return [aim for aim in AIMS if not (trained and aim.of_training)]

    def _seconds(self, stage: str) -> float:
        """What the unbroken run took for a stage, its start included for the first one."""
        place = self.stages.index(stage)
        return self._ends[stage] - (self._ends[self.stages[place - 1]] if place else 0.0)

    def _stage(self, run: Path) -> str:
        """The first stage that is not done; "" where all are."""
        return next((stage for stage in self.stages if not list(run.glob(f"{stage}-????????/DONE"))), "")

    @property
    def _log(self) -> Path:
        return self._beside / "child.log"

    def _start(self, root: Path, aim: Aim | None = None, strike: Any = None, log: str = "child.log") -> Child:
        return start(["run", str(RECIPE), "--runs", str(root)], self._beside / log, aim, strike)


def _at_work(run: Path, stage: str, since: float) -> bool:
    """Whether a stage has been begun or taken up again, which its log says."""
    return any(path.stat().st_mtime > since - 0.02 for path in run.glob(f"{stage}-????????/log.txt"))


def _told(point: Point) -> str:
    return f"{point.kind} in {point.stage}, {point.when}: exit code {point.code} after {point.seconds:.2f} s"


def rows(chaos: Chaos, asked: int, seed: int, seconds: float) -> list[dict[str, Any]]:
    """What was found, in the form of benchmarks/results.json; kinds and stages stand in `stages`."""
    tally, command = chaos.tally, COMMAND.format(points=asked)
    stopped = [point.seconds for point in tally.points if point.kind in ("SIGTERM", "Ctrl-C")]
    unclean = [point for point in tally.points if not point.clean]
    aimed = sum(point.when != AT_RANDOM for point in tally.points)
    rounded = sum(found.rounded for _, found, _ in tally.differences)
    facts = [
        ("chaos_points", len(tally.points), asked, "points", f"{tally.runs} runs killed and resumed until done, "
         f"seed {seed}, in {seconds:.0f} s; {aimed} points at "
         "dangerous moments, the others at random times"),
        *((f"chaos_{name}", sum(getattr(found, name) for _, found, _ in tally.differences), 0, "items", about)
          for name, about in ABOUT.items()),
        ("chaos_vanished", len(tally.vanished), 0, "files", "a record that was stored before a kill was gone after it"),
        ("chaos_rounded", rounded, None, "items", "equal but for the rounding of a score: its batch was another one"),
        ("chaos_unclean", len(unclean), 0, "points", "another exit code than documented, or a traceback of Ctrl-C, "
         "SIGTERM or a full disk"),
        ("chaos_stop", max(stopped, default=0.0), 10, "s", f"longest of {len(stopped)} stops by SIGTERM or Ctrl-C"),
        ("chaos_second_process", tally.refused, tally.asked, "refusals", "second processes on one run, refused with "
         "the holder's process id"),
    ]  # fmt: skip
    told = [_row(name, value, reach, unit, command, detail) for name, value, reach, unit, detail in facts]
    return [*told, *(_of_kind(kind, tally, command, chaos) for kind in sorted({p.kind for p in tally.points}))]


ABOUT = {
    "lost": "records of the unbroken run that a killed one lacks",
    "twice": "records that a killed run stored twice",
    "different": "records, curves, figures, weights or reports that differ from the unbroken run's",
}
MORE = ("chaos_points", "chaos_second_process")
"""What is reached from below."""


def _row(name: str, value: float, reach: float | None, unit: str, command: str, detail: str) -> dict[str, Any]:
    met = reach is None or (value >= reach if name in MORE else value <= reach)
    named = {"name": name, "value": value, "reach": reach, "reached": met}
    return {**named, "unit": unit, "command": command, "detail": detail}


def _of_kind(kind: str, tally: Tally, command: str, chaos: Chaos) -> dict[str, Any]:
    """The points of one kind, and by stage what came of the runs that it struck there."""
    points = Counter(point.stage for point in tally.points if point.kind == kind)
    stages = {
        stage: {"points": points[stage], **_losses(kind, stage, tally)} for stage in chaos.stages if points[stage]
    }
    row = _row(f"chaos {kind}", points.total(), None, "points", command, chaos.about(kind))
    return {**row, "stages": stages}


def _losses(kind: str, stage: str, tally: Tally) -> dict[str, int]:
    found = [difference for at, difference, kinds in tally.differences if at == stage and kind in kinds]
    return {name: sum(getattr(one, name) for one in found) for name in ABOUT}


def table(told: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The kinds by stages, as Markdown: points, and where there are any the items lost / twice / different."""
    kinds = [row for row in told if "stages" in row]
    struck = {stage for row in kinds for stage in row["stages"]}
    stages = [stage for stage in STAGES if stage in struck]
    yield f"| stage | {' | '.join(row['name'].removeprefix('chaos ') for row in kinds)} | lost | twice | different |"
    yield f"|---{'|---:' * (len(kinds) + 3)}|"
    for stage in stages:
        cells = [row["stages"].get(stage, {}) for row in kinds]
        points = [cell.get("points", 0) for cell in cells]
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


def run_workers(points: int, seed: int) -> list[dict[str, Any]]:
    """Kills so many actors of runs on Ray, and returns the row; none where Ray is not installed."""
    killed = []
    with tempfile.TemporaryDirectory() as home:
        for one in kill_workers(points, Path(home), RECIPE, seed):
            killed.append(one)
            print(f"{KIND} {len(killed)}: {one}", flush=True)
    return [of_workers(killed, f"python -m benchmarks.chaos --points 0 --workers {points}")] if killed else []


def run(points: int, seed: int) -> list[dict[str, Any]]:
    """Runs the harness in a folder of its own, and returns its rows."""
    if not points:
        return []
    warm_up()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as beside, small_disk(Path(beside) / "disk") as mounted:
        chaos = Chaos(Path(beside) / "disk", Path(beside), mounted, seed)
        print(f"the unbroken run takes {chaos.measure():.1f} s", flush=True)
        chaos.second_process(3)
        chaos.strike_until(points)
        return rows(chaos, points, seed, time.monotonic() - begun)


def main() -> int:
    """0 where nothing was lost, twice or different; 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="strikes that end a run")
    parser.add_argument("--workers", type=int, default=4, help="actors of a run on Ray that are killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=RESULTS)
    asked = parser.parse_args()
    found = [*run(asked.points, asked.seed), *run_workers(asked.workers, asked.seed)]
    merge_rows(asked.to, found)
    print("\n".join(table(json.loads(asked.to.read_text("utf-8")))))
    for row in found:
        print(f"{row['name']}: {row['value']:g} {row['unit']}; {row['detail']}")
    return 0 if all(row["reached"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
