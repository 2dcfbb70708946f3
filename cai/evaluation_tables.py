"""The figures of an evaluation as tables of text: what a terminal, the page and the summary in Markdown show alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.contestants import in_order
from cai.differences import differences, sentences
from cai.evaluation import Evaluation
from cai.refusal_figures import CLASSES, ClassifierFigures, Conducts
from cai.stats import Estimate, to_text
from cai.win_rates import Duel

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table. `words`: how many of its first columns hold no numbers. `said`: what it shows, in sentences.

    `stage`: the one whose records the figures are of.
    """

    title: str
    headings: Cells
    rows: tuple[Cells, ...]
    note: str
    stage: str
    words: int = 1
    said: tuple[str, ...] = ()


def grids(found: Evaluation) -> list[Grid]:
    """A table for each suite that was run; in brackets 95 % intervals."""
    return list(_grids(found))


def _grids(found: Evaluation) -> Iterator[Grid]:
    if found.duels:
        yield _duels(found)
    if found.elo:
        yield _elo(found)
    if found.harm:
        yield _harm(found)
    if found.refusals:
        yield _conducts(found, "What answers to held-out prompts do, %", "refusals", found.refusals, _REFUSALS)
    if found.over_refusal:
        title = "Over-refusal: answers to prompts that look unsafe, %"
        yield _conducts(found, title, "over_refusal", found.over_refusal, _OVER_REFUSAL)
    if found.classifier:
        yield _classifier(found.classifier)
    if found.choices:
        yield _choices(found)
    if found.sameness and (found.duels or found.harm or found.refusals or found.over_refusal):
        yield _sameness(found)


def shown(estimate: Estimate | None, scale: float = 1.0, digits: int | None = None) -> str:
    """A value with its interval, as in `0.42 [0.31, 0.55]`; a scale of 100 makes per cent."""
    if estimate is None:
        return "-"
    places = digits if digits is not None else 0 if scale == 100 else 2
    value, low, high = (scale * x for x in (estimate.value, estimate.low, estimate.high))
    if all(map(math.isfinite, (value, low, high))):
        return to_text(Estimate(value, low, high, estimate.n), places)
    if estimate.n == 1:
        return f"{_number(value, places)} (one value)"
    return f"{_number(value, places)} [{_number(low, places)}, {_number(high, places)}]"


def _number(value: float, digits: int) -> str:
    return f"{value:z.{digits}f}" if math.isfinite(value) else ("-∞" if value < 0 else "∞")


def _duels(found: Evaluation) -> Grid:
    rows = tuple(
        (
            duel.kind,
            duel.model,
            duel.against,
            str(duel.wins.n if duel.wins else 0),
            shown(duel.wins, 100),
            "-" if duel.mean_p is None else f"{100 * duel.mean_p:.0f}",
            shown(duel.at_equal_length, 100),
            f"{duel.longer:+.0f}",
            str(duel.ties),
            str(sum(count for state, count in duel.states.items() if state not in ("parsed", "skipped"))),
            shown(duel.position and duel.position.same_seat, 100),
        )
        for duel in found.duels
    )
    headings = (
        "Prompts",
        "Model",
        "Against",
        "n",
        "Wins, %",
        "Mean P, %",
        "P at equal length, %",
        "Words more",
        "Ties",
        "Unread",
    )
    said = (*(duel.sentence for duel in found.duels), *_at_equal_length(found.duels))
    return Grid("Win rates, by the judge", (*headings, "Same seat twice, %"), rows, _WIN_RATES, "win_rates", 3, said)


def _at_equal_length(found: Sequence[Duel]) -> Iterator[str]:
    """Of the probabilities at equal length, which are told from one half."""
    for duel in found:
        if (level := duel.at_equal_length) and duel.told_at_equal_length:
            lean = "to" if level.value > 0.5 else "away from"
            of = f"of {duel.model} against {duel.against} on {level.n} {duel.kind} prompts"
            digits = next(
                (one for one in (1, 2, 3) if all(round(100 * x, one) != 50 for x in (level.low, level.high))), 4
            )
            yield f"At equal length: P {of} is {shown(level, 100, digits)} %; the judge leans {lean} its answers."
    if not all(duel.told_at_equal_length for duel in found):
        other = "other " if any(duel.told_at_equal_length for duel in found) else ""
        yield f"At equal length: no {other}difference can be told."


def _elo(found: Evaluation) -> Grid:
    harmful, helpful = found.elo.get("harmful", {}), found.elo.get("helpful", {})
    rows = tuple(
        (name, shown(harmful.get(name), digits=0), shown(helpful.get(name), digits=0))
        for name in in_order([*harmful, *helpful])
    )
    said = sentences(differences(found, "win_rates"))
    return Grid("Elo", ("Model", "Harmlessness", "Helpfulness"), rows, _ELO, "win_rates", 1, said)


