"""What people say of comparisons: blind labels, kept beside a run, and how far they agree, with the judge too.

runs/<run>/labels/<labeller>.jsonl   one label a line, as they came; of one comparison the last counts
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from cai.agreement import Agreement, cohens_kappa, fleiss_kappa
from cai.errors import InputError
from cai.identity import seed_of
from cai.records import Record, Seating
from cai.store import RunFolder, StepFolder

Choice = Literal["a", "b", "tie", "skip"]
"""Which answer is better; `tie`: neither is, `skip`: the labeller won't say."""

Labelled = Mapping[str, "HumanLabel"]
"""What one labeller says, by comparison."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,59}")


class HumanLabel(Record):
    """What one person says of one comparison. `id` is "<comparison>/<labeller>".

    `first` is the answer that was shown first, `seconds` how long it took; None where that is not known.
    """

    id: str
    comparison: str
    labeller: str
    choice: Choice
    first: Seating | None = None
    note: str = ""
    seconds: float | None = None

    @classmethod
    def of(cls, comparison: str, labeller: str, choice: Choice, **more: object) -> HumanLabel:
        """Named by whom and what it is about. Raises InputError where the labeller's name is none."""
        fields = {"comparison": comparison, "labeller": checked_name(labeller), "choice": choice, **more}
        return cls.model_validate({"id": f"{comparison}/{labeller}", **fields})

    @property
    def p_a(self) -> float | None:
        """P(a is better) as this label has it; None where it says nothing."""
        return {"a": 1.0, "b": 0.0, "tie": 0.5, "skip": None}[self.choice]


@dataclass(frozen=True)
class Voice:
    """One labeller beside the judge. `seconds`: the mean of those labels whose time is known."""

    labeller: str
    choices: Mapping[str, int]
    judge: Agreement
    seconds: float | None


@dataclass(frozen=True)
class Agreements:
    """How far people agree with the judge and each other; `all` is of three labellers or more."""

    voices: tuple[Voice, ...]
    pairs: tuple[tuple[str, str, Agreement], ...]
    all: Agreement | None


def checked_name(labeller: str) -> str:
    """A labeller's name, which is a file's too. Raises InputError."""
    if not _NAME.fullmatch(labeller):
        raise InputError(
            f"no name of a labeller: {labeller[:80]!r}; expected up to 60 letters, digits, '.', '-', '_' and '@', a "
            "letter or digit first"
        )
    return labeller


def add(run: RunFolder, labels: Iterable[HumanLabel]) -> int:
    """Appends labels, those aside that say what is stored already. Returns how many were new."""
    known, count = labels_of(run), 0
    for label in labels:
        if (before := known.get(label.labeller, {}).get(label.comparison)) and _same(before, label):
            continue
        with closing(_folder(run)) as folder:
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.append(label, f"{checked_name(label.labeller)}.jsonl")
        count += 1
    return count


def labels_of(run: RunFolder) -> dict[str, dict[str, HumanLabel]]:
    """All labels of a run by labeller and comparison. Raises StoreError with file and line on a bad one."""
    folder = _folder(run)
    names = sorted(path.stem for path in folder.path.glob("*.jsonl") if _NAME.fullmatch(path.stem))
    return {name: {one.comparison: one for one in folder.records(HumanLabel, f"{name}.jsonl")} for name in names}


def draw(comparison: str) -> int:
    """The place of a comparison in the sample: all labellers, on all machines, are given the same ones."""
    return seed_of(0, "human check", comparison)


def in_turn(comparisons: Sequence[str], labeller: str) -> list[str]:
    """The sample in the order in which this labeller sees it."""
    return sorted(comparisons, key=lambda one: seed_of(0, "human check", one, labeller))


def seated_first(comparison: str, labeller: str) -> Seating:
    """The answer that this labeller sees first."""
    return "a" if seed_of(0, "human check seat", comparison, labeller) % 2 else "b"


def agreements(labels: Mapping[str, Labelled], judge: Mapping[str, float | None], resamples: int = 1000) -> Agreements:
    """Of each labeller with the judge, of each two, and of all. `judge`: its P(a is better) by comparison."""
    voices = tuple(_voice(name, labels[name], judge, resamples) for name in sorted(labels) if labels[name])
    named = [voice.labeller for voice in voices]
    pairs = tuple(
        (one, other, _between(labels[one], labels[other], resamples)) for one, other in combinations(named, 2)
    )
    return Agreements(voices, pairs, _among([labels[name] for name in named], resamples) if len(named) > 2 else None)


def _voice(name: str, said: Labelled, judge: Mapping[str, float | None], resamples: int) -> Voice:
    about = sorted(said)
    with_judge = cohens_kappa([said[one].p_a for one in about], [judge.get(one) for one in about], resamples=resamples)
    times = [label.seconds for label in said.values() if label.seconds is not None]
    choices = Counter(label.choice for label in said.values())
    return Voice(name, choices, with_judge, sum(times) / len(times) if times else None)


def _between(one: Labelled, other: Labelled, resamples: int) -> Agreement:
    both = sorted(one.keys() & other.keys())
    return cohens_kappa([one[name].p_a for name in both], [other[name].p_a for name in both], resamples=resamples)


def _among(labelled: Sequence[Labelled], resamples: int) -> Agreement:
    about = sorted({name for said in labelled for name in said})
    votes = [[said[name].p_a for said in labelled if name in said] for name in about]
    return fleiss_kappa([[p for p in some if p is not None] for some in votes], resamples=resamples)


def _same(before: HumanLabel, label: HumanLabel) -> bool:
    return (before.choice, before.note) == (label.choice, label.note)


def _folder(run: RunFolder) -> StepFolder:
    return StepFolder(run.path / "labels")
