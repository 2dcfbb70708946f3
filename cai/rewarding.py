"""Stage `rl` of a recipe: what the policy is asked, the rewards that it learns from, and the panel it is watched by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cai.errors import needing
from cai.functions import load_function
from cai.identity import seed_of
from cai.job import Job
from cai.judge.judge import Judge
from cai.judge.rewarding import Rated
from cai.prompts import Rendered, Templates
from cai.records import Kind, Prompt
from cai.reward_config import (
    FunctionReward,
    JudgeReward,
    LengthReward,
    Llama2Reward,
    PreferenceModelReward,
    RepetitionReward,
    RewardConfig,
)
from cai.reward_material import facts, own, rules, scorer
from cai.rl_config import BestOfNConfig
from cai.trainers.llama2_reward import Llama2, unwhitened
from cai.trainers.mixing import Task
from cai.trainers.reward import OverAll, Reward, Rewarded, Sample, alone
from cai.trainers.reward_parts import function, length, repetition
from cai.trainers.rewards import Part, Sum
from cai.trainers.watched import Watched

if TYPE_CHECKING:
    from cai.trainers.common import Watch
    from cai.trainers.panel import Panel


def tasks(job: Job) -> dict[Kind, list[Task]]:
    """The prompts of each kind as the policy is shown them, with what their files say beside them."""
    known = facts(job.material)
    return {
        kind: [Task(job.render(prompt), kind, known.get(prompt.source, {})) for prompt in prompts]
        for kind, prompts in job.material.rl_prompts.items()
    }


@contextmanager
def rewarded(job: Job) -> Iterator[Reward]:
    """The sum of the rewards that the recipe names, their models loaded while it is open."""
    with opened(job) as parts:
        yield Watched(Sum(parts), _over_all())


@contextmanager
def opened(job: Job) -> Iterator[list[Part]]:
    """The rewards that the recipe names, each by itself."""
    material = job.material
    known = [*(prompt for prompts in material.rl_prompts.values() for prompt in prompts), *material.panel]
    asked = {job.render(prompt): prompt for prompt in known}
    with ExitStack() as stack:
        parts = []
        for config in material.recipe.rl.rewards:
            reward = _open(job, config, asked)
            stack.callback(reward.close)
            parts.append(Part(config.type, config.weight, reward))
        yield parts


@contextmanager
def watched(job: Job, watch: Watch) -> Iterator[tuple[Reward, Panel | None]]:
    """The sum of the rewards, and the panel by which its climbing is watched, where the recipe has one.

    The panel's scores are not whitened: a mean that is 0 at every look would say nothing. Neither are those of
    best-of-n, which sets answers of several rounds beside each other.
    """
    with needing("train"):
        from cai.trainers.panel import Asked, Panel
    material, known = job.material, facts(job.material)
    with opened(job) as parts:
        asked = [
            Asked(prompt, Task(job.render(prompt), prompt.kind, known.get(prompt.source, {})))
            for prompt in material.panel
        ]
        plain = Watched(Sum([replace(part, reward=_by_itself(part.reward)) for part in parts]))
        config, seed = material.recipe.rl, seed_of(job.seed, "rl")
        climbed = plain if isinstance(config, BestOfNConfig) else Watched(Sum(parts), _over_all())
        yield climbed, Panel(asked, plain, config, seed, job.folder, watch) if asked else None


def _by_itself(reward: Reward) -> Reward:
    """The reward with raw scores, and as one process asks it: the others that train take no part in a look."""
    return replace(reward, over=alone) if isinstance(reward, Rated) else unwhitened(reward)


def _over_all() -> OverAll:
    """Answers of all processes that train are set beside each other."""
    with needing("train"):
        from cai.trainers.processes import over_all
    return over_all


def _open(job: Job, config: RewardConfig, asked: Mapping[Rendered, Prompt]) -> Reward:
    """The one place that knows which rewards there are."""
    if isinstance(config, PreferenceModelReward):
        return _scored(job, config.model, asked)
    if isinstance(config, Llama2Reward):
        scored = _scored(job, config.safety, asked), _scored(job, config.helpfulness, asked)
        return Llama2(*scored, config, _over_all())
    if isinstance(config, JudgeReward):
        return _judged(job, config, asked)
    if isinstance(config, FunctionReward):
        return function(config.function, load_function(config.function, job.material.beside))
    if isinstance(config, LengthReward):
        return length(config)
    assert isinstance(config, RepetitionReward)
    return repetition(config)


def _scored(job: Job, name: str, asked: Mapping[Rendered, Prompt]) -> Reward:
    """A preference model: of this run, or of another, which may have been trained on another dialect."""
    with needing("train"):
        from cai.trainers.preference_reward import PreferenceReward
    if own(job.material, name):
        return PreferenceReward(job.checkpoint(name).model)
    other = scorer(job.material, name)
    return Respoken(PreferenceReward(other.model.model), asked, other.templates)


def _judged(job: Job, config: JudgeReward, asked: Mapping[Rendered, Prompt]) -> Reward:
    """The feedback model, beside the policy and the model that it is held to."""
    (feedback,) = job.speakers(job.material.recipe.models.feedback, beside=2)
    constitution, _ = rules(job.material, config)
    judge = Judge(feedback, constitution, (), config.judge, config.tags, job.seed)
    return Rated(judge, asked, job.pool.run, _over_all())


@dataclass(frozen=True)
class Respoken:
    """A reward that is shown the prompts by templates of its own."""

    inner: Reward
    asked: Mapping[Rendered, Prompt]
    templates: Templates

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """What it says of them."""
        return self.inner([replace(sample, prompt=self._spoken(sample.prompt)) for sample in samples])

    def close(self) -> None:
        """Closes it."""
        self.inner.close()

    def _spoken(self, prompt: Rendered) -> Rendered:
        return self.templates.render("respond", messages=self.asked[prompt].messages)
