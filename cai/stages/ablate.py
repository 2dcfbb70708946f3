"""Ablate: the chains of stage `revise` again, from the same first answers, with one thing changed.

Bai et al. 2022, Fig. 6: how many principles there are to draw from (section 3.4). Fig. 7: revisions without a critique
before them (section 3.5). A variant draws by the seeds of the run's own chains, so direct revisions are made under the
very principles of the critiqued ones. Of n principles it takes the constitution's first n: which these are matters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from cai.config import AblateConfig, ReviseConfig
from cai.constitution import Constitution, Principle, Use
from cai.errors import InputError
from cai.records import Prompt, Revision
from cai.stages.revise import Revise

DIRECT = "direct"


@dataclass(frozen=True)
class Variant:
    """What chains of one name are made with."""

    name: str
    config: ReviseConfig
    constitution: Constitution


def variants(ablate: AblateConfig, revise: ReviseConfig, constitution: Constitution) -> list[Variant]:
    """The chains that `ablate` asks for; what the run's own chains are already is left out.

    Raises InputError where nothing is left, where it asks for more principles than there are, or for so few that a
    round has none.
    """
    able = drawable(revise, constitution)
    fewer = [count for count in dict.fromkeys(ablate.principles) if count != len(able)]
    found = [_fewer(revise, constitution, able, count) for count in fewer]
    if ablate.direct and revise.critique:
        config = revise.model_copy(update={"critique": False})
        found.append(Variant(DIRECT, config, _of(constitution, able)))
    if not found:
        raise InputError(
            "ablate: asks for no chains but the run's own; set ablate.direct=true, or name numbers of principles, such "
            "as principles: [1]"
        )
    return found


def name_of(count: int) -> str:
    """The name of chains that draw from the first `count` principles."""
    return f"principles={count}"


def drawable(config: ReviseConfig, constitution: Constitution) -> list[Principle]:
    """The principles that the chains can draw in any round, in the constitution's order."""
    rounds = range(1, config.rounds + 1)
    ids = {one.id for round_ in rounds for one in constitution.able(_use(config), round_, config.tags_of(round_))}
    return [one for one in constitution.principles if one.id in ids]


def _fewer(config: ReviseConfig, constitution: Constitution, able: Sequence[Principle], count: int) -> Variant:
    if count > len(able):
        raise InputError(f"ablate.principles: {count} asked for, there are {len(able)} that the chains can draw")
    some = _of(constitution, able[:count])
    for round_ in range(1, config.rounds + 1):
        if not some.able(_use(config), round_, config.tags_of(round_)):
            raise InputError(
                f"ablate.principles: of the first {count} principles none can be drawn in round {round_}; ask for more"
            )
    return Variant(name_of(count), config, some)


def _of(constitution: Constitution, principles: Sequence[Principle]) -> Constitution:
    """A constitution of some of the principles; a copy would keep the pools of the whole."""
    return Constitution.model_validate({**dict(constitution), "principles": tuple(principles)})


def _use(config: ReviseConfig) -> Use:
    return "revision" if config.critique else "direct"


@dataclass(frozen=True)
class Ablate:
    """Yields the rounds of each variant's chains; `first` holds the run's own first answers by prompt id."""

    chains: tuple[Revise, ...]
    first: Mapping[str, Sequence[Revision]]

    async def __call__(self, prompt: Prompt, done: Sequence[Revision]) -> AsyncIterator[Revision]:
        """The rounds that are not stored yet."""
        for chain in self.chains:
            begun = [one.model_copy(update={"variant": chain.variant}) for one in self.first[prompt.id]]
            stored = [one for one in done if one.variant == chain.variant]
            async for revision in chain(prompt, [*begun, *stored]):
                yield revision
