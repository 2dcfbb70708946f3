"""What a run can't show: the judge's size and its own verdicts, and how each measured number can mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai.config import Recipe
from cai.records import Comparison
from cai.stats import percent, rate
from cai.verdicts import JudgeAudit, audit

SMALL_JUDGE = 1_000_000_000
"""Parameters below which a judge is said to be too small."""
_STATES = ("parsed", "unparsed", "refused", "error")


@dataclass(frozen=True)
class Fact:
    """A name, its value, and how to read it."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Caveat:
    """A short claim and its reason. A `grave` one stands out."""

    claim: str
    reason: str
    grave: bool = False


def caveats(recipe: Recipe, judge_model: str, judge_parameters: int | None) -> list[Caveat]:
    """The gravest first."""
    labels = _BY_CONSTRUCTION if recipe.compare.certain else _judge(judge_model, judge_parameters)
    judged = [labels] if recipe.runs("compare") else []
    return [*_made_up(recipe), *judged, _score(recipe), _RULES, _kl(recipe), _ONE_RUN]


def judge_facts(comparisons: Sequence[Comparison], preflight: Mapping[str, Any] | None = None) -> list[Fact]:
    """This run's judge, measured on its own verdicts, and on labelled pairs where it was (`preflight`, of DONE)."""
    found = audit(comparisons)
    states = [*_STATES, *sorted(found.states.keys() - set(_STATES))]
    counts = ", ".join(f"{found.states.get(state, 0)} {state}" for state in states)
    seatless = any(one.first is None for comparison in comparisons for one in comparison.verdict.readings)
    return [
        Fact("Comparisons", counts, "only parsed ones train the preference model"),
        *([_NO_SEAT] if seatless else _seat_facts(found)),
        Fact("Decidedness", _number(found.decided), "0.00: every pair is a tie; 1.00: every verdict is certain"),
        *([_measured_first(preflight)] if preflight else []),
    ]


def _measured_first(told: Mapping[str, Any]) -> Fact:
    """What came of the labelled pairs that it was asked about before it labelled any of this run's."""
    if told["accuracy"] is None:
        return Fact(
            "Right on labelled pairs", "not measured", f"asked about {told['asked']} of them first; {told['chance']}"
        )
    low, high = told["interval"]
    value = f"{100 * told['accuracy']:.0f} % ({100 * low:.0f} to {100 * high:.0f}) of {told['n']} pairs"
    longer = told["baselines"]["longer"]["accuracy"]
    return Fact(
        "Right on labelled pairs", value, f"asked first; {told['chance']}. “Pick the longer” has {100 * longer:.0f} %"
    )


def parameters_text(parameters: int | None) -> str:
    """A model's size as people say it: 135M, 1.7B."""
    if parameters is None:
        return "size not known"
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{name} parameters"
    return f"{parameters} parameters"


def _seat_facts(found: JudgeAudit) -> list[Fact]:
    even = "0.50: even; 1.00: always the answer shown first"
    return [_position_bias(found), Fact("Mean P(first seat)", _number(found.first_seat), even)]


def _position_bias(found: JudgeAudit) -> Fact:
    meaning = (
        "pairs judged in both orders whose same seat won twice, counted for each principle; 0 %: never; 100 %: the "
        "seat alone decides"
    )
    if found.same_seat is None:
        return Fact("Position bias", "not measured", "no pair was judged in both orders")
    share = percent(rate(round(found.same_seat * found.both_orders), found.both_orders))
    value = f"{share.value:.0f} % ({share.low:.0f} to {share.high:.0f}) of {found.both_orders} pairs"
    return Fact("Position bias", value, meaning)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _made_up(recipe: Recipe) -> list[Caveat]:
    """Which parts no model played."""
    parts = [part for part, model in recipe.models if recipe.engine_of(model).type == "scripted"]
    if len(parts) == len(list(recipe.models)):
        return [_MADE_UP]
    said = f"The scripted engine made up all that these parts said: {', '.join(parts)}. What rests on it means nothing."
    return [Caveat("Not every part was played by a model.", said, grave=True)] if parts else []


def _judge(model: str, parameters: int | None) -> Caveat:
    size = parameters_text(parameters)
    if parameters is None:
        reason = "A judge that is too small gives labels that are noise. What is known of it here is measured below."
        return Caveat(f"How large the judge, {model}, is isn't known.", reason)
    if parameters >= SMALL_JUDGE:
        reason = "Size alone doesn't make it right. Below is how it judged."
        return Caveat(f"The judge, {model}, has {size}.", reason)
    reason = (
        f"It has {size}. Measured elsewhere, on 150 rows of a harmlessness comparison set, SmolLM2-135M says “A” 93 % "
        "of the time and scores 50 % with both orders averaged: that is chance. Labels from such a judge say next to "
        "nothing about harm, nor does a preference model that learned from them. This run shows that the machinery "
        "works, not that the method does."
    )
    return Caveat(f"The judge, {model}, is too small: a model of this size can't judge.", reason, grave=True)


def _kl(recipe: Recipe) -> Caveat:
    sampling = recipe.evaluate
    reason = (
        "An answer's log-probability under the model less that under the reference, averaged over answers, estimates "
        "the divergence in nats an answer. One answer may be below zero, and so may the mean of a few. An answer cut "
        f"off at {sampling.max_tokens} tokens counts only what was written."
    )
    if sampling.temperature != 1 or sampling.top_p != 1:
        reason += (
            f" This run sampled at temperature {sampling.temperature:g} and top-p {sampling.top_p:g}, so the mean is "
            "not the KL divergence of the model: that takes 1 and 1."
        )
    return Caveat("KL is estimated from one sampled answer a prompt.", reason)


def _score(recipe: Recipe) -> Caveat:
    """Whose score it is, and whom that model learned from."""
    climbed = recipe.runs("rl") and any(getattr(one, "models", ()) and one.weight > 0 for one in recipe.rl.rewards)
    scorer = "the very model that RL maximised" if climbed else "this run's own preference model"
    teachers = {"this run's judge": recipe.runs("compare"), "people's choices": bool(recipe.preference_model.human)}
    learned = " and ".join(name for name, taught in teachers.items() if taught)
    rise = "A rise shows that training did what it was told. " if climbed else ""
    reason = (
        f"The score is given by {scorer}, and that model learned from {learned}. {rise}Only people, or a judge that "
        "took no part in training, could show that the answers do less harm."
    )
    return Caveat("A higher preference-model score is not evidence of harmlessness.", reason)


_NO_SEAT = Fact("Position bias", "none", "the judge was shown each answer by itself, so there was no seat to prefer")
_BY_CONSTRUCTION = Caveat(
    "No judge gave the labels.",
    "Of each pair the answer under a principle was taken for better than the one under its opposite. Whether it is, "
    "nobody was asked.",
    grave=True,
)
_MADE_UP = Caveat(
    "No model took part.",
    "The scripted engine made up every reply and every probability. The numbers here mean nothing.",
    grave=True,
)
_RULES = Caveat(
    "Refusals and evasiveness are found by keyword rules.",
    "They read English only, and misread some of it: “I can't give a date, but about 1850” counts as a refusal, and an "
    "answer that explains its objections without “I can't” does not. The string match of XSTest's authors found that "
    "GPT-4 refuses 13.2 % of safe prompts where people found 6.4 %. Compare models by these rates and believe no "
    "single one; neither says whether refusing was right.",
)
_ONE_RUN = Caveat(
    "Intervals are at 95 % and cover the choice of prompts.",
    "They say nothing of another seed, another training run or prompts of another kind.",
)
