"""A fixed panel of held-out prompts that the policy answers every so many steps, so that its training can be watched.

Bai et al. 2022, section 4.3, found over-trained models by reading what they say. Here the same prompts are answered
with the same seed at each look, so that what differs between looks is the policy. Nothing is learned from it, and
nothing that is drawn at random in training depends on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cai.identity import seed_of
from cai.panel_config import PanelConfig
from cai.records import KINDS, PanelAnswer, Prompt
from cai.rl_config import BestOfNConfig, RlConfig
from cai.store import StepFolder
from cai.trainers.common import Watch
from cai.trainers.mixing import Task
from cai.trainers.panel_aside import Aside
from cai.trainers.panel_looks import Look, best, gaps, stopped, told
from cai.trainers.reward import Reward, Rewarded, Sample
from cai.trainers.rewards import means
from cai.trainers.rollout import seeds_of, write
from cai.trainers.watched import ANSWERS

PANEL = "panel/"
"""What the names of these figures begin with."""

FILE = "panel.jsonl"
"""Where the answers rest, in the folder of the stage."""

_AT_ONCE = 32
"""Answers written at once."""

_BY_KIND = ("refusal", "evasive")
"""Figures that mean another thing on helpful prompts than on harmful ones."""


@dataclass(frozen=True)
class Asked:
    """A prompt of the panel, and as the policy is shown it."""

    prompt: Prompt
    task: Task


class Panel:
    """The looks at it so far, which rest in the folder of the stage. `reward` is not closed."""

    def __init__(
        self, asked: Sequence[Asked], reward: Reward, config: RlConfig, seed: int, folder: StepFolder, watch: Watch
    ) -> None:
        assert config.panel
        self._asked, self._reward, self._config, self._folder, self._watch = asked, reward, config, folder, watch
        self._settings: PanelConfig = config.panel
        self._every = 1 if isinstance(config, BestOfNConfig) else config.panel.every
        self._seed = seed_of(seed, "panel") % 2**32
        self._aside = Aside(folder.path)
        self._looks: list[Look] = []

    @property
    def stopped(self) -> bool:
        """Whether the gap has ended the training."""
        return stopped(self._looks, self._settings.stop)

    @property
    def last(self) -> int:
        """After how many steps the last look was; -1 before the first."""
        return self._looks[-1].step if self._looks else -1

    @property
    def rolls_back(self) -> bool:
        """Whether the model that is left is to be that of an earlier look."""
        return self._may_roll_back and self.stopped

    @property
    def _may_roll_back(self) -> bool:
        return self._settings.stop is not None and self._settings.stop.then == "roll_back"

    @property
    def best(self) -> int | None:
        """The step of the look that is gone back to if it must be; None where none would be."""
        return best(self._looks).step if self._may_roll_back and self._looks else None

    def resume(self, step: int) -> None:
        """Goes on after `step` steps of training: later looks are forgotten, and so is a torn one.

        The last look is logged again, since it may have been stored and not logged.
        """
        by_step: dict[int, list[PanelAnswer]] = {}
        for answer in self._folder.records(PanelAnswer, FILE):
            by_step.setdefault(answer.step, []).append(answer)
        whole = {at: found for at, found in by_step.items() if at <= step and len(found) == len(self._asked)}
        self._folder.keep((answer for found in whole.values() for answer in found), FILE)
        self._looks = [self._look_of(at, found) for at, found in sorted(whole.items())]
        if self._looks:
            self._log(whole[self.last])

    def due(self, step: int) -> bool:
        """Whether the policy is to be looked at after `step` steps, and was not yet."""
        return step > self.last and (step % self._every == 0 or step == self._config.steps)

    def look(self, step: int, policy: Any, tokenizer: Any, cast: AbstractContextManager[Any] | None = None) -> None:
        """Has the panel answered and rewarded, stores the answers and logs the figures; `cast`: around the writing."""
        with _undisturbed(policy, self._seed):
            samples = self._written(policy, tokenizer, cast or nullcontext())
            rewarded = self._reward(samples)
        answers = [
            PanelAnswer(
                id=f"{step}/{one.prompt.id}",
                step=step,
                prompt=one.prompt,
                response=sample.answer,
                tokens=sample.tokens,
                finished=sample.finished,
                reward=total,
                parts={name: values[place] for name, values in rewarded.parts.items()},
            )
            for place, (one, sample, total) in enumerate(zip(self._asked, samples, rewarded.total, strict=True))
        ]
        for answer in answers:
            self._folder.append(answer, FILE)
        self._looks.append(self._look_of(step, answers))
        self._log(answers)

    def set_aside(self, step: int, policy: Any) -> None:
        """Keeps the policy's weights if they are those of the best look, which has them not kept yet."""
        if self.best == step and self._aside.step != step:
            self._aside.keep(policy, step)

    def put_back(self, policy: Any) -> None:
        """Where the training was stopped and is to be rolled back: the weights of the best look."""
        if self.rolls_back:
            self._aside.put(policy)

    def close(self) -> dict[str, Any]:
        """Gives back the room on the disk, and says what became of it: looks, `stopped` after which step, `left`."""
        self._aside.remove()
        why, ended = told(self._looks, self._settings.stop), self.last if self.stopped else None
        self._folder.log(f"panel: {why}")
        left = self.best if self.rolls_back else self.last
        return {"looks": len(self._looks), "stopped": ended, "left": left, "why": why}

    def _written(self, policy: Any, tokenizer: Any, cast: AbstractContextManager[Any]) -> tuple[Sample, ...]:
        config, tasks = self._config, [one.task for one in self._asked]
        with cast:
            seeds = seeds_of(len(tasks), self._seed)
            return write(policy, tokenizer, tasks, seeds, config.max_tokens, config.temperature, _AT_ONCE).samples

    def _look_of(self, step: int, answers: Sequence[PanelAnswer]) -> Look:
        rule = self._settings.stop
        held = tuple(answer.parts[rule.reward] for answer in answers) if rule else ()
        return Look(step, tuple(answer.reward for answer in answers), held)

    def _log(self, answers: Sequence[PanelAnswer]) -> None:
        """Logs the figures of the last look, whose answers these are."""
        widened = gaps(self._looks)[-1] if self._settings.stop else None
        found = {**figures(answers), **({"gap": widened} if widened is not None else {})}
        self._watch.metric({"step": self.last, **{f"{PANEL}{name}": value for name, value in found.items()}})


def figures(answers: Sequence[PanelAnswer]) -> dict[str, float]:
    """Means over the answers of one look: the reward, each part, what the answers are like, refusals by kind."""
    totals = tuple(answer.reward for answer in answers)
    parts = {name: tuple(answer.parts[name] for answer in answers) for name in answers[0].parts}
    found = {"reward": _mean(totals), **means(Rewarded(totals, parts))}
    for kind in KINDS:
        rows = [answer.parts for answer in answers if answer.prompt.kind == kind]
        found |= {f"{kind}/{name}": _mean([row[f"{ANSWERS}{name}"] for row in rows]) for name in _BY_KIND if rows}
    return {name.removeprefix(ANSWERS): value for name, value in found.items()}


@contextmanager
def _undisturbed(policy: Any, seed: int) -> Iterator[None]:
    """What is drawn within depends on `seed` alone, what is drawn after it is what would have been drawn without it."""
    modes = [(module, module.training) for module in policy.modules()]
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        policy.eval()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for module, training in modes:
                module.training = training


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
