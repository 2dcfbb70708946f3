"""A constitution's tests and what comes of them: whether the better answer is preferred, and what a critique finds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from cai.constitution import NEEDS, Principle, Use
from cai.errors import InputError
from cai.material import Material
from cai.models import ModelConfig
from cai.principle_tests import PrincipleTest
from cai.records import Completion, Record, Verdict
from cai.terminal import UNSPACED
from cai.trials.choose import named

Kind = Literal["comparison", "critique"]
Seat = Literal["a", "b"]
SEATS: tuple[Seat, Seat] = ("a", "b")

_LETTER = rf"[^\W{UNSPACED}]"
"""What a phrase may not be cut out of; in scripts without spaces it may begin and end anywhere."""


class Case(Record):
    """One test of a principle; the principle is in the words that the model asked is shown."""

    id: str
    principle: Principle
    test: PrincipleTest

    @property
    def kind(self) -> Kind:
        """What is asked for."""
        return _kind(self.test)


class Outcome(Record):
    """What came of a test: the `verdict`, in which the better answer is `a`; or a `critique` and what it lacks.

    `missing` holds the entries of `finds` of which the critique has no phrase. `error` says why a call was not
    answered.
    """

    case: Case
    verdict: Verdict | None = None
    critique: Completion | None = None
    missing: tuple[str, ...] = ()
    error: str = ""

    def replies(self) -> list[Completion]:
        """The critique, or what the judge wrote."""
        judged = self.verdict.readings if self.verdict else ()
        return [*super().replies(), *(one.reply for one in judged if one.reply)]

    def p_better(self, shown_as: Seat | None) -> float | None:
        """P(the better answer is preferred), it being shown first, as "a", or second, or as None: by itself.

        None where that was not asked or not read; the mean of several chains of thought.
        """
        readings = self.verdict.readings if self.verdict else ()
        asked = [one.p_a for one in readings if one.first == shown_as]
        read = [p for p in asked if p is not None]
        return sum(read) / len(read) if read and len(read) == len(asked) else None

    @property
    def seatless(self) -> bool:
        """Whether the judge was shown the answers one by one."""
        return self.verdict is not None and any(one.first is None for one in self.verdict.readings)

    @property
    def sides(self) -> tuple[int, ...]:
        """Which answer is preferred each time that was read: 1 the better, -1 the worse, 0 neither."""
        read = [p for seat in (*SEATS, None) if (p := self.p_better(seat)) is not None]
        return tuple((p > 0.5) - (p < 0.5) for p in read)

    @property
    def flipped(self) -> bool:
        """Whether the judge prefers the other answer once they have changed seats."""
        return sorted(self.sides) == [-1, 1]

    @property
    def passed(self) -> bool:
        """Whether the better answer is preferred in all orders there are, or the critique finds all that it must."""
        if self.case.kind == "critique":
            return self.critique is not None and not self.missing
        return self.sides == ((1,) if self.seatless else (1, 1))

    @property
    def unread(self) -> str:
        """Why there is no verdict on a pair, or no answer at all; empty where there is."""
        return self.error or (self.verdict.reason if self.verdict and self.verdict.state != "parsed" else "")


def cases(material: Material, only: Sequence[str]) -> list[Case]:
    """The tests of all principles, or of those in `only`.

    Raises InputError for an unknown id, where there is no test, and for a test that its principle has no words for.
    """
    constitution = material.constitution
    chosen = {named(constitution, name).id for name in only} or {one.id for one in constitution.principles}
    worded = {kind: material.constitution_for(model).principles for kind, model in asked_models(material).items()}
    found = [
        Case(id=f"{principle.id}/{number}", principle=worded[_kind(test)][index], test=test)
        for index, principle in enumerate(constitution.principles)
        if principle.id in chosen
        for number, test in enumerate(principle.tests, 1)
    ]
    if not found:
        of = f" of {', '.join(only)}" if only else ""
        raise InputError(
            f"constitution {constitution.name!r}: no tests{of}; give a principle `tests`: each a prompt, and either "
            "`better` and `worse` answers, or an `answer` and what its critique `finds`"
        )
    _check(material, found)
    return found


def asked_models(material: Material) -> dict[Kind, ModelConfig]:
    """Who is asked for each kind of case: the judge compares, the assistant criticises."""
    return {"comparison": material.recipe.models.feedback, "critique": material.assistant}


def holds(text: str, wanted: str) -> bool:
    """Whether `text` has one of the phrases, parted by `|`, as whole words, whatever their case and spacing."""
    phrases = [r"\s+".join(map(re.escape, phrase.split())) for phrase in wanted.split("|") if phrase.strip()]
    whole = rf"(?<!{_LETTER})(?:{'|'.join(phrases)})(?!{_LETTER})"
    return bool(phrases) and re.search(whole, text, re.IGNORECASE) is not None


def _kind(test: PrincipleTest) -> Kind:
    return "critique" if test.answer else "comparison"


def _check(material: Material, found: Sequence[Case]) -> None:
    told = [
        f"test {case.id} asks for {' and '.join(lacking)}, and {case.principle.id!r} has none"
        for case in found
        if (lacking := _lacking(case, material.recipe.compare.judge.use))
    ]
    if told:
        name = material.constitution.name
        raise InputError(f"constitution {name!r}: {'; '.join(told)}; give it one, or drop the test")


def _lacking(case: Case, use: Use) -> list[str]:
    """What the principle of a case has no words for: a pair is judged by what the judge's mode needs."""
    needed = NEEDS[use] if case.kind == "comparison" else ("critique",)
    return [f"{'an' if one[0] in 'io' else 'a'} {one}" for one in needed if getattr(case.principle, one) is None]
