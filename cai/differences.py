"""How the models of an evaluation differ, paired by prompt, and in sentences what of it the prompts tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from cai.against import METRICS, PerPrompt
from cai.contestants import FEWEST_MOVED, FEWEST_PROMPTS, change, in_order
from cai.evaluation import Evaluation
from cai.records import KINDS
from cai.stats import Estimate, bounds


@dataclass(frozen=True)
class Figure:
    """A figure that each answer of a model has. `title` begins a sentence on it, `name` stands within one.

    `scale` and `digits` are how it is shown, `unit` follows it; `on`: what `n` counts.
    """

    suite: str
    title: str
    name: str
    on: str
    of: Callable[[Evaluation, str], PerPrompt]
    scale: float = 100
    unit: str = " points"
    digits: int = 0


@dataclass(frozen=True)
class Difference:
    """A figure of one model less that of another; `told`: whether the prompts tell that they differ."""

    figure: Figure
    model: str
    against: str
    estimate: Estimate
    told: bool

    @property
    def sentence(self) -> str:
        """What is told."""
        value, figure = self.estimate.value, self.figure
        size, *ends = (_number(abs(end) * figure.scale, figure.digits) for end in (value, *_sizes(self.estimate)))
        more = "higher" if value > 0 else "lower"
        where = f"{self.estimate.n} {figure.on}{'s' if self.estimate.n != 1 else ''}"
        interval = f"[{', '.join(ends)}]"
        return f"{self.model} against {self.against}: {figure.name} {size}{figure.unit} {interval} {more}, on {where}."

    def as_json(self) -> dict[str, Any]:
        """Plain values, unscaled; None stands for an infinity."""
        value = self.estimate.value
        return {
            "suite": self.figure.suite,
            "figure": self.figure.title,
            "model": self.model,
            "against": self.against,
            "change": value if math.isfinite(value) else None,
            "interval": bounds(self.estimate),
            "n": self.estimate.n,
            "told": self.told,
        }


def differences(found: Evaluation, suite: str) -> list[Difference]:
    """Every two models in every figure of a suite, the later one first."""
    if suite == "win_rates":
        return [one for kind in KINDS for one in _of_elo(found, kind)]
    return [one for figure in FIGURES if figure.suite == suite for one in _of(found, figure)]


def sentences(found: Iterable[Difference]) -> tuple[str, ...]:
    """What is told, figure by figure, and once for each that no (other) difference is."""
    by_figure: dict[str, list[Difference]] = {}
    for one in found:
        by_figure.setdefault(one.figure.title, []).append(one)
    return tuple(said for some in by_figure.values() for said in _said(some))


def _said(found: Sequence[Difference]) -> Iterator[str]:
    told = [one for one in found if one.told]
    yield from (one.sentence for one in told)
    if len(told) == len(found):
        return
    counts = sorted({one.estimate.n for one in found if not one.told})
    asked = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    figure, least = found[0].figure, f"; {FEWEST_PROMPTS} are needed" if counts[-1] < FEWEST_PROMPTS else ""
    other = "no other difference" if told else "no difference between two models"
    yield f"{figure.title}: {other} can be told from {asked} {figure.on}{'s' if counts[-1] != 1 else ''}{least}."


def _of(found: Evaluation, figure: Figure) -> list[Difference]:
    values = {model: figure.of(found, model) for model in _models(found, figure.suite)}
    pairs = [
        (model, against, change(values[model], values[against], found.resamples))
        for against, model in combinations(values, 2)
    ]
    return [Difference(figure, model, against, one.estimate, one.told) for model, against, one in pairs if one]


def _of_elo(found: Evaluation, kind: Any) -> list[Difference]:
    rated = found.rated.get(kind)
    if rated is None:
        return []
    names = {"harmful": "harmlessness", "helpful": "helpfulness"}
    on = f"{kind} prompt"
    figure = Figure("win_rates", f"Elo, {names[kind]}", names[kind], on, lambda *_: {}, 1, " Elo points")
    pairs = [(a, b, rated.change(a, b)) for b, a in combinations(in_order(rated.found), 2)]
    return [
        Difference(figure, a, b, one, _excludes_zero(one) and rated.decided(a, b) >= FEWEST_MOVED)
        for a, b, one in pairs
        if one
    ]


def _excludes_zero(one: Estimate) -> bool:
    return one.n >= FEWEST_PROMPTS and (one.low > 0 or one.high < 0)


def _models(found: Evaluation, suite: str) -> list[str]:
    records: Mapping[str, Iterable[str]] = {
        "harmfulness": (one.model for one in found.harms),
        "refusals": (one.model for one in found.classified if one.model),
        "over_refusal": (one.model for one in found.borderline),
        "hhh": found.chosen,
    }
    return in_order(records[suite])


def _harm(found: Evaluation, model: str) -> PerPrompt:
    return {one.prompt.id: one.harm for one in found.harms if one.model == model and one.harm is not None}


def _harmful_compliance(found: Evaluation, model: str) -> PerPrompt:
    own = [one for one in found.classified if one.model == model and one.prompt.kind == "harmful" and one.conduct.does]
    return {one.prompt.id: float(one.conduct.does == "compliance") for one in own}


def _evasion(found: Evaluation, model: str) -> PerPrompt:
    return {name: 1 - open_ for name, open_ in METRICS["openness"].of(found, model).items()}


def _right(found: Evaluation, model: str) -> PerPrompt:
    return dict(found.chosen[model])


FIGURES = (
    Figure("harmfulness", "Harmfulness", "harmfulness", "red-team prompt", _harm, 1, "", 2),
    Figure("refusals", "Compliance with harmful prompts", "compliance", "harmful prompt", _harmful_compliance),
    Figure("refusals", "Evasion of harmful prompts", "evasion", "harmful prompt", _evasion),
    Figure("refusals", "Compliance with helpful prompts", "compliance", "helpful prompt", METRICS["answering"].of),
    Figure("over_refusal", "Compliance with safe prompts", "compliance", "safe prompt", METRICS["safe_compliance"].of),
    Figure("over_refusal", "Refusal of unsafe prompts", "full refusal", "unsafe prompt", METRICS["unsafe_refusal"].of),
    Figure("hhh", "Right choices", "accuracy", "comparison", _right),
)


def _sizes(estimate: Estimate) -> list[float]:
    """The ends of an interval on one side of zero, the smaller one first."""
    return sorted((abs(estimate.low), abs(estimate.high)))


def _number(value: float, digits: int) -> str:
    """With as many digits as keep what is not zero from being shown as zero."""
    while 0 < abs(value) < math.inf and round(value, digits) == 0 and digits < 6:
        digits += 1
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"
