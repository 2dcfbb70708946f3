"""Runs a plan: each stage that is not done yet, from what its parents left."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cai import __version__
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import Interrupted, needing
from cai.identity import seed_of
from cai.material import Material
from cai.models import ModelConfig
from cai.plan import STAGES, Step, plan
from cai.progress import Meter, Reporter
from cai.prompts import Rendered
from cai.records import Answer, Comparison, Measurement, Prompt, Revision, RoundScore
from cai.stages.compare import Compare
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.respond import Respond
from cai.stages.revise import Revise
from cai.store import RunFolder, StepFolder
from cai.walk import walk

MODELS = ("base", "SL-CAI", "RL-CAI")
"""What is evaluated, in the order in which they come to be."""


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
        """What a parent left."""
        return list(self.steps[stage].folder.records(kind))

    def checkpoint(self, stage: str) -> ModelConfig:
        """A trained parent as a model: it is spoken to as the one it was trained from."""
        folder = str(self.steps[stage].folder.path / "model")
        return self.material.recipe.models.pretrained.model_copy(update={"model": folder})

    def rendered(self, prompts: Iterable[Prompt]) -> list[Rendered]:
        """Prompts as the trained models are shown them."""
        templates = self.material.templates(self.material.recipe.models.pretrained)
        return [templates.render("respond", messages=prompt.messages) for prompt in prompts]


def run(material: Material, folder: RunFolder, reporter: Reporter, until: str | None = None) -> dict[str, Step]:
    """Runs every stage up to `until` that is not done. Returns the steps.

    Raises Interrupted on Ctrl-C, with everything finished so far stored.
    """
    material.load()
    with folder.locked(), Pool(reporter.loading) as pool:
        steps = plan(material, folder)
        folder.remember(material.recipe.model_dump(), {stage: step.folder for stage, step in steps.items()})
        for stage, step in steps.items():
            if step.folder.done:
                reporter.console.print(f"{stage}: done before ({step.folder.path})", highlight=False, markup=False)
            else:
                _run_step(Job(step, steps, material, reporter, pool))
            if stage == until:
                break
    return steps


def _run_step(job: Job) -> None:
    job.folder.begin(_spec(job))
    job.folder.log(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} begun by cai {__version__}")
    started = time.monotonic()
    try:
        summary = RUNNERS[job.step.stage](job)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted(f"stopped in {job.step.stage}; run the same command again to go on") from None
    finally:
        job.folder.close()
    job.folder.finish({"seconds": round(time.monotonic() - started, 3), **summary})


def _spec(job: Job) -> dict[str, Any]:
    """What spec.json says: all that a reader needs to know what made these records, and with what."""
    packages = ("torch", "transformers", "trl", "datasets", "accelerate")
    return {
        "stage": job.step.stage,
        "digest": job.step.digest,
        "identity": job.step.identity,
        "parents": {parent: job.steps[parent].digest for parent in job.step.parents},
        "recipe": job.material.recipe.model_dump(),
        "versions": {"cai": __version__, "python": platform.python_version(), **_versions(packages)},
        "git": _git_revision(),
        "seed": job.seed,
    }


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git_revision() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _respond(job: Job) -> dict[str, Any]:
    recipe = job.material.recipe
    (helpful,) = _speakers(job, recipe.models.helpful)
    stage = Respond(helpful, recipe.respond, job.seed)
    return walk(job, stage, job.material.prompts["helpful"].train, Answer, [helpful])


def _revise(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    (assistant,) = _speakers(job, recipe.models.assistant)
    stage = Revise(assistant, material.constitution, material.revision_examples, recipe.revise, job.seed)
    return walk(job, stage, material.prompts["harmful"].train, Revision, [assistant])


def _sft(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.sft import train_sft
    revisions = [record for record in job.records("revise", Revision) if record.round > 0]
    records = [*revisions, *job.records("respond", Answer)]
    prompts = job.rendered(record.prompt for record in records)
    rows = [(prompt, record.response.text) for prompt, record in zip(prompts, records, strict=True)]
    kept = [(prompt, answer) for prompt, answer in rows if answer]
    config, start = job.material.recipe.sft, job.material.recipe.models.pretrained.model
    with _training(job) as watch:
        figures = train_sft(kept, start, job.folder.path, config, seed_of(job.seed, "sft"), watch)
    return {**figures, "empty": len(rows) - len(kept), "revisions": len(revisions)}


def _compare(job: Job) -> dict[str, Any]:
    recipe, material = job.material.recipe, job.material
    policy, feedback = _speakers(job, job.checkpoint("sft"), recipe.models.feedback)
    stage = Compare(policy, feedback, material.constitution, material.comparison_examples, recipe.compare, job.seed)
    return walk(job, stage, material.prompts["harmful"].train, Comparison, [policy, feedback])


def _preference_model(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.preference import train_preference_model
    comparisons = job.records("compare", Comparison)
    parsed = [(c, c.verdict.p_a) for c in comparisons if c.verdict.p_a is not None]
    prompts = job.rendered(comparison.prompt for comparison, _ in parsed)
    rows = [(prompt, c.a.text, c.b.text, p) for prompt, (c, p) in zip(prompts, parsed, strict=True)]
    config, start = job.material.recipe.preference_model, job.checkpoint("sft").model
    with _training(job) as watch:
        seed = seed_of(job.seed, "preference_model")
        figures = train_preference_model(rows, start, job.folder.path, config, seed, watch)
    return {**figures, "not_parsed": len(comparisons) - len(parsed)}


def _rl(job: Job) -> dict[str, Any]:
    with needing("train"):
        from cai.trainers.rl import train_rl
    prompts = job.material.prompts
    harmful, helpful = (job.rendered(prompts[kind].train) for kind in ("harmful", "helpful"))
    start, judge = job.checkpoint("sft").model, job.checkpoint("preference_model").model
    with _training(job) as watch:
        config, seed = job.material.recipe.rl, seed_of(job.seed, "rl")
        return train_rl(harmful, helpful, start, judge, job.folder.path, config, seed, watch)


def _score_rounds(job: Job) -> dict[str, Any]:
    templates = job.material.templates(job.material.recipe.models.pretrained)
    with _preference(job) as preference:
        stage = ScoreRounds(templates, preference)
        return walk(job, stage, job.records("revise", Revision), RoundScore, [])


def _evaluate(job: Job) -> dict[str, Any]:
    recipe, splits = job.material.recipe, job.material.prompts
    prompts = [prompt for split in splits.values() for prompt in split.held_out]
    models = (recipe.models.pretrained, job.checkpoint("sft"), job.checkpoint("rl"))
    summaries = []
    base, sl, rl = _speakers(job, *models, beside=1)  # the preference model
    with _preference(job) as preference:
        past = {"base": (base, None, None), "SL-CAI": (sl, base, None), "RL-CAI": (rl, base, sl)}
        for model in MODELS:
            policy, *references = past[model]
            stage = Evaluate(model, policy, references[0], references[1], preference, recipe.evaluate, job.seed)
            summaries.append(walk(job, stage, prompts, Measurement, [base, sl, rl], f"evaluate {model}"))
    return {key: sum(summary[key] for summary in summaries) for key in summaries[0]}


def _report(job: Job) -> dict[str, Any]:
    from cai.findings import findings
    from cai.stages.report import write_report

    files = write_report(findings(job.material, job.steps), job.folder.path)
    return {"html": files.html.name, "markdown": files.markdown.name}


RUNNERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "respond": _respond,
    "revise": _revise,
    "sft": _sft,
    "compare": _compare,
    "preference_model": _preference_model,
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    "report": _report,
}
assert RUNNERS.keys() == STAGES.keys()


def _speakers(job: Job, *models: ModelConfig, beside: int = 0) -> tuple[Speaker, ...]:
    """The models in their dialects; `beside` others will be loaded beside them."""
    engines = job.pool.engines([(job.material.recipe.engine_of(model), model) for model in models], beside)
    return tuple(Speaker(engine, job.material.templates(model)) for engine, model in zip(engines, models, strict=True))


class _Preference:
    """The preference model behind a batcher."""

    def __init__(self, scorer: Any) -> None:
        from cai.engines.batching import Batcher

        self._batcher: Batcher[tuple[Rendered, str], float] = Batcher(scorer.score, 32, lambda call: len(call[1]))

    async def score(self, prompt: Rendered, answer: str) -> float:
        """The reward of an answer, log-odds."""
        return await self._batcher.submit((prompt, answer))


@contextmanager
def _preference(job: Job) -> Iterator[_Preference]:
    with needing("train"):
        from cai.trainers.scorer import PreferenceScorer
    scorer = PreferenceScorer(job.checkpoint("preference_model").model)
    try:
        yield _Preference(scorer)
    finally:
        scorer.close()


class _TrainingWatch:
    """Passes a trainer's figures to the store and the meter."""

    def __init__(self, folder: StepFolder, meter: Meter) -> None:
        self._folder, self._meter = folder, meter

    def step(self, done: int, total: int) -> None:
        self._meter.reach(done, total)

    def metric(self, row: dict[str, Any]) -> None:
        self._folder.metric(row)
        self._meter.tokens = int(row.get("num_tokens", self._meter.tokens))


@contextmanager
def _training(job: Job) -> Iterator[_TrainingWatch]:
    job.pool.close()
    with job.reporter.step(job.step.stage, 0, "steps") as meter:
        yield _TrainingWatch(job.folder, meter)
