"""Kills `cai run` at random points, resumes it, and compares what it leaves with an unbroken run.

A run of every stage is struck again and again until it is done; then it is compared, and the next one begins. Most
strikes fall at a time drawn uniformly over what the unbroken run took for a stage: one of the next two, that which
was struck least, so that none is passed over. Others, beside these, fall right before an operation on a file that is
dangerous to interrupt. `python -m benchmarks.chaos --points 200` writes benchmarks/chaos.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.__main__ import merge_rows
from benchmarks.chaos_child import Aim, Child, start, warm_up
from benchmarks.chaos_compare import compare, lines, steps
from benchmarks.chaos_draw import Choice, Draw
from benchmarks.chaos_rows import AT_RANDOM, END, Point, Tally, of_workers, rows, table
from benchmarks.chaos_strikes import Strike, relieve, small_disk, strikes
from benchmarks.chaos_workers import KIND, kill_workers
from cai.plan import STAGES

RECIPE = Path(__file__).with_name("chaos.yaml")
RESULTS = Path(__file__).with_name("chaos.json")
COMMAND, MODULE = "make chaos POINTS={points}", "python -m benchmarks.chaos"

SEED = 0
"""That of `make chaos`."""

LONGEST = 300.0
"""Seconds after which a run that nothing strikes is taken to hang."""


class Chaos:
    """The harness. `home` is on the disk that may be filled; `beside` is not."""

    def __init__(self, home: Path, beside: Path, mounted: bool, seed: int) -> None:
        self._home, self._beside, self._draw = home, beside, Draw(seed)
        self._strikes = strikes(home, mounted)
        self._seconds: dict[str, float] = {}  # by stage; "": until the first one begins
        self._ends: dict[str, float] = {}
        self._settings = ["distill=null"]
        self.tally = Tally()

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
        """Runs the recipe unbroken, twice: the first run fills caches. Returns the second one's seconds.

        Before that a run leaves the preference model that stage `distill` scores by.
        """
        self._whole("earlier", "--until", "preference_model")
        (scorer,) = (self._beside / "earlier" / "chaos").glob("preference_model-????????/model")
        self._settings = [f"distill.preference_model={scorer}"]
        for name in ("first", "unbroken"):
            self._timed(name)
        if missing := STAGES.keys() - self._ends.keys():
            raise RuntimeError(f"the recipe has no stage {', '.join(sorted(missing))}; it must have all of cai.plan")
        twin = compare(self._beside / "first" / "chaos", self.unbroken)
        if unlike := {stage: found for stage, found in twin.items() if found.told or found.different}:
            raise RuntimeError(f"two unbroken runs differ already: {unlike}")
        return max(self._ends.values())

    def _timed(self, name: str) -> None:
        """Runs the recipe unbroken; of several such runs each stage's shortest time counts."""
        begun = time.time()
        self._whole(name)
        folders = steps(self._beside / name / "chaos").items()
        begins, self._ends = (
            {stage: (step.path / file).stat().st_mtime - begun for stage, step in folders}
            for file in ("spec.json", "DONE")
        )
        took = {"": min(begins.values()), **{stage: self._ends[stage] - begins[stage] for stage in begins}}
        self._seconds = {stage: min(seconds, self._seconds.get(stage, seconds)) for stage, seconds in took.items()}

    def _whole(self, name: str, *options: str) -> None:
        code = self._start(self._beside / name, options=options).ended(LONGEST)
        if code != 0:
            raise RuntimeError(f"the unbroken run ended with {code}:\n{self._log.read_text()}")

    def strike_until(self, points: int) -> None:
        """Strikes run after run until there are so many points at random times; the last run is finished too."""
        for number in count(1):
            self._one_run(self._home / f"run{number}", points)
            if len(self.tally.at_random) >= points:
                return

    def _one_run(self, root: Path, points: int) -> None:
        struck: list[Point] = []
        kept: dict[str, list[bytes]] = {}
        while waiting := self._waiting(root / "chaos"):
            tired = len(waiting) == 1 and self._draw.enough(waiting[0], len(self.stages))
            last = len(self.tally.at_random) >= points or tired
            point = None if last else self._strike(root, waiting)
            if last and self._start(root).ended(LONGEST) != 0:
                raise RuntimeError(f"a run that nothing struck did not end well:\n{self._log.read_text()}")
            if point:
                struck.append(point)
                self._counted(point)
            kept = self._still_there(root / "chaos", kept)
        self._compared(root / "chaos", struck)
        shutil.rmtree(root)

    def _counted(self, point: Point) -> None:
        self.tally.points.append(point)
        if point.at_random:
            self._draw.count(point.stage, point.kind.partition(", then")[0])
        print(f"{len(self.tally.at_random)} + {len(self.tally.points) - len(self.tally.at_random)}: {_told(point)}",
              flush=True)  # fmt: skip

    def _compared(self, run: Path, struck: Sequence[Point]) -> None:
        self.tally.runs += 1
        if start(["verify", run.name, "--runs", str(run.parent)], self._log).ended(LONGEST) != 0:
            self.tally.damaged += 1
            print(f"cai verify: {self._log.read_text()}", flush=True)
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

    def _strike(self, root: Path, waiting: Sequence[str]) -> Point | None:
        """Begins or resumes a run and strikes it once. None where it was done before."""
        choice = self._draw.next(waiting)
        try:
            return self._struck(root, choice, choice.at * self._seconds[choice.stage])
        finally:
            relieve(self._home)

    def _struck(self, root: Path, choice: Choice, late: float) -> Point | None:
        mark, strike = self._beside / "struck", self._strikes[choice.kind]
        mark.unlink(missing_ok=True)

        def at_the_moment() -> None:
            mark.touch()
            strike.do(os.getpid())

        aim = choice.aim and choice.aim.within(choice.stage)
        begun, child = time.time(), self._start(root, aim, at_the_moment)
        if aim is None:
            code = None
            while choice.stage and code is None and not _at_work(root / "chaos", choice.stage, begun):
                code = child.ended(0.01)
            code = child.ended(late) if code is None else code
            if code is not None:
                return self._unstruck(code)
            mark.touch()
            strike.do(child.pid)
        elif not self._met(child, mark, root / "chaos", choice.stage):
            return None
        return self._outcome(child, strike, root / "chaos", choice.aim, mark)

    def _met(self, child: Child, mark: Path, run: Path, stage: str) -> bool:
        """Whether the moment came that a strike waits for; a run that has gone past its stage is ended, uncounted."""
        after = self.stages[self.stages.index(stage) + 1 :]
        end = time.monotonic() + LONGEST
        while not mark.exists() and child.ended(0.02) is None and time.monotonic() < end:
            if not mark.exists() and any(list(run.glob(f"{later}-????????/spec.json")) for later in after):
                self._strikes["SIGKILL"].do(child.pid)
                child.ended(10)
                return mark.exists()
        if child.code is not None and not mark.exists():
            self._unstruck(child.code)
        return mark.exists()

    def _outcome(self, child: Child, strike: Strike, run: Path, aim: Aim | None, mark: Path) -> Point | None:
        code, kind = child.ended(strike.patience), strike.name
        seconds = time.time() - mark.stat().st_mtime
        if code is None:
            self._strikes["SIGKILL"].do(child.pid)
            child.ended(10)
            kind, code = f"{kind}, then SIGKILL", -9
        if code == 0:
            return None
        clean = code in strike.codes and (strike.name == "out of memory" or "Traceback" not in child.said())
        if not clean:
            print(f"not clean ({strike.name}, {code}):\n{child.said()[-3000:]}", flush=True)
        stage = next(iter(self._waiting(run)), END)
        return Point(kind, stage, aim.about if aim else AT_RANDOM, code, seconds, clean)

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

    def _waiting(self, run: Path) -> list[str]:
        """The stages that are not done."""
        return [stage for stage in self.stages if not list(run.glob(f"{stage}-????????/DONE"))]

    @property
    def _log(self) -> Path:
        return self._beside / "child.log"

    def _start(
        self,
        root: Path,
        aim: Aim | None = None,
        strike: Any = None,
        log: str = "child.log",
        options: Sequence[str] = (),
    ) -> Child:
        command = ["run", str(RECIPE), *self._settings, "--runs", str(root), *options]
        return start(command, self._beside / log, aim, strike)


