"""One step being run, and the machinery that its runner may use: records, engines, preference model, training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import needing
from cai.material import Material
from cai.models import ModelConfig
from cai.plan import Step
from cai.progress import Meter, Reporter
from cai.prompts import Rendered
from cai.records import Prompt
from cai.store import StepFolder


@dataclass(frozen=True)
class Job:
    """One step being run, and all it may use."""

    step: Step
    steps: dict[str, Step]
    material: Material
    reporter: Reporter
    pool: Pool

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
        """A trained parent as a model: it is spoken to as the one it was trained from."""
        folder = str(self.steps[stage].folder.path / "model")
        return self.material.recipe.models.pretrained.model_copy(update={"model": folder})

    def render(self, prompt: Prompt) -> Rendered:
        """A prompt as the trained models are shown it."""
        templates = self.material.templates(self.material.recipe.models.pretrained)
        return templates.render("respond", messages=prompt.messages)

    def rendered(self, prompts: Iterable[Prompt]) -> list[Rendered]:
        """Prompts as the trained models are shown them."""
        return [self.render(prompt) for prompt in prompts]

    def speakers(self, *models: ModelConfig, beside: int = 0) -> tuple[Speaker, ...]:
        """The models in their dialects; `beside` others will be loaded beside them."""
        engines = self.pool.engines([(self.material.recipe.engine_of(model), model) for model in models], beside)
        templates = map(self.material.templates, models)
        return tuple(Speaker(engine, one) for engine, one in zip(engines, templates, strict=True))

    @contextmanager
    def preference(self, model: ModelConfig) -> Iterator[Preference]:
        """A preference model, loaded."""
        with needing("train"):
            from cai.trainers.scorer import PreferenceScorer
        scorer = PreferenceScorer(model.model)
        try:
            yield Preference(scorer)
        finally:
            scorer.close()

    @contextmanager
    def training(self) -> Iterator[TrainingWatch]:
        """Closes all engines, whose memory training needs, and watches."""
        self.pool.close()
        with self.reporter.step(self.step.stage, 0, "steps") as meter:
            yield TrainingWatch(self.folder, meter)


class Preference:
    """The preference model behind a batcher."""

    def __init__(self, scorer: Any) -> None:
        from cai.engines.batching import Batcher

        self._batcher: Batcher[tuple[Rendered, str], float] = Batcher(scorer.score, 32, lambda call: len(call[1]))

    async def score(self, prompt: Rendered, answer: str) -> float:
        """The reward of an answer, log-odds."""
        return await self._batcher.submit((prompt, answer))


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
