"""Rules for principles as a set: what is drawn, how often, and what the set lacks."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator

from cai.config import ReviseConfig
from cai.constitution import NEEDS, Constitution, Use
from cai.lint.base import FIELDS, Doubt, in_english, instructions
from cai.principle_tests import PrincipleTest

RAREST = 0.01
"""The share of draws below which a principle is as good as left out: one prompt in a hundred."""

SIMILAR = 0.85
"""difflib's ratio from which a tag is taken for another one misspelt: `privcy` has 0.92 to `privacy`, `offense` 0.86 to
`offence`; of the tags that ship, no two that are meant to differ come to it."""

_BALANCE = re.compile(
    r"evasi|evad|preach|lectur|morali[sz]|refus|condescen|unhelpful|sermon|sanctimon|dodg|over-?reacti|judge?mental"
)


def one_stage(constitution: Constitution) -> Iterator[Doubt]:
    """A recipe runs both stages."""
    at = ("principles",)
    if not constitution.able("comparison"):
        yield at, _uncompared(constitution)
    if constitution.able("revision"):
        return
    if constitution.able("direct"):
        yield at, "none has a 'critique'; `cai run` needs `revise.critique: false` in the recipe"
    else:
        yield at, "none has 'critique' and 'revision', so no answer can be revised; `cai run` needs at least one"


def no_critique(constitution: Constitution) -> Iterator[Doubt]:
    """Beside principles with a critique, one without is never drawn together with them."""
    for index, principle in enumerate(constitution.principles):
        if principle.serves("direct") and not principle.serves("revision") and constitution.able("revision"):
            yield (
                ("principles", index),
                f"{principle.id!r} has a 'revision' and no 'critique'; it is drawn only where a recipe has "
                "`revise.critique: false`",
            )


def empty_rounds(constitution: Constitution) -> Iterator[Doubt]:
    """A chain whose round has no principle can't run."""
    use = _revising(constitution)
    if not constitution.able(use):
        return
    last = max(_rounds(), *(max(one.rounds, default=0) for one in constitution.principles))
    empty = [str(number) for number in range(1, last + 1) if not constitution.able(use, number)]
    if empty:
        yield (
            ("principles",),
            f"no principle can be drawn in round {', '.join(empty)}, so a recipe with that many rounds does not run "
            f"({_rounds()} is the default); leave 'rounds' out of one",
        )


def late_rounds(constitution: Constitution) -> Iterator[Doubt]:
    """Rounds that no recipe comes to unless it asks for more than by default."""
    for index, principle in enumerate(constitution.principles):
        if principle.rounds and min(principle.rounds) > _rounds():
            yield (
                ("principles", index, "rounds"),
                f"{principle.id!r} is drawn from round {min(principle.rounds)} on; a recipe has {_rounds()} rounds "
                "unless `revise.rounds` says more",
            )


def idle_rounds(constitution: Constitution) -> Iterator[Doubt]:
    """Comparisons have no rounds."""
    for index, principle in enumerate(constitution.principles):
        if principle.rounds and principle.revision is None:
            yield ("principles", index, "rounds"), f"{principle.id!r} only compares, and comparisons have no rounds"


def rarely_drawn(constitution: Constitution) -> Iterator[Doubt]:
    """A weight that leaves a principle out in all but name. In a large set with equal weights every share is small."""
    uses: tuple[Use, ...] = _revising(constitution), "comparison"
    for use in uses:
        pool = constitution.able(use)
        total = sum(one.weight for one in pool)
        for index, principle in enumerate(constitution.principles):
            share = principle.weight / total if principle.serves(use) else 1
            if share < RAREST and principle.weight < total / len(pool) / 4:
                kind = "comparison" if use == "comparison" else "revision"
                yield (
                    ("principles", index, "weight"),
                    f"{principle.id!r} is drawn for {share * 100:.2g} % of {kind}s; raise its weight, or leave it out",
                )


