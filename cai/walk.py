"""Runs one data stage over its items: what is stored, counted and shown, and which items may fail."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai.engines.base import Speaker
from cai.errors import EngineError, ItemFailed
from cai.executor_config import RayExecutor
from cai.executors import local
from cai.executors.base import AnyStage
from cai.executors.ray import gather_left, run_on_ray
from cai.executors.replica import Task
from cai.executors.shards import Shards
from cai.progress import Meter
from cai.records import Prompt, Record

if TYPE_CHECKING:
    from cai.job import Job

_IN_FLIGHT = 64
"""Items at once where no engine says how many calls keep it busy."""

_FEWEST = 16
"""Items that must have failed before an engine is taken for dead."""


def walk(
    job: Job,
    stage: AnyStage,
    items: Sequence[Record],
    kind: type[Record],
    speakers: Sequence[Speaker],
    name: str | None = None,
) -> dict[str, Any]:
    """Runs a data stage over its items, storing each record as it comes. Returns counts of this attempt.

    Where they run is the recipe's `executor`; what an attempt on Ray left in shards is stored first. Raises
    EngineError where more items failed than the recipe allows. On Ctrl-C the engines are closed at once, so that no
    batch has to be waited for.
    """
    name, owner, shards = name or job.step.stage, _owner(items), _shards(job)
    in_flight = speakers[0].engine.concurrency if speakers else _IN_FLIGHT
    _gather_left(job, shards, kind, owner)
    stored = job.folder.index(kind, owner)
    with job.reporter.step(name, len(items), "items") as meter:
        tally = _Tally(job, name, len(items), max(_FEWEST, in_flight), meter)
        try:
            with _heap_at_rest():
                told, config = (tally.store, tally.finished, tally.failed), job.material.recipe.executor
                if isinstance(config, RayExecutor):
                    job.pool.close()
                    task = Task(stage, shards, type(items[0]) if items else Prompt, kind, owner, in_flight)
                    run_on_ray(items, task, stored, *told, config, [speaker.engine for speaker in speakers])
                else:
                    job.pool.run(local.run(items, stage, stored, _id, *told, in_flight))
        except KeyboardInterrupt:
            job.pool.close()
            raise
        finally:
            stored.close()
    tally.check(job.material.recipe.failures)
    tokens = {"tokens": meter.tokens, "prompt_tokens": tally.prompt_tokens, "cached_tokens": tally.cached_tokens}
    return {"items": len(items), "failed": tally.failures, **tokens}


def _shards(job: Job) -> Shards:
    """Where replicas leave what they finish: in the stage's folder, or in one like it where the recipe says."""
    config, own = job.material.recipe.executor, job.folder.path.absolute()
    if isinstance(config, RayExecutor) and config.shards:
        place = config.shards if "://" in config.shards else str(Path(config.shards).absolute())
        return Shards(f"{place.rstrip('/')}/{own.relative_to(job.material.runs.absolute()).as_posix()}")
    return Shards(str(own / "shards"))


def _gather_left(job: Job, shards: Shards, kind: type[Record], owner: Callable[[Any], str]) -> None:
    on_ray = isinstance(job.material.recipe.executor, RayExecutor)
    if not (on_ray or Path(shards.path).is_dir()):
        return
    if not shards.left():
        shards.clear()
        return
    stored = job.folder.index(kind, owner)
    try:
        gather_left(shards, kind, owner, stored, job.folder.append)
    finally:
        stored.close()


class _Tally:
    """What came of the items so far. `patience`: how many may fail before any is complete."""

    def __init__(self, job: Job, name: str, total: int, patience: int, meter: Meter) -> None:
        self._folder, self._name, self._total, self._patience, self._meter = job.folder, name, total, patience, meter
        self._completed = self.failures = self.prompt_tokens = self.cached_tokens = 0
        self._first = ""

    def store(self, record: Record) -> None:
        """Stores a new record and counts the tokens of its completions."""
        self._folder.append(record)
        for reply in record.replies():
            self._meter.tokens += reply.tokens
            self.prompt_tokens += reply.prompt_tokens
            self.cached_tokens += reply.cached_tokens

    def finished(self, new: int) -> None:
        """An item is complete. One that asked nothing says nothing of the engine."""
        self._completed += bool(new)
        self._meter.advance(1)

    def failed(self, item: Record, error: ItemFailed) -> None:
        """Writes a failure down. Raises EngineError where nothing else has come yet: the engine is dead."""
        self._folder.failure({"id": _id(item), "error": str(error), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        self._first = self._first or str(error)
        self.failures += 1
        self._meter.advance(1)
        if not self._completed and self.failures >= self._patience:
            raise EngineError(
                f"{self._name}: the first {self.failures} items to end all failed (first: {self._first}); "
                "mend that and run the same command again"
            )

    def check(self, allowed: float) -> None:
        """Raises EngineError where more than the share `allowed` failed."""
        if self.failures <= allowed * self._total:
            return
        enough = math.ceil(100 * self.failures / self._total) / 100
        some = f", or allow some with failures={enough:g}" if enough < 1 else ""
        raise EngineError(
            f"{self._name}: {self.failures} of {self._total} items failed (first: {self._first}); run the same command "
            f"again to ask those again{some}; failures.jsonl in {self._folder.path} lists them"
        )


@contextmanager
def _heap_at_rest() -> Iterator[None]:
    """What is loaded by now lives on: looking through it again and again took a third of the time of a quick call."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _owner(items: Sequence[Record]) -> Callable[[Any], str]:
    """How to tell to which item a stored record belongs: by its prompt, or by its own id."""
    return _prompt_id if items and isinstance(items[0], Prompt) else _id


def _id(record: Any) -> str:
    return record.id


def _prompt_id(record: Any) -> str:
    return record.prompt.id
