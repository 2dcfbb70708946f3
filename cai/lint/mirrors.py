"""Rules for an instruction and its opposite: what sets them apart is what a judge by likelihood contrast measures."""

from __future__ import annotations

from collections.abc import Iterator

from cai.constitution import Constitution
from cai.lint.base import Doubt, Instruction, instructions, words

UNEVEN = 1.5
"""How many times as many words an instruction may have as its opposite, or the reverse. In the constitutions that ship
it is 1.17 at most. How likely an answer is depends on how much stands before it, whatever that says."""

_OTHER = {"instruction": "opposite", "opposite": "instruction"}
_TURN_NOTHING = {"a", "an", "and", "please", "so", "that", "the", "then", "this", "to", "very", "you", "your"}
"""Words by which nobody is told the opposite."""


def no_opposite(constitution: Constitution) -> Iterator[Doubt]:
    """Likelihood contrast and contrastive pairs go by both."""
    for index, principle in enumerate(constitution.principles):
        if principle.serves("instruction") and not principle.serves("contrast"):
            yield (
                ("principles", index, "instruction"),
                f"{principle.id!r} has no 'opposite' to its 'instruction'; the judge's mode `contrast` and contrastive "
                "pairs go by both",
            )


def same_opposite(constitution: Constitution) -> Iterator[Doubt]:
    """Of two texts that ask for the same, a contrast measures nothing."""
    for one, mirror in _mirrors(constitution):
        if _told(one.text) == _told(mirror.text):
            yield one.at, f"says what the {mirror.field!r} of {one.principle.id!r} says, and should say the opposite"


def uneven_opposite(constitution: Constitution) -> Iterator[Doubt]:
    """Where one text is far longer, a contrast measures that as well."""
    for one, mirror in _mirrors(constitution):
        counts = [len(words(each.text)) for each in (one, mirror)]
        if max(counts) > UNEVEN * min(counts):
            yield (
                one.at,
                f"has {counts[0]} words, and the {mirror.field!r} of {one.principle.id!r} has {counts[1]}; give both "
                "about as many, so that a contrast measures the principle and not the length",
            )


def _mirrors(constitution: Constitution) -> Iterator[tuple[Instruction, Instruction]]:
    """Each opposite with its instruction, and each instruction that a dialect sets before the opposite for all."""
    given = {one.at: one for one in instructions(constitution)}
    for at, one in given.items():
        other = _OTHER.get(one.field, "")
        beside = given.get((*at[:-1], other))
        mirror = beside or given.get((*at[:2], other))
        if mirror and (one.field == "opposite" or not beside):
            yield one, mirror


def _told(text: str) -> list[str]:
    """Its words, in their order, but for those that turn nothing."""
    return [word for word in words(text) if word not in _TURN_NOTHING]