def dialect_only(constitution: Constitution) -> Iterator[Doubt]:
    """Words for one dialect stand in place of words for all."""
    for index, principle in enumerate(constitution.principles):
        for dialect, wording in principle.dialects.items():
            for field in FIELDS:
                if getattr(wording, field) is not None and getattr(principle, field) is None:
                    yield (
                        ("principles", index, "dialects", dialect, field),
                        f"{principle.id!r} has no {field!r} but this one, so other models are never shown any; "
                        "give it one",
                    )


def no_balance(constitution: Constitution) -> Iterator[Doubt]:
    """What rewards harmlessness alone teaches to refuse and to preach.

    Three of the 16 comparisons of Bai et al. 2022 (App. C.2) are against that (section 4.3).
    """
    tags = [tag for principle in constitution.principles for tag in principle.tags]
    texts = [one.text for one in instructions(constitution) if one.field != "opposite"]
    if any(map(in_english, texts)) and not any(_BALANCE.search(text.lower()) for text in [*tags, *texts]):
        yield (
            ("principles",),
            "none is against evading, refusing or preaching, which training for harmlessness breeds; "
            "add one, or extend a constitution that has some",
        )


def no_tests(constitution: Constitution) -> Iterator[Doubt]:
    """Without a test nothing shows whether a model understands a principle as it was meant."""
    if not any(principle.tests for principle in constitution.principles):
        yield ("principles",), "none has 'tests'; give one a pair of answers, and ask a model with `cai test`"


def idle_tests(constitution: Constitution) -> Iterator[Doubt]:
    """Tests that the principle has no instruction for."""
    for index, principle in enumerate(constitution.principles):
        for number, test in enumerate(principle.tests):
            if not any(map(principle.serves, _asked_by(test))):
                yield (
                    ("principles", index, "tests", number),
                    f"tests the {_asks(test)} of {principle.id!r}, which has none",
                )


def repeated_tests(constitution: Constitution) -> Iterator[Doubt]:
    """The same test twice tells nothing more."""
    for index, principle in enumerate(constitution.principles):
        for number, test in enumerate(principle.tests):
            if (before := principle.tests.index(test)) < number:
                yield (
                    ("principles", index, "tests", number),
                    f"is the same test as number {before + 1} of {principle.id!r}",
                )


def tag_typos(constitution: Constitution) -> Iterator[Doubt]:
    """A tag used once that is nearly another one. Opposites such as `legality` and `illegality` are let be."""
    places = [
        (tag, ("principles", index, "tags", number))
        for index, principle in enumerate(constitution.principles)
        for number, tag in enumerate(principle.tags)
    ]
    count = Counter(tag for tag, _ in places)
    known = sorted(count, key=lambda tag: -count[tag])
    for tag, at in places:
        meant = next((one for one in known[: known.index(tag)] if _misspelt(tag, one)), None)
        if count[tag] == 1 and meant:
            yield at, f"the tag {tag!r} stands here alone; is {meant!r} meant?"


def _uncompared(constitution: Constitution) -> str:
    if constitution.able("instruction"):
        return "none has a 'comparison'; `cai run` needs `compare.judge.mode: score` or `contrast` in the recipe"
    return "none has a 'comparison', so there is nothing to judge answers by; `cai run` needs at least one"


def _rounds() -> int:
    """The rounds of a recipe that gives none."""
    return ReviseConfig().rounds


def _revising(constitution: Constitution) -> Use:
    """What it can be used for: revisions with a critique before them, or else without."""
    return "revision" if constitution.able("revision") else "direct"


def _misspelt(tag: str, other: str) -> bool:
    opposite = tag.endswith(other) or other.endswith(tag)
    return not opposite and difflib.SequenceMatcher(None, tag.casefold(), other.casefold()).ratio() >= SIMILAR


def _asks(test: PrincipleTest) -> str:
    return NEEDS["comparison"][0] if test.better else NEEDS["revision"][0]


def _asked_by(test: PrincipleTest) -> tuple[Use, ...]:
    """What a principle may serve for a test to be asked of it: a pair by any judge, a critique by words for one."""
    return ("comparison", "instruction") if test.better else ("revision",)
