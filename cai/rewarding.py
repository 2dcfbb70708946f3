"""Stage `rl` of a recipe: what the policy is asked, and the rewards that it learns from, opened and closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from cai.errors import needing
from cai.functions import load_function
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
from cai.trainers.llama2_reward import Llama2
from cai.trainers.mixing import Task
from cai.trainers.reward import Reward, Rewarded, Sample
from cai.trainers.reward_parts import function, length, repetition
from cai.trainers.rewards import Part, Sum
from cai.trainers.watched import Watched


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
    asked = {job.render(prompt): prompt for prompts in job.material.rl_prompts.values() for prompt in prompts}
    with ExitStack() as stack:
        parts = []
        for config in job.material.recipe.rl.rewards:
            reward = _open(job, config, asked)
            stack.callback(reward.close)
            parts.append(Part(config.type, config.weight, reward))
        yield Watched(Sum(parts))


def _open(job: Job, config: RewardConfig, asked: Mapping[Rendered, Prompt]) -> Reward:
    """The one place that knows which rewards there are."""
    if isinstance(config, PreferenceModelReward):
        return _scored(job, config.model, asked)
    if isinstance(config, Llama2Reward):
        return Llama2(_scored(job, config.safety, asked), _scored(job, config.helpfulness, asked), config)
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
    return Rated(Judge(feedback, constitution, (), config.judge, config.tags, job.seed), asked, job.pool.run)


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
