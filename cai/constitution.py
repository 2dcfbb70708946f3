"""A constitution: principles, checked with line numbers, and drawn by seed.

A principle with `critique` and `revision` serves the supervised stage, one with `comparison` serves the
feedback stage, and one may serve both (Bai et al. 2022, App. C keeps two separate sets).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, field_validator

from cai.compose import composed
from cai.errors import InputError, Mistake
from cai.few_shot import ComparisonExample, ReasoningExample, RevisionExample
from cai.identity import digest
from cai.models import Dialect
from cai.principle_tests import PrincipleTest
from cai.resources import find
from cai.yamlfile import YamlFile, read_yaml

Use = Literal["revision", "direct", "comparison", "instruction", "contrast"]
"""What a principle is drawn for: critique and revision, a revision without a critique, a comparison of two answers, an
instruction to the assistant, or such an instruction set against its opposite."""

NEEDS: dict[Use, tuple[str, ...]] = {
    "revision": ("critique", "revision"),
    "direct": ("revision",),
    "comparison": ("comparison",),
    "instruction": ("instruction",),
    "contrast": ("instruction", "opposite"),
}
"""The fields that a principle has where it serves a use."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Wording(_Part):
    """The instructions of a principle, in the words of one dialect."""

    critique: Text | None = Field(None, description="In place of the principle's `critique`.")
    revision: Text | None = Field(None, description="In place of the principle's `revision`.")
    comparison: Text | None = Field(None, description="In place of the principle's `comparison`.")
    instruction: Text | None = Field(None, description="In place of the principle's `instruction`.")
    opposite: Text | None = Field(None, description="In place of the principle's `opposite`.")


