"""Engines that are named and not yet opened: whoever asks one first opens it, and a replica opens its own.

A stage holds its engines. Sent to another process it can't take them along, so what it holds are these: pickled, they
are names; unpickled, they are engines of that process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from cai.engine_config import EngineConfig, TransformersEngine, VllmEngine
from cai.engines.base import Engine, Request
from cai.engines.pool import Pool, Wanted
from cai.prompts import Rendered
from cai.records import Completion


class Deferred:
    """The `place`-th of the engines that a stage wants; `opened` gives them all, in this process."""

    def __init__(self, wanted: Sequence[Wanted], beside: int, place: int, opened: Callable[[], list[Engine]]) -> None:
        self._wanted, self._beside, self._place, self._opened = wanted, beside, place, opened

    @property
    def concurrency(self) -> int:
        """How many calls in flight will keep it busy."""
        return in_flight(self._wanted[self._place][0])

    @property
    def gpus(self) -> int:
        """How many GPUs it is made for; 0 where its model runs elsewhere."""
        config = self._wanted[self._place][0]
        if isinstance(config, VllmEngine):
            return config.tensor_parallel_size * config.data_parallel_size
        return int(isinstance(config, TransformersEngine))

    async def generate(self, request: Request) -> Completion:
        """As the engine. Raises what opening it raises."""
        return await self._opened()[self._place].generate(request)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """As the engine. Raises what opening it raises."""
        return await self._opened()[self._place].score(prompt, labels)

    def close(self) -> None:
        """Nothing: the pool closes what it opened."""

    def __reduce__(self) -> tuple[Callable[..., Engine], tuple[object, ...]]:
        return _engine, ([*map(_anywhere, self._wanted)], self._beside, self._place)


def deferred(wanted: Sequence[Wanted], beside: int, pool: Pool) -> list[Engine]:
    """The engines asked for, in order, none of them opened; in this process `pool` will open them."""
    return [Deferred(wanted, beside, place, lambda: pool.engines(wanted, beside)) for place in range(len(wanted))]


def in_flight(config: EngineConfig) -> int:
    """How many calls keep an engine busy, told from its settings."""
    return 2 * config.batch_size if isinstance(config, TransformersEngine) else config.concurrency  # pyright: ignore


@cache
def own_pool() -> Pool:
    """The engines of this replica."""
    return Pool(lambda model: None)


def _engine(wanted: Sequence[Wanted], beside: int, place: int) -> Engine:
    return own_pool().engines(wanted, beside)[place]


def _anywhere(wanted: Wanted) -> Wanted:
    """The same engine and model by paths that hold in any working folder."""
    config, model = wanted
    moved = {"model": _absolute(model.model), "adapter": model.adapter and _absolute(model.adapter)}
    return config.model_copy(update={"cache": config.cache and str(Path(config.cache).absolute())}), model.model_copy(
        update=moved
    )


def _absolute(name: str) -> str:
    """A folder of this machine by its whole path; the name of a model elsewhere as it is."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name
