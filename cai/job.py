"""One step being run, and the machinery that its runner may use: records, engines, preference model, training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai.engines.base import Speaker
from cai.engines.batching import Batcher
from cai.engines.pool import Pool
from cai.errors import needing
from cai.executors.deferred import deferred
from cai.material import Material
from cai.models import ModelConfig
from cai.plan import Step
from cai.progress import Meter, Reporter
from cai.prompts import Rendered
from cai.records import Prompt
from cai.store import StepFolder

if TYPE_CHECKING:
    from cai.trainers.common import Watch


@dataclass(frozen=True)
class Job:
    """One step being run, and all it may use."""

    step: Step
    steps: dict[str, Step]
    material: Material
    reporter: Reporter
    pool: Pool
    watch: Watch | None = None
    """Of a training in a process of its own: where it reports; None: to the reporter and the store."""

    @property
    def folder(self) -> StepFolder:
        """Where this step rests."""
        return self.step.folder

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.material.recipe.seed

    def records(self, stage: str, kind: type[Any]) -> list[Any]:
        """What a parent left; nothing where the recipe has no such stage."""
        return list(self.steps[stage].folder.records(kind)) if stage in self.steps else []

    def checkpoint(self, stage: str) -> ModelConfig:
        """A trained parent as a model: it is spoken to as the one it was trained from.

        Of a recipe that finetunes nothing, `sft` is the model that would have been.
        """
        if stage == "sft" and stage not in self.steps:
            return self.material.recipe.models.pretrained
        folder = str(self.steps[stage].folder.path / "model")
        return self.material.recipe.models.pretrained.model_copy(update={"model": folder})

    def render(self, prompt: Prompt) -> Rendered:
        """A prompt as the trained models are shown it."""
        templates = self.material.templates(self.material.recipe.models.pretrained)
        return templates.render("respond", messages=prompt.messages)

    def speakers(self, *models: ModelConfig, beside: int = 0) -> tuple[Speaker, ...]:
        """The models in their dialects; `beside` others will be loaded beside them."""
        wanted = [(self.material.recipe.engine_of(model), model) for model in models]
        elsewhere = self.material.recipe.executor.type == "ray"
        engines = deferred(wanted, beside, self.pool) if elsewhere else self.pool.engines(wanted, beside)
        templates = map(self.material.templates, models)
        return tuple(Speaker(engine, one) for engine, one in zip(engines, templates, strict=True))

    @contextmanager
    def preference(self, model: ModelConfig) -> Iterator[Preference]:
        """A preference model, loaded when it is first asked."""
        preference = Preference(model.model)
        try:
            yield preference
        finally:
            preference.close()

    @contextmanager
    def training(self) -> Iterator[Watch]:
        """Closes all engines, whose memory training needs, and watches."""
        self.pool.close()
        with self.reporter.step(self.step.stage, 0, "steps") as meter:
            yield self.watch or TrainingWatch(self.folder, meter)


class Preference:
    """The preference model in a folder, behind a batcher; sent to another process, it is loaded there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._scorer: Any = None

    async def score(self, prompt: Rendered, answer: str) -> float:
        """The reward of an answer, log-odds."""
        return await self._batcher.submit((prompt, answer))

    def close(self) -> None:
        """Gives the memory back."""
        if self._scorer is not None:
            self._scorer.close()

    @cached_property
    def _batcher(self) -> Batcher[tuple[Rendered, str], float]:
        with needing("train"):
            from cai.trainers.scorer import PreferenceScorer
        self._scorer = PreferenceScorer(self._folder)
        return Batcher(self._scorer.score, 32, lambda call: len(call[1]))

    def __reduce__(self) -> tuple[type[Preference], tuple[str]]:
        return Preference, (str(Path(self._folder).absolute()),)


class TrainingWatch:
    """Passes a trainer's figures to the store and the meter."""

    def __init__(self, folder: StepFolder, meter: Meter) -> None:
        self._folder, self._meter = folder, meter

    def step(self, done: int, total: int) -> None:
        """So many optimizer steps are done."""
        self._meter.reach(done, total)

    def metric(self, row: dict[str, Any]) -> None:
        """A row of logged figures."""
        self._folder.metric(row)
        self._meter.tokens = int(row.get("num_tokens", self._meter.tokens))
