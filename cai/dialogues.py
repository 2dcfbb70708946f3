"""Conversations to be had under an instruction: which questions follow each other, and what was asked for once."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cai.errors import InputError
from cai.identity import seed_of
from cai.records import Dialogue, Prompt


def dialogues(
    prompts: Sequence[Prompt], instructions: Sequence[Prompt], turns: int, limit: int | None, seed: int
) -> list[Dialogue]:
    """One conversation for each of the first `limit` prompts of one turn: its question, and others drawn by seed.

    Raises InputError where there are fewer such prompts than turns.
    """
    single = [prompt for prompt in prompts if len(prompt.messages) == 1]
    if len(single) < turns:
        raise InputError(
            f"ghost: {len(single)} helpful prompts have one turn, and a conversation asks {turns} different ones; add "
            "prompts, or lower ghost.turns"
        )
    return [_drawn(prompt, single, instructions, turns, seed) for prompt in single[:limit]]


def _drawn(first: Prompt, prompts: Sequence[Prompt], instructions: Sequence[Prompt], turns: int, seed: int) -> Dialogue:
    draw = random.Random(seed_of(seed, "ghost", first.id))
    told = instructions[draw.randrange(len(instructions))]
    others = [prompt for prompt in draw.sample(prompts, min(turns, len(prompts))) if prompt.id != first.id]
    questions = [prompt.messages[0].content for prompt in (first, *others[: turns - 1])]
    return Dialogue(id=first.id, instruction=told.messages[0].content, questions=tuple(questions), source=first.source)
