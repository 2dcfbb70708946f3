"""Whether two runs left the same: records byte for byte, curves, figures and weights, apart from what tells time."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cai.checksums import contents
from cai.store import StepFolder

TIMED = re.compile(r"^(seconds.*|time|.*runtime|.*_per_second|generating_share|resumed_from|step_time|total_flos)$")
"""Fields that tell time, or where a training was taken up again."""

OF_THE_ATTEMPT = ("tokens", "prompt_tokens", "cached_tokens")
"""What DONE of a data stage counts of its last attempt alone."""

ROUNDING = 1e-4
"""Relative: scores of one answer in batches of other sizes differ by that much at the most, in float32."""


@dataclass(frozen=True)
class Difference:
    """Of one stage: items lost, stored twice or different; `rounded`: the same but for the last digits of a score."""

    lost: int = 0
    twice: int = 0
    different: int = 0
    rounded: int = 0
    told: tuple[str, ...] = ()


def steps(run: Path) -> dict[str, StepFolder]:
    """The step folders of a run, by stage."""
    return {path.name.rpartition("-")[0]: StepFolder(path) for path in sorted(run.glob("*-????????"))}


def lines(run: Path) -> dict[str, list[bytes]]:
    """The whole lines of each stage's items, and of its rounds', which are named as dpo/rounds/2."""
    files = {
        "/".join((stage, *path.relative_to(step.path).parts[:-1])): path
        for stage, step in steps(run).items()
        for path in (step.path / "items.jsonl", *step.path.glob("rounds/*/items.jsonl"))
    }
    return {name: whole(path.read_bytes()) for name, path in files.items() if path.is_file()}


def whole(data: bytes) -> list[bytes]:
    """Lines without a torn last one."""
    return data[: data.rfind(b"\n") + 1].splitlines()


def compare(broken: Path, unbroken: Path) -> dict[str, Difference]:
    """What a run that was killed and resumed differs in, by stage."""
    ours, theirs = steps(broken), steps(unbroken)
    return {stage: _of_stage(ours.get(stage), step) for stage, step in theirs.items()}


def _of_stage(ours: StepFolder | None, theirs: StepFolder) -> Difference:
    if ours is None or not ours.done:
        return Difference(lost=max(1, theirs.count()), told=("the stage is not there",))
    lost, twice, different, rounded = _of_records(ours.path / "items.jsonl", theirs.path / "items.jsonl")
    told = list(_beside(ours, theirs))
    return Difference(lost, twice, different + len(told), rounded, tuple(told))


def _of_records(ours: Path, theirs: Path) -> tuple[int, int, int, int]:
    if not theirs.is_file():
        return 0, 0, 0, 0
    one, other = whole(ours.read_bytes()), {_id(line): line for line in whole(theirs.read_bytes())}
    counts = Counter(map(_id, one))
    twice = sum(count - 1 for count in counts.values())
    unlike = [line for line in one if line != other.get(_id(line))]
    different = sum(
        _id(line) not in other or not _near(json.loads(line), json.loads(other[_id(line)])) for line in unlike
    )
    return len(other.keys() - counts.keys()), twice, different, len(unlike) - different


def _beside(ours: StepFolder, theirs: StepFolder) -> Iterator[str]:
    """What differs of curves, figures, the panel's answers, weights and reports."""
    for one, other in zip_longest(_untimed(ours.metrics()), _untimed(theirs.metrics()), fillvalue={}):
        if not _near(one, other):
            names = [name for name in one.keys() | other.keys() if not _near(one.get(name), other.get(name))]
            yield f"metrics.jsonl, step {other.get('step')}: {', '.join(sorted(names))}"
    if not _near(_figures(ours), _figures(theirs)):
        yield "the figures of DONE"
    names = {str(path.relative_to(step.path)) for step in (ours, theirs) for path in _kept(step.path)}
    for name in sorted(names):
        one, other = ours.path / name, theirs.path / name
        if not (one.is_file() and other.is_file()):
            yield f"{name} is on one side only"
        elif not _same(one, other):
            yield name


def _kept(folder: Path) -> Iterator[Path]:
    """Files that are compared: models, held-out figures, the panel, rounds, the report in words."""
    for pattern in ("model/*", "held_out.json", "panel.jsonl", "report.md", "rounds/**/*"):
        yield from (path for path in folder.glob(pattern) if path.is_file() and path.suffix != ".tmp")


def _same(one: Path, other: Path) -> bool:
    if one.suffix == ".md":
        return _timeless(one.read_text("utf-8")) == _timeless(other.read_text("utf-8"))
    if one.suffix == ".jsonl":
        return sorted(whole(one.read_bytes())) == sorted(whole(other.read_bytes()))
    if one.name == "DONE":
        return _near(*(_untimed(StepFolder(file.parent).summary) for file in (one, other)))
    if one.suffix == ".json" and one.parent.name != "model":
        return _near(json.loads(one.read_bytes()), json.loads(other.read_bytes()))
    return contents(one) == contents(other)


def _timeless(text: str) -> list[str]:
    """The lines of a report but those of its table of seconds and tokens, its date and its folder."""
    timed = re.compile(r"\| [a-z\\_]+ \| [\d.,]+ \| |.*\d{4}-\d\d-\d\d")
    return [line for line in text.splitlines() if not timed.match(line)]


def _figures(step: StepFolder) -> Any:
    told = _untimed(step.summary)
    return told if (step.path / "model").is_dir() else {k: v for k, v in told.items() if k not in OF_THE_ATTEMPT}


def _untimed(value: Any) -> Any:
    if isinstance(value, list):
        return [_untimed(one) for one in value]
    if isinstance(value, dict):
        return {key: _counted(key, _untimed(one)) for key, one in value.items() if not TIMED.match(key)}
    return value


def _counted(key: str, value: Any) -> Any:
    """What a round of DPO asked is counted of its last attempt alone, too."""
    return {name: one for name, one in value.items() if name not in OF_THE_ATTEMPT} if key == "asked" else value


def _near(one: Any, other: Any) -> bool:
    """Whether two values are the same but for the rounding of numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING / 10)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_near, one, other))
    return one == other


def _id(line: bytes) -> str:
    return json.loads(line)["id"]
