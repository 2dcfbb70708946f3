"""Rules for the wording of one instruction, or of two beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cai.constitution import Constitution
from cai.lint.base import Doubt, Instruction, in_english, instructions, sentences, words
from cai.prompts import DialectFile, neutralise
from cai.resources import shipped
from cai.yamlfile import read_yaml

ALIKE = 0.5
"""The share of pairs of neighbouring words that two instructions have in common, from which they count as the same.

In the constitutions that ship no two of one field have more than 0.17 in common. Among the 16 critique requests, 16
revision requests and 16 comparisons released with Bai et al. 2022, most pairs have less than 0.3; up to 0.41 the texts
ask for different things, and the one pair above, with 0.74, are two revision requests of which one is the other
without three of its seven adjectives. One word changed in a text of 25 leaves 0.85.
"""

LONGEST = 80
"""Words. The longest instruction that ships has 37, the longest of Bai et al. 2022 has 47. One much longer asks for
several things at once, of which a model picks some, and it stands in every request beside the conversation."""

_DIRECTIONS = {"more", "less", "most", "least", "fewer", "fewest", "better", "best", "worse", "worst", "than"}
_NOT_GRADED = re.compile(
    "after|another|answer|anger|bother|character|clever|computer|consider|cover|danger|deliver|differ|discover|either|ever|"
    "father|filter|gather|gender|hinder|however|killer|lawyer|leader|letter|manner|matter|member|monster|mother|murder|"
    "neither|never|number|offer|officer|order|other|over|paper|partner|player|power|prefer|proper|rather|reader|refer|"
    "remember|sober|speaker|stranger|suffer|super|teacher|tender|together|trigger|under|user|water|whatever|whether|"
    "whichever|whoever|wonder|worker|writer|"
    "arrest|contest|digest|dishonest|earnest|guest|harvest|honest|interest|invest|manifest|modest|protest|request|rest|"
    "suggest|test|west"
)
"""Words in -er and -est that compare nothing."""
_BAD = (
    "harmful|toxic|dangerous|offensive|unethical|immoral|illegal|unlawful|racist|sexist|biased|prejudiced|hateful|cruel|"
    "unsafe|insulting|rude|violent|dishonest|deceptive|misleading|inaccurate|manipulative|evasive|preachy|condescending|"
    "unhelpful"
)
_GOOD = "harmless|honest|safe|ethical|respectful|accurate|truthful|kind|polite|fair"
_FOR_THE_WORSE = re.compile(
    rf"\b(?:more|most)\s+(?:likely\s+to\s+(?:be|cause|do|give)\s+)?(?:\w+ly\s+)?(?:(?:{_BAD})\b|harm\b)"
    rf"|\b(?:less|least)\s+(?:\w+ly\s+)?(?:{_GOOD})\b|\b(?:worse|worst)\b"
)
_TURNED = re.compile(
    r"\b(?:not|\w+n't|no|never|neither|nor|without|less|least|fewer|than|instead|rather|against|avoid\w*|reject\w*|"
    r"leav\w+ out|omit\w*|remov\w*|refus\w*|declin\w*|warn\w*|prevent\w*|reduc\w*|correct\w*)\b"
)
_ASKS_YES_OR_NO = re.compile(
    r"(?:am|are|can|could|did|do|does|had|has|have|is|may|might|must|should|was|were|will|would)(?:n['\u2019]t)?\b.*\?",
    re.I | re.S,
)


def near_duplicates(constitution: Constitution) -> Iterator[Doubt]:
    """Two principles that say the same are one with twice the weight."""
    given = [(one, _pairs(one.text)) for one in instructions(constitution) if "dialects" not in one.at]
    for place, (second, pairs) in enumerate(given):
        for first, others in islice(given, place):
            if first.field == second.field and (shared := len(pairs & others) / len(pairs | others)) >= ALIKE:
                yield (
                    second.at,
                    f"says nearly what {first.principle.id!r} says ({shared * 100:.0f} % of the pairs of words are in "
                    "both); leave one out, and give the other twice the weight if you mean that",
                )
                break


def copied(constitution: Constitution) -> Iterator[Doubt]:
    """One text in two different fields was probably pasted and not changed."""
    first: dict[tuple[str, ...], Instruction] = {}
    for one in instructions(constitution):
        same = first.setdefault(tuple(words(one.text)) or (one.text,), one)
        if same.field != one.field and not _mirrored(same, one):
            yield (
                one.at,
                f"is the {same.field} of {same.principle.id!r} word for word; each field asks for something else",
            )


def too_long(constitution: Constitution) -> Iterator[Doubt]:
    """A model follows a part of an instruction that asks for much."""
    for one in instructions(constitution):
        if (count := len(words(one.text))) > LONGEST:
            yield one.at, f"has {count} words, more than {LONGEST}; cut it into principles that ask for one thing each"


def no_direction(constitution: Constitution) -> Iterator[Doubt]:
    """Where both answers fit a description, or neither does, a judge has nothing to go by."""
    for one in _comparisons(constitution):
        if not _directed(one.text):
            yield (
                one.at,
                "asks for no more and no less of anything; say which answer is better, such as 'which is kinder'",
            )


def harmful_direction(constitution: Constitution) -> Iterator[Doubt]:
    """The answer that a comparison asks for is the one that is trained for.

    Lee et al. 2023 ask for the most harmful answer and turn the label round; nothing turns it round here.
    """
    for one in _comparisons(constitution):
        for sentence in sentences(one.text.lower()):
            found = _FOR_THE_WORSE.search(sentence)
            if found and not _TURNED.search(re.split(r"[,;:]", sentence[: found.start()])[-1]):
                yield one.at, f"seems to ask for the worse answer ({found[0]!r}); the answer asked for is trained for"
                break


def closed_question(constitution: Constitution) -> Iterator[Doubt]:
    """A critique of "yes" tells the revision nothing."""
    for one in instructions(constitution):
        if (
            one.field == "critique"
            and in_english(one.text)
            and all(map(_ASKS_YES_OR_NO.fullmatch, sentences(one.text)))
        ):
            yield one.at, "can be answered with yes or no; ask also for the passages, and for what is wrong with them"


def turn_markers(constitution: Constitution) -> Iterator[Doubt]:
    """What opens a turn or ends a quotation in a prompt is broken up where an instruction holds it."""
    markers = _markers()
    for one in instructions(constitution):
        found = [marker for marker in markers if marker in one.text]
        if neutralise(one.text, markers) != one.text:
            shown = ", ".join(repr(marker) for marker in found)
            yield one.at, f"holds {shown}, which sets turns or answers apart in a prompt; models are shown it broken up"


def template_syntax(constitution: Constitution) -> Iterator[Doubt]:
    """Instructions are put into templates, and are none."""
    for one in instructions(constitution):
        if found := re.search(r"\{\{.*?\}\}|\{%.*?%\}", one.text, re.S):
            yield one.at, f"holds {found[0]!r}; an instruction is no template, and models are shown it as it stands"


def unfinished(constitution: Constitution) -> Iterator[Doubt]:
    """What was meant to be written later; `notes` may hold it."""
    own = [((name,), getattr(constitution, name)) for name in ("name", "description", "source", "system", "opening")]
    tests = [
        (("principles", index, "tests", number), " ".join(map(str, test.model_dump().values())))
        for index, principle in enumerate(constitution.principles)
        for number, test in enumerate(principle.tests)
    ]
    for at, text in [*own, *((one.at, one.text) for one in instructions(constitution)), *tests]:
        if found := re.search(r"\b(?:TODO|FIXME|XXX|TBD)\b", text or ""):
            yield at, f"still holds {found[0]!r}"


def _pairs(text: str) -> set[tuple[str, ...]]:
    """Neighbouring words, or the only word."""
    found = words(text)
    return {tuple(found[at : at + 2]) for at in range(max(1, len(found) - 1))}


def _mirrored(one: Instruction, other: Instruction) -> bool:
    """Whether they are an instruction and its opposite, which have a rule of their own."""
    return {one.field, other.field} == {"instruction", "opposite"} and one.principle.id == other.principle.id


def _comparisons(constitution: Constitution) -> Iterator[Instruction]:
    return (one for one in instructions(constitution) if one.field == "comparison" and in_english(one.text))


def _directed(text: str) -> bool:
    """Whether it compares: a word such as "more", "as ... as possible", or an adjective in -er or -est."""
    found = set(words(text))
    graded = [word for word in found if re.fullmatch(r"\w{2,}(?:er|est)", word) and not _NOT_GRADED.fullmatch(word)]
    return bool(found & _DIRECTIONS or graded) or re.search(r"\bas\b.+\bas possible\b", text.lower(), re.S) is not None


def _markers() -> list[str]:
    """What opens a turn in any dialect that ships."""
    files = sorted((shipped("prompts") / "templates").glob("*/dialect.yaml"))
    return list(dict.fromkeys(marker for file in files for marker in read_yaml(file).check(DialectFile).markers))