def _at_work(run: Path, stage: str, since: float) -> bool:
    """Whether a stage has been begun or taken up again, which its log says."""
    return any(path.stat().st_mtime > since - 0.02 for path in run.glob(f"{stage}-????????/log.txt"))


def _told(point: Point) -> str:
    return f"{point.kind} in {point.stage}, {point.when}: exit code {point.code} after {point.seconds:.2f} s"


def run_workers(points: int, seed: int) -> list[dict[str, Any]]:
    """Kills so many actors of runs on Ray, and returns the row; none where Ray is not installed."""
    killed = []
    with tempfile.TemporaryDirectory() as home:
        for one in kill_workers(points, Path(home), RECIPE, seed):
            killed.append(one)
            print(f"{KIND} {len(killed)}: {one}", flush=True)
    return [of_workers(killed, f"{MODULE} --points 0 --workers {points}")] if killed else []


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
        detail = f"seed {seed}, in {time.monotonic() - begun:.0f} s"
        command = COMMAND.format(points=points) if seed == SEED else f"{MODULE} --points {points} --seed {seed}"
        return rows(chaos.tally, chaos.about, points, command, detail)


def merge(file: Path, found: Sequence[dict[str, Any]], points: int) -> None:
    """Rows found now take the place of earlier ones; those of kinds that no longer came go."""
    earlier = json.loads(file.read_text("utf-8")) if points and file.is_file() else []
    workers = [row for row in earlier if row["name"] == f"chaos {KIND}"]
    if points:
        file.write_text("[]", encoding="utf-8")
    merge_rows(file, [*found, *(workers if not any(row["name"] == f"chaos {KIND}" for row in found) else ())])


def main() -> int:
    """0 where nothing was lost, twice or different; 1 otherwise."""
    parser = argparse.ArgumentParser(prog=MODULE, description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="strikes at random times that end a run; others beside")
    parser.add_argument("--workers", type=int, default=4, help="actors of a run on Ray that are killed")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--to", type=Path, default=RESULTS)
    asked = parser.parse_args()
    found = [*run(asked.points, asked.seed), *run_workers(asked.workers, asked.seed)]
    merge(asked.to, found, asked.points)
    print("\n".join(table(json.loads(asked.to.read_text("utf-8")))))
    for row in found:
        print(f"{row['name']}: {row['value']:g} {row['unit']}; {row['detail']}")
    return 0 if all(row["reached"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
