"""Whether a run on disk is what it says it is: every digest, count, checksum, parent and record."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.checksums import Told, changes, seal
from cai.errors import StoreError
from cai.identity import digest
from cai.records import (
    Answer,
    Classified,
    Comparison,
    Distilled,
    Ghost,
    Harm,
    Match,
    Measurement,
    OverRefusal,
    PanelAnswer,
    Record,
    Revision,
    RoundScore,
)
from cai.store import RunFolder, StepFolder, read_json
from cai.trials.choosing import Choice

KINDS: dict[str, type[Record]] = {
    "respond": Answer,
    "revise": Revision,
    "ablate": Revision,
    "distill": Distilled,
    "ghost": Ghost,
    "compare": Comparison,
    "score_rounds": RoundScore,
    "evaluate": Measurement,
    "guests": Measurement,
    "win_rates": Match,
    "harmfulness": Harm,
    "refusals": Classified,
    "over_refusal": OverRefusal,
    "hhh": Choice,
}
"""What each stage leaves in items.jsonl."""


def _of_models(match: Any) -> list[str]:
    return [f"{model}/{match.prompt.id}" for model in match.models]


def _own(record: Any) -> list[str]:
    return [record.id]


MADE_FROM: dict[str, tuple[tuple[str, ...], Callable[[Any], Sequence[str]]]] = {
    "score_rounds": (("revise", "ablate"), _own),
    "harmfulness": (("evaluate", "guests"), _own),
    "win_rates": (("evaluate", "guests"), _of_models),
}
"""The stages whose every record names items of its parents: those parents, and the ids that a record names."""


OF_PROMPTS = ("respond", "revise", "ablate", "distill", "compare", "win_rates")
"""The stages whose items are prompts; each record of the others is an item of its own."""

MAY_LEAVE_NONE = ("ablate", "compare", "win_rates")
"""The stages that may leave no record of an item: of a chain that has ended, or where there is nothing to compare."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found. `place` is a file or folder, with a line where one is meant; not all is `damage`."""

    place: str
    message: str
    damage: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Verified:
    """What became of one run: how many steps and files were held against their marks, records read, and findings."""

    run: str
    steps: int
    files: int
    records: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not any(finding.damage for finding in self.findings)


def verify(runs: Path, run: str) -> Verified:
    """Holds a run against itself, reading every file of its steps once, line by line.

    An unfinished stage, items that failed, and a step that has no checksums are findings and no damage. Raises
    StoreError where there is no such run, or where its run.json can't be read.
    """
    folder = RunFolder(runs, run)
    steps, done = folder.steps, _done(folder)
    checks = [_Step(stage, step, steps, stage in done) for stage, step in steps.items()]
    findings = [finding for check in checks for finding in check.findings()]
    files = sum(check.files for check in checks)
    return Verified(run, len(checks), files, sum(check.count for check in checks), tuple(findings))


def _done(folder: RunFolder) -> list[Any]:
    """The stages that run.json says were done; none where an earlier version of cai wrote it."""
    done = read_json(folder.path / "run.json").get("done")
    return done if isinstance(done, list) else []


