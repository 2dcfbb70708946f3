"""Asks models a constitution's tests, as the stages `compare` and `revise` would ask them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import EngineError, ItemFailed
from cai.executors import local
from cai.feedback_config import SeatedJudge
from cai.few_shot import RevisionExample
from cai.judge.judge import Judge
from cai.judge.of_recipe import judge_of
from cai.material import Material
from cai.models import ModelConfig
from cai.records import Prompt
from cai.sampling import Sampling
from cai.trials.cases import Case, Kind, Outcome, asked_models, holds


@dataclass(frozen=True)
class Arbiter:
    """The judge, asked about the pair of a test under its principle."""

    judge: Judge

    async def verdict(self, case: Case) -> Outcome:
        """The verdict on a pair, whose better answer is `a`."""
        prompt = Prompt.of(case.test.messages, "harmful", case.id)
        better, worse = case.test.better or "", case.test.worse or ""
        _, verdict = await self.judge.verdict(case.id, prompt, better, worse, (case.principle,))
        return Outcome(case=case, verdict=verdict)


@dataclass(frozen=True)
class Critic:
    """The model that criticises, asked as the stage `revise` asks it, but greedily. `max_tokens`: of a critique."""

    assistant: Speaker
    few_shot: tuple[RevisionExample, ...]
    max_tokens: int

    async def critique(self, case: Case) -> Outcome:
        """The critique of an answer and what it lacks."""
        critique = await self.assistant.reply(
            "critique",
            Sampling(max_tokens=self.max_tokens, temperature=0),
            0,
            messages=case.test.messages,
            few_shot=self.few_shot,
            response=case.test.answer,
            principles=(case.principle,),
        )
        missing = tuple(wanted for wanted in case.test.finds if not holds(critique.text, wanted))
        return Outcome(case=case, critique=critique, missing=missing)


Ask = Callable[[Case], Awaitable[Outcome]]


@dataclass(frozen=True)
class Trial:
    """Yields the Outcome of a Case. `ask`: who is asked for each kind; `in_flight`: how many cases at once."""

    ask: Mapping[Kind, Ask]
    in_flight: int

    async def __call__(self, case: Case, done: Sequence[Outcome]) -> AsyncIterator[Outcome]:
        """The outcome, unless it is there."""
        if not done:
            yield await self.ask[case.kind](case)


def trial(material: Material, asked: Sequence[Case], pool: Pool) -> Trial:
    """A Trial on those models of the recipe that the cases need; the judge is asked in both orders."""
    wanted: list[tuple[Kind, ModelConfig]] = [
        (kind, model) for kind, model in asked_models(material).items() if any(case.kind == kind for case in asked)
    ]
    for kind, model in wanted:
        _read(material, kind, model)
    engines = pool.engines([(material.recipe.engine_of(model), model) for _, model in wanted])
    ask: dict[Kind, Ask] = {}
    for (kind, model), engine in zip(wanted, engines, strict=True):
        speaker = Speaker(engine, material.templates(model))
        ask[kind] = _arbiter(material, speaker).verdict if kind == "comparison" else _critic(material, speaker).critique
    return Trial(ask, min(engine.concurrency for engine in engines))


async def outcomes(asked: Sequence[Case], trial: Trial, advance: Callable[[Outcome], None]) -> list[Outcome]:
    """The outcomes in the order of the cases; `advance` is told of each as it comes.

    A call that cannot be answered fails its test. Raises EngineError where that goes for every test.
    """
    by_case: dict[str, Outcome] = {}

    def keep(outcome: Any) -> None:
        by_case[outcome.case.id] = outcome
        advance(outcome)

    def failed(case: Any, error: ItemFailed) -> None:
        keep(Outcome(case=case, error=str(error)))

    await local.run(asked, trial, {}, _id, keep, lambda new: None, failed, trial.in_flight)
    ordered = [by_case[case.id] for case in asked]
    if all(outcome.error for outcome in ordered):
        raise EngineError(f"no test could be asked (first: {ordered[0].error})")
    return ordered


def _read(material: Material, kind: Kind, model: ModelConfig) -> None:
    """Reads what a model is shown now, so that a mistake shows before any is loaded."""
    _ = material.templates(model), material.comparison_examples if kind == "comparison" else material.revision_examples


def _arbiter(material: Material, speaker: Speaker) -> Arbiter:
    """Asked in both orders, whatever the recipe says."""
    judge = judge_of(material, speaker)
    config = judge.config
    both = config.model_copy(update={"orders": "both"}) if isinstance(config, SeatedJudge) else config
    return Arbiter(replace(judge, config=both))


def _critic(material: Material, speaker: Speaker) -> Critic:
    return Critic(speaker, material.revision_examples, material.recipe.revise.max_tokens)


def _id(case: Any) -> str:
    return case.id
