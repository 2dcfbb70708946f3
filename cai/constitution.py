"""A constitution: principles from YAML, checked with line numbers, and drawn by seed.

A principle with `critique` and `revision` serves the supervised stage, one with `comparison` serves the
feedback stage, and one may serve both (Bai et al. 2022, App. C keeps two separate sets).
"""

from __future__ import annotations

import random
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cai.errors import InputError
from cai.identity import digest
from cai.resources import find
from cai.yamlfile import YamlFile, read_yaml

Use = Literal["revision", "comparison"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Principle(BaseModel):
    """One rule. At least one of `critique` + `revision` and `comparison` is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = Field(
        description="Unique name within the constitution: lower-case letters, digits, '-', '_' and '.'."
    )
    critique: Text | None = Field(None, description="Asks for a critique of the assistant's last answer.")
    revision: Text | None = Field(None, description="Asks for a new answer in the light of that critique.")
    comparison: Text | None = Field(None, description="Asks which of two answers is better, and by what measure.")
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="How often it is drawn, relative to others.")
    tags: tuple[str, ...] = Field((), description="Free labels, for your own grouping.")
    notes: str = Field("", description="Why it is here; never shown to a model.")

    def serves(self, use: Use) -> bool:
        """Whether the stage `use` can draw it."""
        return getattr(self, use) is not None


class Constitution(BaseModel):
    """The rules of one run. The order of principles matters to nothing but the seeded draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text = Field(description="A short name, shown in reports.")
    description: str = Field("", description="What this constitution is for.")
    source: str = Field("", description="Where its ideas come from, and its licence.")
    principles: tuple[Principle, ...] = Field(min_length=1, description="The rules themselves.")

    def serving(self, use: Use) -> tuple[Principle, ...]:
        """The principles that the stage `use` can draw."""
        return tuple(principle for principle in self.principles if principle.serves(use))

    def draw(self, use: Use, seed: int) -> Principle:
        """One principle by weight; the same seed draws the same one.

        Independent draws with replacement: Bai et al. 2022, sections 3.1 and 4.1. Raises InputError where no
        principle serves `use`.
        """
        able, weights = self._drawn[use]
        if not able:
            fields = "'critique' and 'revision'" if use == "revision" else "'comparison'"
            raise InputError(f"constitution {self.name!r}: no principle serves {use}; give one {fields}")
        return random.Random(seed).choices(able, cum_weights=weights)[0]

    @cached_property
    def _drawn(self) -> dict[Use, tuple[tuple[Principle, ...], list[float]]]:
        """What each stage draws from, with the running sums of the weights; a run draws some 100,000 times."""
        able = {use: self.serving(use) for use in get_args(Use)}
        return {use: (found, list(accumulate(one.weight for one in found))) for use, found in able.items()}

    def digest_for(self, use: Use) -> str:
        """Names what the stage `use` can see, so that all else may change without a new run."""
        unseen = {"tags", "notes"} | ({"comparison"} if use == "revision" else {"critique", "revision"})
        seen = [principle.model_dump(exclude=unseen) for principle in self.serving(use)]
        return digest(seen)


def load_constitution(name: str, beside: Path | None = None) -> Constitution:
    """A constitution by the name of a shipped one, or by path.

    Raises InputError with `file:line:` for every mistake.
    """
    file = read_yaml(find("constitutions", name, ".yaml", beside))
    return check_constitution(file)


def check_constitution(file: YamlFile) -> Constitution:
    """Validates what the schema alone cannot say: unique ids and complete pairs."""
    constitution = file.check(Constitution)
    mistakes = [*_duplicates(file, constitution), *_incomplete(file, constitution)]
    if mistakes:
        raise InputError("\n".join(str(mistake) for mistake in mistakes))
    return constitution


def _duplicates(file: YamlFile, constitution: Constitution) -> list[InputError]:
    first: dict[str, int] = {}
    mistakes = []
    for index, principle in enumerate(constitution.principles):
        line = file.line(("principles", index, "id"))
        if principle.id in first:
            message = f"the id {principle.id!r} is taken on line {first[principle.id]}; give each principle its own"
            mistakes.append(file.error(("principles", index, "id"), message))
        first.setdefault(principle.id, line)
    return mistakes


def _incomplete(file: YamlFile, constitution: Constitution) -> list[InputError]:
    mistakes = []
    for index, principle in enumerate(constitution.principles):
        at = ("principles", index)
        if (principle.critique is None) != (principle.revision is None):
            missing = "revision" if principle.revision is None else "critique"
            mistakes.append(file.error(at, f"{principle.id!r} lacks {missing!r}; critique and revision go together"))
        elif not principle.serves("revision") and not principle.serves("comparison"):
            mistakes.append(
                file.error(at, f"{principle.id!r} serves no stage; give critique and revision, or comparison")
            )
    return mistakes
