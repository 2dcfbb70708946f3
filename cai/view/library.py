"""The runs that are shown: found by name below one folder, and nothing outside of it is ever opened."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.errors import CaiError, StoreError
from cai.store import RunFolder, StepFolder, read_json
from cai.view.entries import Listing, listing
from cai.view.index import Reached, StepIndex
from cai.view.lookup import Lookup


class Missing(Exception):
    """What an address names is not there; the message says what."""


@dataclass(frozen=True)
class Records:
    """The records of one stage: its folder, how they are listed, and the index over them."""

    stage: str
    folder: StepFolder
    listing: Listing
    index: StepIndex
    scores: StepIndex | None = None

    @property
    def lookup(self) -> Lookup:
        """What can be asked of the index."""
        return Lookup(self.index, self.scores)

    def refresh(self, wait: float = 0.25) -> Reached:
        """Reads what was appended; how far that came."""
        if self.scores:
            self.scores.refresh(wait)
        return self.index.refresh(wait)

    def at(self, key: str) -> list[Any]:
        """The records of an entry. Raises Missing where there is none."""
        found = [self.listing.read(line) for line in self.lines(key)]
        if not found:
            raise Missing(f"nothing named {key!r} in stage {self.stage}")
        return found

    def lines(self, key: str) -> Iterator[bytes]:
        """The lines of an entry as they are stored."""
        places = self.lookup.places(key)
        if not places:
            return
        with self.index.records.open("rb") as file:
            for place in places:
                file.seek(place)
                yield file.readline()


class Run:
    """One run as the viewer sees it."""

    def __init__(self, root: Path, name: str, cache: Path) -> None:
        self.name, self._root, self._cache = name, root, cache
        self.folder = RunFolder(root, name)
        self._open: dict[str, Records] = {}
        self._turn = threading.RLock()
        self._reading: threading.Thread | None = None

    @property
    def steps(self) -> dict[str, StepFolder]:
        """The steps of the run, those aside that lie outside of the runs folder."""
        return {stage: step for stage, step in self._told.items() if inside(step.path, self._root)}

    @property
    def outside(self) -> list[str]:
        """The stages that are not shown, since their folders lie elsewhere."""
        return [stage for stage, step in self._told.items() if not inside(step.path, self._root)]

    @property
    def _told(self) -> dict[str, StepFolder]:
        """The steps that run.json names, wherever they lie."""
        steps = read_json(self.folder.path / "run.json").get("steps")
        told = steps if isinstance(steps, dict) else {}
        return {stage: StepFolder(self._root / str(place)) for stage, place in told.items()}

    def step(self, stage: str) -> StepFolder:
        """The step of a stage. Raises Missing."""
        steps = self.steps
        if stage not in steps:
            raise Missing(f"run {self.name} has no stage {stage!r}")
        return steps[stage]

    @property
    def listed(self) -> list[str]:
        """The stages that have records."""
        found = {stage: step.path / "items.jsonl" for stage, step in self.steps.items()}
        return [stage for stage, path in found.items() if path.is_file() and inside(path, self._root)]

    def records(self, stage: str) -> Records:
        """The records of a stage. Raises Missing where it has none."""
        step = self.step(stage)
        if not inside(step.path / "items.jsonl", self._root):
            raise Missing(f"the records of stage {stage!r} lie outside of the runs folder")
        with self._turn:
            known = self._open.get(stage)
            if known is None or known.folder.path != step.path:
                known = self._open[stage] = self._opened(stage, step)
        return known

    def _opened(self, stage: str, step: StepFolder) -> Records:
        told = listing(stage)
        scored = stage in ("revise", "ablate") and "score_rounds" in self.steps
        scores = self.records("score_rounds").index if scored else None
        return Records(stage, step, told, StepIndex(step.path, told, self._cache), scores)

    def read_all(self) -> None:
        """Indexes all stages in the background, one after the other."""
        with self._turn:
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._read_all, daemon=True, name=f"index {self.name}")
                self._reading.start()

    def _read_all(self) -> None:
        with suppress(Missing, CaiError, OSError):  # a run that changes meanwhile: the next page says what is wrong
            for stage in self.listed:
                self.records(stage).index.read_all()

    @property
    def running(self) -> int | None:
        """The process that works on this run at the moment."""
        holder = self.folder.path / "lock.json"
        try:
            pid = int(read_json(holder)["pid"]) if holder.is_file() else None
        except (StoreError, KeyError, TypeError, ValueError):
            return None
        return pid if pid and _alive(pid) else None

    @property
    def changed(self) -> float:
        """When the run was last written to, seconds since 1970."""
        found = [path.stat().st_mtime for step in self.steps.values() for path in step.path.glob("*") if path.is_file()]
        return max(found, default=(self.folder.path / "run.json").stat().st_mtime)


class Library:
    """All runs below a folder."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self._cache = root, cache
        self._runs: dict[str, Run] = {}

    @property
    def names(self) -> list[str]:
        """The runs there are, links to elsewhere left out."""
        found = (path.parent for path in self.root.glob("*/run.json") if inside(path, self.root))
        return sorted(path.name for path in found)

    def run(self, name: str) -> Run:
        """A run by name. Raises Missing where there is none."""
        if name not in self.names:
            raise Missing(f"no run {name!r} in {self.root}")
        return self._runs.setdefault(name, Run(self.root, name, self._cache))


def inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, lies below a folder."""
    return path.resolve().is_relative_to(root.resolve())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def pretty(line: bytes) -> str:
    """A stored record as indented JSON; as it stands where it is none."""
    text = line.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text
