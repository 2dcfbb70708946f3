"""What the policy is asked in reinforcement learning: the tasks, and the order in which they come."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cai.errors import InputError
from cai.prompts import Rendered
from cai.records import Kind
from cai.trainers.reward import Sample

Prompt = TypeVar("Prompt")


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt of reinforcement learning. `facts`: what its file says beside it."""

    prompt: Rendered
    kind: Kind
    facts: Mapping[str, Any] = field(default_factory=dict)

    def sample(self, text: str, tokens: int, ended: bool) -> Sample:
        """An answer to it, of which the policy wrote so many tokens, and ended it or not.

        The text is cut at the prompt's stop strings, where a transcript's answer ends, and stripped.
        """
        cut = min((at for stop in self.prompt.stop if (at := text.find(stop)) >= 0), default=None)
        return Sample(self.prompt, text[:cut].strip(), self.kind, tokens, ended or cut is not None, self.facts)


def mix(harmful: Sequence[Prompt], helpful: Sequence[Prompt], share: float, count: int, seed: int) -> list[Prompt]:
    """`count` prompts, a `share` of them helpful; each set is gone through in a new order before any repeats.

    Raises InputError where a set that the share asks for is empty.
    """
    draw = random.Random(seed)
    wanted = {"helpful": round(share * count), "harmful": count - round(share * count)}
    mixed: list[Prompt] = []
    for name, prompts in (("helpful", helpful), ("harmful", harmful)):
        if wanted[name] and not prompts:
            raise InputError(f"rl: helpful_share {share} asks for {name} prompts and there are none")
        passes = -(-wanted[name] // max(1, len(prompts)))
        mixed += [prompt for _ in range(passes) for prompt in draw.sample(prompts, len(prompts))][: wanted[name]]
    draw.shuffle(mixed)
    return mixed


def in_turn(tasks: Sequence[Prompt], step: int, count: int) -> list[Prompt]:
    """The `count` tasks of a step (from 1); from the last one it goes on with the first."""
    first = (step - 1) * count
    return [tasks[place % len(tasks)] for place in range(first, first + count)]
