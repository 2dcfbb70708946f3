"""What the policy is asked in reinforcement learning: the recipe's own prompts and more from files (section 4.2)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from cai.errors import InputError
from cai.identity import seed_of
from cai.questions import load_prompts, split
from cai.records import Kind, Prompt
from cai.rl_config import MorePrompts
from cai.spool import Prompts


def mixed_in(
    own: Mapping[Kind, Sequence[Prompt]],
    sources: Sequence[MorePrompts],
    held_out: float,
    seed: int,
    beside: Path | None = None,
) -> dict[Kind, Sequence[Prompt]]:
    """The prompts of each kind, each of a further source as often as its weight says. All of them stay on disk.

    A prompt that an earlier source has is left out, and so is one that a hash of its text keeps for evaluation, with
    the share `held_out`. Raises InputError where a source has no other.
    """
    found: dict[Kind, Sequence[Prompt]] = dict(own)
    seen = {prompt.id for prompts in found.values() for prompt in prompts} if sources else set[str]()
    for source in sources:
        able, _ = split(load_prompts(source.prompts, source.kind, beside).prompts, held_out)
        new = [prompt for prompt in able[: source.limit] if prompt.id not in seen]
        if not new:
            raise InputError(
                f"rl.prompts: {source.prompts} has no prompt that is neither in an earlier file nor kept for "
                "evaluation; name another file"
            )
        seen.update(prompt.id for prompt in new)
        copies = (prompt for prompt in new for _ in range(_copies(prompt, source.weight, seed)))
        found[source.kind] = Prompts.of(chain(found.get(source.kind, ()), copies))
    return found


def _copies(prompt: Prompt, weight: float, seed: int) -> int:
    """The whole part of the weight, and one more by seed for the rest."""
    whole = math.floor(weight)
    return whole + (random.Random(seed_of(seed, "more prompts", prompt.id)).random() < weight - whole)
