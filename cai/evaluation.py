"""All figures of an evaluation: those of each suite that was run, from its records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cai.contestants import in_order
from cai.elo import Rated
from cai.judge_figures import JudgeFigures
from cai.records import KINDS, Classified, Harm, Kind, Match, Measurement, OverRefusal
from cai.refusal_figures import (
    ClassifierFigures,
    Conducts,
    classifier_figures,
    over_refusal_rates,
    rates,
)
from cai.sameness import distinct, stock_phrases
from cai.stats import Estimate, bounds, mean
from cai.win_rates import Duel, duels, rated_on, standings


@dataclass(frozen=True)
class HarmRow:
    """One model on red-team prompts: how harmful a judge finds its answers, 0 to 4, and their preference score."""

    model: str
    harm: Estimate | None
    reward: Estimate | None
    unread: int


@dataclass(frozen=True)
class SamenessRow:
    """Whether a model says the same to everybody: `stock` is the mean share of an answer's phrases said elsewhere too.

    `distinct`: different pairs of words over all. Both depend on how much is said: compare models on the same prompts.
    """

    model: str
    kind: Kind
    stock: Estimate
    distinct: float
    words: Estimate


@dataclass(frozen=True)
class Point:
    """A model on the frontier of harmlessness against helpfulness (Bai et al. 2022, Fig. 2), in Elo."""

    model: str
    helpful: Estimate
    harmless: Estimate


@dataclass(frozen=True)
class Evaluation:
    """The records of an evaluation, and what they say.

    `choices`: the figures of each model that chose, by its name; `chosen`: by its name and the pair, 1 where it was
    right, one half for a tie.
    """

    measurements: Sequence[Measurement] = ()
    matches: Sequence[Match] = ()
    harms: Sequence[Harm] = ()
    classified: Sequence[Classified] = ()
    borderline: Sequence[OverRefusal] = ()
    choices: Mapping[str, JudgeFigures] = field(default_factory=dict)
    resamples: int = 1000
    chosen: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @cached_property
    def duels(self) -> list[Duel]:
        """Every two models against each other."""
        return duels(self.matches, self.resamples)

    @cached_property
    def rated(self) -> dict[Kind, Rated]:
        """Ratings on harmful and on helpful prompts, with what their differences are made of."""
        return {kind: found for kind in KINDS if (found := rated_on(self.matches, kind, self.resamples))}

    @cached_property
    def elo(self) -> dict[Kind, dict[str, Estimate]]:
        """Ratings on harmful and on helpful prompts."""
        return {kind: standings(found) for kind, found in self.rated.items()}

    @property
    def frontier(self) -> list[Point]:
        """The models that have both ratings, finite ones."""
        helpful, harmful = (self.elo.get(kind, {}) for kind in ("helpful", "harmful"))
        both = [name for name in in_order(helpful) if name in harmful]
        points = [Point(name, helpful[name], harmful[name]) for name in both]
        return [one for one in points if math.isfinite(one.helpful.value) and math.isfinite(one.harmless.value)]

    @cached_property
    def harm(self) -> list[HarmRow]:
        """Each model on red-team prompts."""
        return [self._harm(name) for name in in_order(one.model for one in self.harms)]

    @cached_property
    def refusals(self) -> list[Conducts]:
        """Each model on held-out prompts of both kinds."""
        return rates(self.classified)

    @cached_property
    def over_refusal(self) -> list[Conducts]:
        """Each model on safe and unsafe prompts."""
        return over_refusal_rates(self.borderline)

    @cached_property
    def classifier(self) -> ClassifierFigures | None:
        """The classifier of refusals, measured."""
        return classifier_figures(self.classified)

    @cached_property
    def sameness(self) -> list[SamenessRow]:
        """Each model on each kind of prompt."""
        models = in_order(one.model for one in self.measurements)
        rows = [self._same(name, kind, self._answers(name, kind)) for kind in KINDS for name in models]
        return [row for row in rows if row]

    def _answers(self, model: str, kind: Kind) -> list[Measurement]:
        own = [one for one in self.measurements if one.model == model and one.prompt.kind == kind]
        return sorted(own, key=lambda one: one.id)

    def _same(self, model: str, kind: Kind, found: Sequence[Measurement]) -> SamenessRow | None:
        if not found:
            return None
        answers = [one.response.text for one in found]
        stock = stock_phrases(answers, [one.prompt.id for one in found])
        words = mean([float(one.words) for one in found], resamples=self.resamples)
        return SamenessRow(model, kind, mean(stock, resamples=self.resamples), distinct(answers), words)

    def _harm(self, model: str) -> HarmRow:
        own = sorted((one for one in self.harms if one.model == model), key=lambda one: one.id)
        rated = [one.harm for one in own if one.harm is not None]
        scored = [one.reward for one in own if math.isfinite(one.reward)]
        harm, reward = (mean(some, resamples=self.resamples) if some else None for some in (rated, scored))
        return HarmRow(model, harm, reward, len(own) - len(rated))

    def as_json(self) -> dict[str, Any]:
        """Plain values, suite by suite; an estimate is {value, interval, n}."""
        return {
            "win_rates": [_duel_json(one) for one in self.duels],
            "elo": {kind: {name: as_json(one) for name, one in found.items()} for kind, found in self.elo.items()},
            "frontier": [
                {"model": one.model, "helpful": as_json(one.helpful), "harmless": as_json(one.harmless)}
                for one in self.frontier
            ],
            "harmfulness": {
                one.model: {"harm": as_json(one.harm), "score": as_json(one.reward), "unread": one.unread}
                for one in self.harm
            },
            "refusals": [_conducts_json(one) for one in self.refusals],
            "classifier": _classifier_json(self.classifier),
            "over_refusal": [_conducts_json(one) for one in self.over_refusal],
            "hhh": {name: found.as_json() for name, found in self.choices.items()},
            "sameness": [
                {
                    "model": one.model,
                    "kind": one.kind,
                    "stock_phrases": as_json(one.stock),
                    "distinct": one.distinct,
                    "words": as_json(one.words),
                }
                for one in self.sameness
            ],
        }


def as_json(estimate: Estimate | None) -> dict[str, Any] | None:
    """An estimate as plain values; None stands for an infinity."""
    if estimate is None:
        return None
    value = estimate.value if math.isfinite(estimate.value) else None
    return {"value": value, "interval": bounds(estimate), "n": estimate.n}


def _duel_json(duel: Duel) -> dict[str, Any]:
    return {
        "kind": duel.kind,
        "model": duel.model,
        "against": duel.against,
        "wins": as_json(duel.wins),
        "mean_p": duel.mean_p,
        "at_equal_length": as_json(duel.at_equal_length),
        "ties": duel.ties,
        "verdicts": duel.states,
        "position_bias": as_json(duel.position and duel.position.same_seat),
        "words_more": duel.longer,
        "told": duel.told,
        "told_at_equal_length": duel.told_at_equal_length,
        "said": duel.sentence,
    }


def _conducts_json(found: Conducts) -> dict[str, Any]:
    return {
        "model": found.model,
        "prompts": found.group,
        **{name.replace(" ", "_"): as_json(share) for name, share in found.shares.items()},
        "evasive": as_json(found.evasive),
        "by_rule": as_json(found.by_rule),
        "disputed": found.disputed,
        "unread": found.unread,
    }


def _classifier_json(found: ClassifierFigures | None) -> dict[str, Any] | None:
    if found is None:
        return None
    confusion = [{"people": people, "classifier": said, "n": n} for (people, said), n in found.confusion.items()]
    return {
        "accuracy": as_json(found.accuracy),
        "refuses": as_json(found.refuses),
        "keyword_rule": as_json(found.rule),
        "confusion": confusion,
        "unread": found.unread,
    }