class Principle(_Part):
    """One rule. It serves the stages that it has instructions for."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = Field(
        description="Unique name within the constitution: lower-case letters, digits, '-', '_' and '.'."
    )
    critique: Text | None = Field(None, description="Asks for a critique of the assistant's last answer.")
    revision: Text | None = Field(None, description="Asks for a new answer in the light of that critique.")
    comparison: Text | None = Field(None, description="Asks which of two answers is better, and by what measure.")
    instruction: Text | None = Field(
        None, description="Tells the assistant to answer by it: for judging by ratings or by likelihood contrast."
    )
    opposite: Text | None = Field(None, description="Tells the assistant the opposite of `instruction`.")
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="How often it is drawn, relative to others.")
    rounds: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="The rounds of a chain, from 1, in which it may be drawn; none: all."
    )
    tags: tuple[str, ...] = Field((), description="Free labels; a recipe can draw by them.")
    dialects: dict[Dialect, Wording] = Field({}, description="Other words for models of one dialect.")
    tests: tuple[PrincipleTest, ...] = Field((), description="What `cai test` asks of it.")
    notes: str = Field("", description="Why it is here; never shown to a model.")

    def serves(self, use: Use) -> bool:
        """Whether the stage `use` can draw it."""
        return all(getattr(self, field) is not None for field in NEEDS[use])

    def worded(self, dialect: Dialect) -> Principle:
        """The principle in the words that models of `dialect` are shown."""
        own = self.dialects.get(dialect)
        given = own.model_dump(exclude_none=True) if own else {}
        return self.model_copy(update={**given, "dialects": {}})


def _kind_of_examples(value: Any) -> str:
    return "file" if isinstance(value, str) else "examples"


File = Annotated[str, Tag("file")]
RevisionExamples = Annotated[
    File | Annotated[tuple[RevisionExample, ...], Tag("examples")], Discriminator(_kind_of_examples)
]
ComparisonExamples = Annotated[
    File | Annotated[tuple[ComparisonExample, ...], Tag("examples")], Discriminator(_kind_of_examples)
]


ReasoningExamples = Annotated[
    File | Annotated[tuple[ReasoningExample, ...], Tag("examples")], Discriminator(_kind_of_examples)
]


class FewShot(_Part):
    """Worked examples: written here, or the name of a file beside the constitution or of a shipped one."""

    revision: RevisionExamples = Field(
        "few_shot/critique_revision", description="Shown before a critique and a revision."
    )
    comparison: ComparisonExamples = Field("few_shot/comparison", description="Shown to the judge.")
    reasoning: ReasoningExamples = Field(
        "few_shot/comparison_cot", description="Shown to the judge where it is to think before it answers."
    )


class Constitution(_Part):
    """The rules of one run. The order of principles matters to nothing but the seeded draw."""

    name: Text = Field(description="A short name, shown in reports.")
    description: str = Field("", description="What this constitution is for.")
    source: str = Field("", description="Where its ideas come from, and its licence.")
    extends: tuple[str, ...] = Field(
        (), description="Constitutions to start from, shipped or by path; a principle given here again is changed."
    )
    without: tuple[str, ...] = Field((), description="Ids of inherited principles that are left out.")
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] | None = Field(
        None, description="The language of answers, ISO 639-1, where a prompt does not tell; none: not checked."
    )
    system: Text | None = Field(
        None,
        description="A system prompt for the model that answers, critiques and revises, unless the recipe gives it "
        "one; never shown to the judge, and no part of what is trained on.",
    )
    opening: Text | None = Field(
        None, description="What a question about two answers begins with; none: the template's own words."
    )
    few_shot: FewShot = Field(default_factory=lambda: FewShot.model_validate({}), description="Worked examples.")
    principles: tuple[Principle, ...] = Field((), description="The rules themselves.")

    _one_or_many = field_validator("extends", mode="before")(
        lambda value: (value,) if isinstance(value, str) else value
    )

    def able(self, use: Use, round_: int | None = None, tags: Sequence[str] = ()) -> tuple[Principle, ...]:
        """The principles that can be drawn for `use` in this round: those with one of `tags`, where any is given."""
        return self._pool(use, round_, tuple(tags))[0]

    def draw(
        self,
        use: Use,
        seed: int,
        count: int = 1,
        round_: int | None = None,
        tags: tuple[str, ...] = (),
        spent: Collection[str] = (),
    ) -> tuple[Principle, ...]:
        """`count` different principles by weight; the same seed draws the same ones.

        Bai et al. 2022, sections 3.1 and 4.1, draw one, independently and with replacement. `spent` are ids that are
        passed over as long as others are left, for draws without replacement. Fewer than `count` come where there are
        no more. Raises InputError where none can be drawn.
        """
        able, weights = self._pool(use, round_, tags)
        if not able:
            raise InputError(f"constitution {self.name!r}: {_lacking(use, round_, tags)}")
        if count == 1 and not spent:
            return (random.Random(seed).choices(able, cum_weights=weights)[0],)
        left = [one for one in able if one.id not in spent] or able
        return tuple(_by_weight(left, seed)[:count])

    def worded(self, dialect: Dialect) -> Constitution:
        """The constitution in the words that models of `dialect` are shown."""
        fields = {**dict(self), "principles": tuple(one.worded(dialect) for one in self.principles)}
        return Constitution.model_construct(self.model_fields_set, **fields)  # a copy would share the pools

    @cached_property
    def _pools(self) -> dict[Any, tuple[tuple[Principle, ...], list[float]]]:
        return {}

    def _pool(self, use: Use, round_: int | None, tags: tuple[str, ...]) -> tuple[tuple[Principle, ...], list[float]]:
        """Principles and running sums of their weights; a run draws some 100,000 times from a few such pools."""
        key = use, round_, tags
        if key not in self._pools:
            found = tuple(one for one in self.principles if one.serves(use) and _fits(one, round_, tags))
            self._pools[key] = found, list(accumulate(one.weight for one in found))
        return self._pools[key]


def seen(pools: Sequence[tuple[Principle, ...]], use: Use) -> str:
    """Names what a stage can see of the principles that its rounds draw from; all else may change without a new run.

    Last rounds that draw from what the round before drew from are told once: more rounds are no other constitution.
    """
    told = list(pools)
    while len(told) > 1 and told[-1] == told[-2]:
        told.pop()
    fields = {"id", "weight", "rounds", *NEEDS[use]}
    return digest([[one.model_dump(include=fields) for one in pool] for pool in told])


def load_constitution(name: str, beside: Path | None = None) -> Constitution:
    """A constitution by the name of a shipped one, or by path, with what it extends.

    Raises InputError with `file:line:` for every mistake.
    """
    return check_constitution(read_constitution(find("constitutions", name, ".yaml", beside)))


def read_constitution(path: Path) -> YamlFile:
    """The file with what it extends laid under it; its lines tell from which file each value comes."""
    return composed(read_yaml(path), path.parent)


def check_constitution(file: YamlFile) -> Constitution:
    """Validates what the schema alone cannot say: unique ids, and principles that some stage can use."""
    constitution = file.check(Constitution)
    if not constitution.principles:
        raise file.error(("principles",), "no principles; give at least one, or extend a constitution that has some")
    mistakes = [*_duplicates(file, constitution), *_incomplete(file, constitution)]
    if mistakes:
        raise InputError(*mistakes)
    return constitution


def _fits(principle: Principle, round_: int | None, tags: tuple[str, ...]) -> bool:
    in_round = round_ is None or not principle.rounds or round_ in principle.rounds
    return in_round and (not tags or bool(set(tags) & set(principle.tags)))


def _by_weight(principles: Sequence[Principle], seed: int) -> list[Principle]:
    """A random order in which the heavier tend to come first: draws without replacement by weight.

    Efraimidis and Spirakis 2006: the order of u^(1/w) with u uniform, which is that of -log(u)/w from below.
    """
    draw = random.Random(seed)
    times = [draw.expovariate(one.weight) for one in principles]
    return [principles[index] for index in sorted(range(len(principles)), key=times.__getitem__)]


def _lacking(use: Use, round_: int | None, tags: tuple[str, ...]) -> str:
    tagged = f" with a tag of {', '.join(tags)}" if tags else ""
    when = f" in round {round_}" if round_ is not None else ""
    fields = " and ".join(f"'{field}'" for field in NEEDS[use])
    return f"no principle{tagged} serves {use}{when}; give one {fields}"


def _duplicates(file: YamlFile, constitution: Constitution) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for index, principle in enumerate(constitution.principles):
        at = ("principles", index, "id")
        if principle.id in first:
            line = first[principle.id]
            yield file.mistake(at, f"the id {principle.id!r} is taken on line {line}; give each principle its own")
        first.setdefault(principle.id, file.line(at))


def _incomplete(file: YamlFile, constitution: Constitution) -> Iterator[Mistake]:
    for index, principle in enumerate(constitution.principles):
        at = ("principles", index)
        if principle.critique is not None and principle.revision is None:
            yield file.mistake((*at, "revision"), f"{principle.id!r} has a 'critique' and no 'revision'; give both")
        elif principle.opposite is not None and principle.instruction is None:
            yield file.mistake(
                (*at, "instruction"), f"{principle.id!r} has an 'opposite' and no 'instruction'; give both"
            )
        elif not any(map(principle.serves, NEEDS)):
            yield file.mistake(at, f"{principle.id!r} serves no stage; give critique and revision, or comparison")
