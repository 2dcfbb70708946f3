"""Chains of critique and revision on one prompt: under chosen principles, and of several constitutions in step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from cai.config import ReviseConfig
from cai.constitution import Constitution, Principle, Use
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import InputError
from cai.material import Material
from cai.records import Prompt, Revision
from cai.stages.revise import Revise
from cai.trials.choose import named


def stages(materials: Sequence[Material], principles: Sequence[str], pool: Pool) -> list[Revise]:
    """The stage `revise` of each recipe, as a run has it but for one chain a prompt and the principles chosen.

    The k-th of `principles` is the only one of round k; later rounds draw. Raises InputError as `chosen`.
    """
    rules = [chosen(one.constitution_for(one.assistant), principles, one.recipe.revise) for one in materials]
    shown = [(one.templates(one.assistant), one.revision_examples) for one in materials]
    engines = pool.engines([(one.recipe.engine_of(one.assistant), one.assistant) for one in materials])
    return [
        Revise(Speaker(engine, templates), constitution, examples, config, material.recipe.seed)
        for material, engine, (templates, examples), (constitution, config) in zip(
            materials, engines, shown, rules, strict=True
        )
    ]


def chosen(constitution: Constitution, names: Sequence[str], config: ReviseConfig) -> tuple[Constitution, ReviseConfig]:
    """The constitution and settings under which round k has the k-th named principle, whatever its tags and rounds.

    Raises InputError for an unknown id, and for a principle that has no words for the stage.
    """
    use: Use = "revision" if config.critique else "direct"
    first = [named(constitution, name) for name in names]
    if unfit := [principle.id for principle in first if not principle.serves(use)]:
        needs = "a critique and a revision" if config.critique else "a revision"
        raise InputError(f"constitution {constitution.name!r}: {', '.join(unfit)} cannot be tried; give it {needs}")
    rounds = max(config.rounds, len(names))
    given = [one.model_copy(update={"rounds": (round_,)}) for round_, one in enumerate(first, 1)]
    later = [_from(one, len(names) + 1, rounds) for one in constitution.principles]
    fields = {**dict(constitution), "principles": (*given, *(one for one in later if one))}
    untagged: dict[int, tuple[str, ...]] = dict.fromkeys(range(1, len(names) + 1), ())
    changed = {"samples": 1, "rounds": rounds, "round_tags": {**config.round_tags, **untagged}}
    # A copy of a constitution would share the pools that it draws from.
    return Constitution.model_construct(**fields), config.model_copy(update=changed)


async def in_step(stages: Sequence[Revise], prompt: Prompt) -> AsyncIterator[tuple[Revision | None, ...]]:
    """Round by round, a record of every chain, or None where it has ended; before them, the answer all start from."""
    leading = stages[0](prompt, ())
    first = await anext(leading)
    yield (first,) * len(stages)
    chains = [leading, *(stage(prompt, (first,)) for stage in stages[1:])]
    while any(records := await asyncio.gather(*(anext(chain, None) for chain in chains))):
        yield tuple(records)


def _from(principle: Principle, first: int, last: int) -> Principle | None:
    """The principle in those of its rounds that are from `first` to `last`; None where there are none."""
    rounds = tuple(at for at in range(first, last + 1) if not principle.rounds or at in principle.rounds)
    return principle.model_copy(update={"rounds": rounds}) if rounds else None
