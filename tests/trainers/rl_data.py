"""Tasks, rewards without a model, and a log, for the tests of reinforcement learning."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from cai.prompts import Rendered, Templates
from cai.records import Kind, Message
from cai.reward_config import Llama2Reward
from cai.trainers.llama2_reward import Llama2
from cai.trainers.mixing import Task
from cai.trainers.processes import over_all
from cai.trainers.reward import Reward, Rewarded, Sample
from cai.trainers.rewards import Part, Sum
from cai.trainers.watched import Watched

TEMPLATES = Templates("chat")


def prompts(word: str, count: int) -> list[Rendered]:
    asked = [(Message(role="user", content=f"{word} {i}"),) for i in range(count)]
    return [TEMPLATES.render("respond", messages=messages) for messages in asked]


WORDS: dict[Kind, str] = {"harmful": "bad", "helpful": "good"}


def tasks(kind: Kind, count: int) -> list[Task]:
    """Each knows its number."""
    return [Task(prompt, kind, {"n": n}) for n, prompt in enumerate(prompts(WORDS[kind], count))]


class By:
    """A reward of one part, by a function of the sample."""

    def __init__(self, value: Callable[[Sample], float]) -> None:
        self._value = value

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        total = tuple(map(self._value, samples))
        return Rewarded(total, {"own": total})

    def close(self) -> None: ...


def letters(sample: Sample) -> float:
    """The share of tokens that are letters: about 0.2 of random ones, and at best 1."""
    return sum(one.isascii() and one.isalpha() for one in sample.answer) / max(1, sample.tokens)


class Letters:
    """Likes answers of a's, in two parts; keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[list[Sample]] = []

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        self.seen.append(list(samples))
        share = tuple(one.answer.lower().count("a") / max(1, len(one.answer)) for one in samples)
        long = tuple(float(one.tokens) for one in samples)
        return Rewarded(tuple(10 * s for s in share), {"share": share, "tokens": long})

    def close(self) -> None: ...


def ruled(helpfulness: Reward) -> Reward:
    """Llama 2's rule, whitened over all processes, as a recipe has it; the prompts being harmful, letters count."""
    return Watched(Sum([Part("llama2", 1.0, Llama2(By(letters), helpfulness, Llama2Reward(), over_all))]), over_all)


class Log:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def step(self, done: int, total: int) -> None: ...

    def metric(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def of(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]


class Stop(Log):
    """Presses Ctrl-C after a step."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, total: int) -> None:
        if done == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def rise(values: Sequence[float]) -> float:
    """How far the last five are above the first five."""
    return (sum(values[-5:]) - sum(values[:5])) / 5
