"""What a run holds that can be exported: its finished stages, and the rows that they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cai.config import Recipe, stored_recipe
from cai.errors import InputError
from cai.export import rows
from cai.export.outline import outlines
from cai.export.tables import CHAINS, PREFERENCES, PROMPTS, SL, Table
from cai.records import Answer, Comparison, Distilled, Ghost, Measurement, Record, Revision
from cai.selection import Row, select
from cai.store import RunFolder, StepFolder

Item = TypeVar("Item", bound=Record)
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One split of a table."""

    table: Table
    split: str
    rows: Callable[[], Rows]


@dataclass(frozen=True)
class Source:
    """A run: its recipe, its finished stages, and those that are not finished.

    A stage is exported once it is done. Before that it holds what happened to end first, short answers above all, and
    changes under the reader.
    """

    name: str
    recipe: Recipe
    done: Mapping[str, StepFolder]
    waiting: tuple[str, ...]

    def records(self, stage: str, kind: type[Item]) -> Iterator[Item]:
        """The records of a stage; none where it is not done."""
        return self.done[stage].records(kind) if stage in self.done else iter(())

    def missing(self, table: Table) -> tuple[str, ...]:
        """The stages that must be done before a table can be written."""
        return tuple(stage for stage in table.needs if stage in self.waiting)

    def parts(self) -> list[Part]:
        """Every split that the finished stages allow."""
        found = [
            Part(SL, "train", self._learned),
            Part(CHAINS, "train", self._audited),
            Part(PREFERENCES, "train", lambda: self._preferred(parsed=True)),
            Part(PREFERENCES, "not_parsed", lambda: self._preferred(parsed=False)),
            Part(PROMPTS, "train", lambda: _asked(self._written())),
            Part(PROMPTS, "held_out", lambda: _asked(self.records("evaluate", Measurement))),
        ]
        return [part for part in found if not self.missing(part.table)]

    def _learned(self) -> Rows:
        revisions = outlines(filter(_is_revised, self.records("revise", Revision)))
        answers = [*outlines(self.records("respond", Answer)), *outlines(self.records("ghost", Ghost))]
        distilled = outlines(self.records("distill", Distilled))
        chosen = select(revisions, answers, distilled, self.recipe.select, self.recipe.seed)
        copies = Counter((type(row), row.id) for row in chosen.rows)
        return (rows.learned(row, copies[type(row), row.id]) for row in self._written() if _is_revised(row))

    def _written(self) -> Iterator[Row]:
        """What the stages before training wrote, first answers among it."""
        yield from self.records("revise", Revision)
        yield from self.records("respond", Answer)
        yield from self.records("distill", Distilled)
        yield from self.records("ghost", Ghost)

    def _audited(self) -> Rows:
        return (rows.audited(one) for stage in CHAINS.needs for one in self.records(stage, Revision))

    def _preferred(self, parsed: bool) -> Rows:
        found = self.records("compare", Comparison)
        return (rows.preferred(one) for one in found if (one.verdict.p_a is not None) == parsed)


def open_source(run: RunFolder) -> Source:
    """What a run holds now.

    Raises StoreError where there is no such run, or another version wrote it; InputError where no stage is done.
    """
    recipe = stored_recipe(run.recipe, run.name)
    steps = run.steps
    done = {stage: step for stage, step in steps.items() if step.done}
    if not done:
        raise InputError(f"run {run.name!r} has no finished stage, so there is nothing to export; run its recipe first")
    return Source(run.name, recipe, done, tuple(stage for stage in steps if stage not in done))


def _is_revised(row: Row) -> bool:
    """Whether a row is no first answer and of no ablation."""
    return not isinstance(row, Revision) or (row.round > 0 and not row.variant)


def _asked(records: Iterable[Row | Measurement]) -> Rows:
    """Each prompt once; memory holds the ids."""
    seen: set[int] = set()
    for record in records:
        name = int(record.prompt.id, 16)
        if name not in seen:
            seen.add(name)
            yield rows.asked(record.prompt)