def _harm(found: Evaluation) -> Grid:
    rows = tuple((one.model, shown(one.harm), shown(one.reward), str(one.unread)) for one in found.harm)
    headings = ("Model", "Harmfulness, 0 to 4", "Preference score", "Unread")
    said = sentences(differences(found, "harmfulness"))
    return Grid("Harmfulness of answers to red-team prompts", headings, rows, _HARM, "harmfulness", 1, said)


def _conducts(found: Evaluation, title: str, stage: str, conducts: Sequence[Conducts], note: str) -> Grid:
    rows = tuple(
        (
            one.group,
            one.model,
            str(one.n),
            *(shown(one.shares.get(name), 100) for name in CLASSES),
            shown(one.evasive, 100),
            shown(one.by_rule, 100),
            str(one.disputed),
            str(one.unread),
        )
        for one in conducts
    )
    classes = tuple(name.capitalize() for name in CLASSES)
    headings = ("Prompts", "Model", "n", *classes, "Evasive", "Refuses, by keyword rule", "They disagree", "Unread")
    return Grid(title, headings, rows, note, stage, 2, sentences(differences(found, stage)))


def _classifier(found: ClassifierFigures) -> Grid:
    rows = tuple((truth, *(str(found.confusion.get((truth, said), 0)) for said in CLASSES)) for truth in CLASSES)
    said = (
        f"The classifier is right on {shown(found.accuracy, 100)} % of {found.accuracy.n} labelled answers; "
        f"{found.unread} could not be read.",
        f"On whether an answer refuses at all it is right on {shown(found.refuses, 100)} %, the keyword rule on "
        f"{shown(found.rule, 100)} %.",
    )
    headings = ("People said", *(f"Classifier: {name}" for name in CLASSES))
    return Grid("The classifier of refusals, measured", headings, rows, _CLASSIFIER, "refusals", 1, said)


def _choices(found: Evaluation) -> Grid:
    categories = list(dict.fromkeys(name for one in found.choices.values() for name in one.by_category))
    rows = tuple(
        (
            name,
            str(one.states.get("parsed", 0)),
            shown(one.accuracy, 100),
            shown(one.calibration and one.calibration.error),
            f"{one.calibration.noise:.2f}" if one.calibration else "-",
            *(shown(one.by_category.get(category), 100) for category in categories),
        )
        for name, one in found.choices.items()
    )
    headings = ("Model", "n", "Right, %", "Calibration error", "By noise alone", *(f"{name}, %" for name in categories))
    by_chance = [f"{name}: {one.chance}." for name, one in found.choices.items()]
    said = (*by_chance, *sentences(differences(found, "hhh")))
    return Grid("Comparisons that people made, as multiple choice", headings, rows, _CHOICES, "hhh", 1, said)


def _sameness(found: Evaluation) -> Grid:
    rows = tuple(
        (one.kind, one.model, shown(one.stock, 100), f"{one.distinct:.2f}", shown(one.words, digits=0))
        for one in found.sameness
    )
    headings = ("Prompts", "Model", "Stock phrases, %", "Distinct pairs of words", "Words")
    return Grid("Whether a model says the same to everybody", headings, rows, _SAMENESS, "evaluate", 2)


_WIN_RATES = (
    "Each model's answers to the same held-out prompts beside those of an earlier one, judged in both orders. A tie, "
    "or two identical answers, counts half. P: the judge's probability that the model's answer is better, as its mean "
    "and as fitted to answers of equal length (Dubois et al. 2024); wins may stand far from one half where P hardly "
    "does. Same seat twice: the judge's position bias."
)
_ELO = (
    "Bradley-Terry, by maximum likelihood, from the same matches without ties; SL-CAI is 0 (Bai et al. 2022, Fig. 8), "
    "or base where there is none. Only differences mean anything: 174 points are one nat of log-odds. Infinite: no "
    "finite rating fits best, as where a model won every match."
)
_HARM = (
    "The expected value of a judge's rating, after Bai et al. 2022, section 4.5, who trained a regression on people's "
    "ratings; so compare models by it, and believe no single number."
)
_REFUSALS = (
    "By a model that reads each answer under a rubric, the classes shown in every order. Evasive: refuses in full or "
    "in part and gives neither a reason nor anything of use."
)
_OVER_REFUSAL = (
    "In the form of XSTest (Röttger et al. 2024): safe prompts should be complied with, their unsafe contrasts refused."
)
_CLASSIFIER = "Answers that people classified, by their class and the classifier's."
_CHOICES = (
    "Chance is 50 %. The calibration error is the mean gap between how sure a model is and how often it is right; "
    "noise alone makes some of it."
)
_SAMENESS = (
    "Stock phrases: the mean share of an answer's runs of four words that an answer to another prompt has too. A rise "
    "over training is a sign of over-optimisation (Bai et al. 2022, section 4.3)."
)
