"""The engine seam: one request a call, batching is the engine's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cai.engine_config import EngineConfig, OpenAIEngine, ScriptedEngine, TransformersEngine, VllmEngine
from cai.errors import needing
from cai.models import ModelConfig
from cai.prompts import Rendered, Step, Templates
from cai.records import Completion
from cai.sampling import Sampling


@dataclass(frozen=True)
class Request:
    """One reply asked for. `seed` fixes the draw, whatever else is in the batch.

    `choices`: an engine that can hold a reply to a form lets it be one of these and nothing else; others ignore them.
    """

    prompt: Rendered
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    choices: tuple[str, ...] = ()


class Engine(Protocol):
    """A model that can be asked. Stages keep many calls in flight."""

    @property
    def concurrency(self) -> int:
        """How many calls in flight keep it busy."""
        ...

    async def generate(self, request: Request) -> Completion:
        """One reply. Raises ItemFailed where this one cannot be had, EngineError where none can."""
        ...

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log p(label | prompt) in nats, for each label, summed over its tokens; -inf where the engine cannot tell.

        Raises as `generate`.
        """
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


@dataclass(frozen=True)
class Speaker:
    """A model in its dialect: what stages talk to."""

    engine: Engine
    templates: Templates

    async def reply(
        self, step: Step, sampling: Sampling, seed: int, choices: tuple[str, ...] = (), **variables: object
    ) -> Completion:
        """The reply to one rendered step; one of `choices`, where some are given and the engine can see to it."""
        prompt = self.templates.render(step, **variables)
        request = Request(prompt, sampling.max_tokens, sampling.temperature, sampling.top_p, seed, choices)
        return await self.engine.generate(request)

    async def score(self, step: Step, labels: Sequence[str], **variables: object) -> list[float]:
        """The log-probability of each label after one rendered step, nats."""
        return await self.engine.score(self.templates.render(step, **variables), labels)


def open_engine(config: EngineConfig, model: ModelConfig, share: float = 1.0) -> Engine:
    """The one place that knows which back-ends there are. `share`: of the machine's memory, for engines that plan it.

    Raises EngineError where the model cannot be found or loaded, MissingExtra where a package is not installed.
    """
    if config.cache:
        from cai.engines.cached import CachedEngine

        inner = open_engine(config.model_copy(update={"cache": None}), model, share)
        return CachedEngine(inner, Path(config.cache), config, model)
    if isinstance(config, VllmEngine):
        from cai.engines.vllm import VllmBackend

        return VllmBackend(config, model, share)
    if isinstance(config, OpenAIEngine):
        with needing("http"):
            from cai.engines.openai import OpenAIBackend

        return OpenAIBackend(config, model)
    if isinstance(config, TransformersEngine):
        with needing("train"):
            from cai.engines.transformers import TransformersBackend

        return TransformersBackend(config, model)
    assert isinstance(config, ScriptedEngine)
    from cai.engines.scripted import ScriptedBackend

    return ScriptedBackend(config)
