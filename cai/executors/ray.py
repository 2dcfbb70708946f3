"""A data stage on Ray Data: an actor a replica, which holds the stage's engines and walks whole chains.

A row of the data set is a chunk of items: where they stand in a list that the replicas read themselves. Ray places the
actors, starts as many as the work and the cluster allow, restarts one that is lost and gives its chunks out again;
what its replica had finished of them lies in shards. The driver stores the records of every chunk that ends.

Ray's async functions are not used: Ray Data walks four batches of them at a time, in order. Here every call waits in a
thread of its own for one event loop in which all chains of a replica are. Ray's checkpoints are not used either: they
know whole blocks alone, and most of the work would be done again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from cai.engines.base import Engine
from cai.errors import EngineError, ItemFailed, first_line, needing
from cai.executor_config import RayExecutor
from cai.executors.deferred import Deferred
from cai.executors.replica import Outcome, Replica, Task
from cai.executors.shards import Chunk, Shards
from cai.records import Record

Owner = Callable[[Any], str]
Stored = Mapping[str, Sequence[Any]]

_CHUNKS = 8
"""Chunks that hold as many items as a replica has chains in flight."""
_THREADS = 12
"""Chunks under way in a replica: more than that, so that chains that take long leave no room idle."""
_RAY_DATA = ("StreamingExecutor", "ray-data-metadata-prefetch", "iter_threaded")
"""How the names of its threads in this process begin."""
_MOST_CHUNKS = 10_000
"""Of one stage: Ray holds a row of each."""


def run_on_ray(
    items: Sequence[Any],
    task: Task,
    stored: Stored,
    store: Callable[[Record], None],
    finished: Callable[[int], None],
    failed: Callable[[Record, ItemFailed], None],
    config: RayExecutor,
    engines: Sequence[Engine],
) -> None:
    """Walks every item through the stage of `task`. Records come in any order, those of one item in theirs.

    `stored`, `store`, `finished` and `failed` are as in cai/executors/local.py. Raises EngineError where Ray cannot be
    had or an engine is broken; whatever ends it early, what the replicas finished is in the shards.
    """
    if not items:
        return
    _connect(config)
    listed = (_lines([item, *stored.get(item.id, ())]) for item in items)
    chunks = task.shards.lay_out(listed, _size(len(items), task.in_flight, config))
    outcomes, whole, ended = _outcomes(chunks, task, config, engines), False, 0
    try:
        for chunk, outcome in outcomes:
            _gather(items, chunk, outcome, task, stored, store)
            for new in outcome.finished:
                finished(new)
            for place, reason in outcome.failed:
                failed(items[chunk.first + place], ItemFailed(reason))
            task.shards.drop(outcome.shards)
            ended += len(outcome.finished) + len(outcome.failed)
        if ended != len(items):
            raise EngineError(f"Ray gave back {ended} of {len(items)} items; run the same command again to go on")
        whole = True
    finally:
        outcomes.close()
        if not whole:
            leave()
    task.shards.clear()


def leave() -> None:
    """Ends all actors, and a Ray that was started here.

    Ray Data waits two seconds for its own threads. One that asks Ray for anything afterwards ends this process, with a
    code that is none of ours; so they get longer here.
    """
    import ray

    for thread in threading.enumerate():
        if thread.name.startswith(_RAY_DATA):
            thread.join(timeout=30)
    ray.shutdown()


def gather_left(shards: Shards, kind: type[Any], owner: Owner, stored: Stored, store: Callable[[Any], None]) -> int:
    """Stores what an attempt before this one left in shards. Returns how many records that were."""
    names = shards.left()
    seen: set[str] = set()
    for name in names:
        for record in shards.records(name, kind):
            if record.id not in seen and all(record.id != one.id for one in stored.get(owner(record), ())):
                seen.add(record.id)
                store(record)
    shards.clear()
    return len(seen)


def _gather(
    items: Sequence[Any], chunk: Chunk, outcome: Outcome, task: Task, stored: Stored, store: Callable[[Record], None]
) -> None:
    """Stores the records of a chunk; two tries at it may both have made one, where a lost replica lived on.

    Raises StoreError where one is missing: as many must be there as the replica wrote.
    """
    places = range(chunk.first, chunk.first + chunk.size)
    known = {one.id for place in places for one in stored.get(items[place].id, ())} if outcome.shards else set()
    for name, held in outcome.shards.items():
        for record in task.shards.records(name, task.kind, held):
            if record.id not in known:
                known.add(record.id)
                store(record)


def _outcomes(
    chunks: Sequence[Chunk], task: Task, config: RayExecutor, engines: Sequence[Engine]
) -> Generator[tuple[Chunk, Outcome], None, None]:
    """What came of each chunk, in the order in which they end. Raises EngineError."""
    import ray.data
    from ray.exceptions import RayError, RayTaskError

    _configure()
    fewest, most = config.replicas
    replicas = ray.data.ActorPoolStrategy(
        min_size=fewest,
        max_size=most,
        max_concurrent_calls_per_actor=_THREADS,
        max_tasks_in_flight_per_actor=_THREADS,  # none waits at a replica while another has nothing to do
        enable_true_multi_threading=True,
    )
    rows = [{"chunk": json.dumps(chunk.as_row())} for chunk in chunks]
    walked = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Actor,  # pyright: ignore[reportArgumentType]
        batch_size=None,
        compute=replicas,
        fn_constructor_args=(pickle.dumps(task),),
        num_cpus=config.cpus,
        num_gpus=_gpus(config, engines),
    )
    try:
        for batch in walked.iter_batches(batch_size=None, prefetch_batches=0):
            for number, outcome in zip(batch["number"], batch["outcome"], strict=True):
                yield chunks[int(number)], Outcome.of_json(str(outcome))
    except RayError as error:
        if isinstance(error, RayTaskError):
            raise  # a mistake in the code of a stage, with its place
        raise EngineError(f"Ray gave up: {first_line(error)}; run the same command again to go on") from error


class _Actor:
    """A replica as Ray Data calls it: with one chunk a batch, in a thread a batch."""

    def __init__(self, task: bytes) -> None:
        self._replica = Replica(task)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        chunks = [Chunk(**json.loads(str(row))) for row in batch["chunk"]]
        outcomes = [self._replica.walk(chunk).to_json() for chunk in chunks]
        return {"number": [chunk.number for chunk in chunks], "outcome": outcomes}

    def __del__(self) -> None:
        self._replica.close()


def _connect(config: RayExecutor) -> None:
    """Joins a cluster or starts Ray here, once. Raises MissingExtra, and EngineError where there is no such cluster."""
    with needing("ray"):
        import ray
        import ray.data
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    if not ray.is_initialized():
        size = round(config.object_store_gb * 1e9) if config.object_store_gb else None
        own = {"include_dashboard": False, "object_store_memory": size} if address == "local" else {}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # noqa: BLE001 - where a busy machine starts it too late, Ray raises no class of its own
            raise EngineError(_not_there(address, first_line(error))) from None
    if address == "local" and (has := ray.cluster_resources().get("CPU", 0)) < config.cpus:
        raise EngineError(f"executor.cpus: a replica of {config.cpus:g} cores has no room on this machine's {has:g}")


def _not_there(address: str, reason: str) -> str:
    if address == "local":
        return f"executor: Ray did not start on this machine ({reason}); run the same command again"
    return (
        f"executor.address: Ray at {address} cannot be reached ({reason}); give the address that `ray start --head` "
        "printed, or none to start Ray here"
    )


def _configure() -> None:
    """When replicas are added; and Ray Data's own bars and notices stay off the terminal: the stage has its meter."""
    from ray.data import DataContext

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a setting that Ray itself makes
        context = DataContext.get_current()
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # more replicas once all threads are busy
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _gpus(config: RayExecutor, engines: Sequence[Engine]) -> float:
    """What a replica reserves. A stage without engines asks a preference model, which takes a GPU if there is one."""
    import ray

    if config.gpus is not None:
        return config.gpus
    needed = max((one.gpus for one in engines if isinstance(one, Deferred)), default=1)
    return needed if ray.cluster_resources().get("GPU", 0) else 0


def _size(total: int, in_flight: int, config: RayExecutor) -> int:
    """Items a chunk: small ones keep replicas busy to the end, and tell how far they are."""
    shared = min(in_flight / _CHUNKS, total / (_CHUNKS * config.replicas[1]))
    return max(1, math.ceil(shared), math.ceil(total / _MOST_CHUNKS))


def _lines(records: Sequence[Record]) -> list[str]:
    return [record.model_dump_json() for record in records]
