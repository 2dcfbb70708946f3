"""The models that are open: each once, kept while they fit beside the next ones, closed when memory is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from cai.engine_config import EngineConfig, TransformersEngine, VllmEngine
from cai.engines.base import Engine, open_engine
from cai.engines.memory import free_memory
from cai.identity import digest
from cai.models import ModelConfig
from cai.weights import parameters

Result = TypeVar("Result")
Wanted = tuple[EngineConfig, ModelConfig]

_ROOM = 1.2
"""Memory that an engine takes, as a multiple of its weights."""


@dataclass(frozen=True)
class _Opened:
    """An engine in the pool. `size`: bytes it takes; None where that is not known."""

    engine: Engine
    size: int | None
    share: float | None


class Pool:
    """Opens engines and keeps them between stages; all of them live in one event loop.

    `announce` is told of every model that is loaded.
    """

    def __init__(self, announce: Callable[[str], None], free: Callable[[], int] = free_memory) -> None:
        self._announce, self._free = announce, free
        self._open: dict[str, _Opened] = {}
        self._runner = asyncio.Runner(loop_factory=_loop_factory())

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self._runner.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`, in the loop of the engines. Raises KeyboardInterrupt on Ctrl-C, after cancelling it."""
        return self._runner.run(work)

    def engines(self, wanted: Sequence[Wanted], beside: int = 0) -> list[Engine]:
        """The engines asked for, in order; what was asked for twice is one engine. Raises EngineError.

        `beside`: models that the caller loads beside them, for which room is left.
        """
        keys = {_key(*pair): pair for pair in wanted}
        share = _share(list(keys.values()), beside)
        self._make_room(keys, share)
        for key, (config, model) in keys.items():
            if key not in self._open:
                self._announce(model.model)
                self._open[key] = _Opened(
                    open_engine(config, model, share), size(config, model), _planned(config, share)
                )
        return [self._open[_key(*pair)].engine for pair in wanted]

    def close(self) -> None:
        """Closes every engine, also where closing one raises: a training stage needs the memory."""
        with ExitStack() as closing:
            for key in reversed(self._open):
                closing.callback(self._close, key)

    def _make_room(self, keys: dict[str, Wanted], share: float) -> None:
        """Closes what stands in the way: engines not wanted now, oldest first, and those with too large a share."""
        if any(size(*pair) != 0 for pair in self._new(keys)):
            self._close_planned(keys, share)
        new = self._new(keys)
        for key in [key for key, opened in self._open.items() if key not in keys and opened.size != 0]:
            if not self._fits(new):
                self._close(key)

    def _new(self, keys: dict[str, Wanted]) -> list[Wanted]:
        return [pair for key, pair in keys.items() if key not in self._open]

    def _close_planned(self, keys: dict[str, Wanted], share: float) -> None:
        """An engine that planned its share of the memory can give none of it to a second one."""
        for key, opened in list(self._open.items()):
            if opened.share is not None and (key not in keys or opened.share > share):
                self._close(key)

    def _fits(self, new: Sequence[Wanted]) -> bool:
        sizes = [size(*pair) for pair in new]
        known = [one for one in sizes if one is not None]
        return len(known) == len(sizes) and (not any(known) or sum(known) < self._free())

    def _close(self, key: str) -> None:
        self._open.pop(key).engine.close()


def size(config: EngineConfig, model: ModelConfig) -> int | None:
    """Bytes of memory that a model takes here: 0 where it runs elsewhere, None where its size is not known."""
    if not isinstance(config, TransformersEngine | VllmEngine):
        return 0
    count = parameters(model.model)
    wide = config.dtype in ("auto", "float32")
    return None if count is None else round(count * (4 if wide else 2) * _ROOM)


def _key(config: EngineConfig, model: ModelConfig) -> str:
    """What is one engine: dialect and system prompt are the templates' business."""
    return digest([config.model_dump(), model.model, model.adapter, model.thinking])


def _share(wanted: Sequence[Wanted], beside: int) -> float:
    """How much of the memory an engine that plans may take: vLLM takes all it is given, and others need room too."""
    return 1 / max(1, sum(size(*pair) != 0 for pair in wanted) + beside)


def _planned(config: EngineConfig, share: float) -> float | None:
    return share if isinstance(config, VllmEngine) else None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed: a call over HTTP costs about half."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