class _Step:
    """One step being checked; `files` of it were held against DONE, `count` records were read.

    `was_done`: whether run.json says that it was done.
    """

    def __init__(self, stage: str, step: StepFolder, steps: dict[str, StepFolder], was_done: bool) -> None:
        self.stage, self.step, self.files, self.count = stage, step, 0, 0
        self._steps, self._path, self._was_done = steps, step.path, was_done
        self._items: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """All that there is to say."""
        if not self._path.is_dir():
            yield self._gone()
            return
        try:
            spec, done, told = self.step.spec, self.step.summary, self.step.files
        except StoreError as error:
            yield Finding(str(self._path), str(error).removeprefix(f"{self._path}/"))
            return
        self.files = len(told or ())
        yield from self._of_spec(spec)
        yield from self._of_done()
        yield from self._of_files(told)
        yield from self._of_records()
        yield from self._of_rows("metrics.jsonl")
        yield from self._of_failures(done)
        yield from self._of_counts(done)

    def _gone(self) -> Finding:
        """What is said where there is no folder: run.json or what was made from it tells whether there was one."""
        child = next((step for step in self._steps.values() if self.stage in _parents_of(step)), None)
        if not (self._was_done or child):
            return self._note("not begun")
        witness = "run.json says that it was done" if self._was_done or not child else f"{child.path.name} needs it"
        return self._bad(f"is missing; {witness}: put it back, or run the recipe again")

    def _of_spec(self, spec: dict[str, Any]) -> Iterator[Finding]:
        """The digest is that of what the spec holds, the folder is named after it, and the parents are there."""
        place = self._path / "spec.json"
        if not spec:
            yield self._note("not begun") if not self.step.done else self._bad("is missing", place)
            return
        parents = spec.get("parents", {})
        found = digest([spec.get("stage"), _numbered(spec.get("identity")), parents])
        if found != spec.get("digest"):
            told = str(spec.get("digest"))[:8]
            yield self._bad(f"its contents have the digest {found[:8]}, and it says {told}: they were edited", place)
        if self._path.name != (wanted := f"{self.stage}-{str(spec.get('digest'))[:8]}"):
            yield self._bad(f"is the folder {self._path.name}; by its digest expected {wanted}", place)
        for parent, name in parents.items():
            yield from self._of_parent(parent, name)

    def _of_parent(self, parent: str, name: str) -> Iterator[Finding]:
        step = self._steps.get(parent)
        if step is None or not step.path.is_dir():
            yield self._bad(f"its parent {parent}-{name[:8]} is missing")
        elif not step.done:
            yield self._bad(f"its parent {step.path.name} is not done", damage=self.step.done)
        elif (step.path / "spec.json").is_file() and (other := _digest_of(step)) != name:
            yield self._bad(f"was made from {parent}-{name[:8]}, and the run has {parent}-{other[:8]}")

    def _of_done(self) -> Iterator[Finding]:
        """DONE is there if it was, and is as it was written; an earlier version of cai left no checksum in it."""
        place = self._path / "DONE"
        if not self.step.done:
            if self._was_done:
                yield self._bad("is missing; run.json says that the stage was done", place)
            return
        done = read_json(place)
        if "checksum" in done and (found := seal(done)) != done["checksum"]:
            told = str(done["checksum"])[:16]
            yield self._bad(f"its contents have the SHA-256 {found[:16]}, expected {told}: it was edited", place)

    def _of_files(self, told: Told | None) -> Iterator[Finding]:
        """Size and SHA-256 of every file that DONE names, and that there are no others."""
        if not self.step.done:
            yield self._note("not done; run the recipe again to go on")
        elif told is None:
            yield self._note("done by an earlier version of cai, which left no checksums")
        else:
            for change in changes(self._path, told):
                place, _, message = change.partition(": ")
                yield Finding(place, message)

    def _of_records(self) -> Iterator[Finding]:
        kind = KINDS.get(self.stage)
        if kind:
            yield from self._of_items(kind, "items.jsonl")
        if (self._path / "panel.jsonl").is_file():
            yield from self._of_items(PanelAnswer, "panel.jsonl")

    def _of_items(self, kind: type[Record], file: str) -> Iterator[Finding]:
        """Each line is a record, none comes twice, and all that they are made from is there."""
        seen: dict[str, int] = {}
        parents, named = MADE_FROM.get(self.stage, ((), _own))
        known = set(self._ids(parents))
        torn = False
        for number, line in self._lines(file):
            torn = not line.endswith(b"\n")
            if torn:
                break
            place = f"{self._path / file}:{number}"
            try:
                record: Any = kind.model_validate_json(line)
            except ValueError:
                yield Finding(place, f"not a {kind.__name__} record")
                continue
            self.count += 1
            self._items.add(record.prompt.id if self.stage in OF_PROMPTS else record.id)
            if (first := seen.setdefault(record.id, number)) != number:
                yield Finding(place, f"has the id {record.id} of line {first} again")
            for one in named(record) if parents else ():
                if one not in known:
                    yield Finding(place, f"is made from {one}, which {' and '.join(parents)} lack")
        if torn:
            yield self._bad("its last line is torn", self._path / file, damage=self.step.done)

    def _ids(self, stages: Iterable[str]) -> Iterator[str]:
        """The ids of the records of parents; lines that are no records are told where they stand."""
        for stage in stages:
            if stage not in self._steps:
                continue
            for _, line in _lines(self._steps[stage].path / "items.jsonl"):
                try:
                    yield str(json.loads(line)["id"])
                except (ValueError, KeyError, TypeError):
                    continue

    def _of_rows(self, file: str, fields: Sequence[str] = ()) -> Iterator[Finding]:
        """Each line is a JSON object with these fields."""
        for number, line in self._lines(file):
            if not line.endswith(b"\n"):
                yield self._bad("its last line is torn", self._path / file, damage=self.step.done)
            elif not _holds(line, fields):
                yield Finding(f"{self._path / file}:{number}", f"not a JSON object{_with(fields)}")

    def _of_failures(self, done: dict[str, Any]) -> Iterator[Finding]:
        yield from self._of_rows("failures.jsonl", ("id", "error"))
        count = sum(1 for _ in self._lines("failures.jsonl"))
        if self.step.done and "failed" in done and done["failed"] != count:
            yield self._bad(f"has {count} lines; DONE counts {done['failed']}", self._path / "failures.jsonl")
        elif count:
            yield self._note(f"{count} items failed", self._path / "failures.jsonl")

    def _of_counts(self, done: dict[str, Any]) -> Iterator[Finding]:
        """There are records of as many items as DONE counts, but for those that failed."""
        items, found = done.get("items"), len(self._items)
        failed = done.get("failed", items)
        if self.stage not in KINDS or not (isinstance(items, int) and isinstance(failed, int)):
            return
        least = 0 if self.stage in MAY_LEAVE_NONE else items - failed
        if not least <= found <= items:
            counts = f"DONE counts {items}, of which {failed} failed"
            yield self._bad(f"has records of {found} items; {counts}", self._path / "items.jsonl")

    def _lines(self, file: str) -> Iterator[tuple[int, bytes]]:
        return _lines(self._path / file)

    def _bad(self, message: str, place: Path | None = None, damage: bool = True) -> Finding:
        return Finding(str(place or self._path), message, damage)

    def _note(self, message: str, place: Path | None = None) -> Finding:
        return self._bad(message, place, damage=False)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """A file's lines from 1; none where there is no file."""
    if path.is_file():
        with path.open("rb") as file:
            yield from enumerate(file, 1)


def _numbered(value: Any) -> Any:
    """Keys that were numbers before they became JSON: they are sorted as numbers in a digest."""
    if isinstance(value, list):
        return [_numbered(one) for one in value]
    if not isinstance(value, dict):
        return value
    numbers = bool(value) and all(key.isdecimal() for key in value)
    return {int(key) if numbers else key: _numbered(one) for key, one in value.items()}


def _with(fields: Sequence[str]) -> str:
    return f" with {' and '.join(fields)}" if fields else ""


def _holds(line: bytes, fields: Sequence[str]) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and all(field in row for field in fields)


def _parents_of(step: StepFolder) -> Container[str]:
    """The stages that a step was made from; none where it can't be read, which is told of that step."""
    try:
        parents = step.spec.get("parents")
    except StoreError:
        return ()
    return parents if isinstance(parents, dict) else ()


def _digest_of(step: StepFolder) -> str:
    """The digest that a step's spec names; "" where it can't be read, which is told of that step."""
    try:
        return str(read_json(step.path / "spec.json").get("digest"))
    except StoreError:
        return ""
