"""What comparisons that people labelled say of a judge: accuracy, biases, calibration, agreement, beside baselines.

Which answer is called `a` must have been drawn by seed, never by which one is better. Intervals are 95 % ones.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from cai.agreement import Agreement, cohens_kappa, fleiss_kappa, preferred
from cai.judged import (
    Judged,
    LengthBias,
    PositionBias,
    accuracy_json,
    hit,
    length_bias,
    mean_hit,
    mean_of,
    position_bias,
)
from cai.records import Reading, Verdict
from cai.reliability import NOT_MEASURED, Fitted, Reliability, Setting, cross_fitted, reliability
from cai.stats import Estimate, bootstrap, bounds, rate
from cai.verdicts import by_principle


@dataclass(frozen=True)
class JudgeFigures:
    """What labelled pairs say of a judge. None stands for what could not be measured on these pairs.

    `states`: how many verdicts ended parsed, unparsed, refused, error, skipped; all else but `accuracy_of_all` is of
    the parsed ones. `accuracy`: share in which P(a is better) is on the better side, a tie counting one half (Wilson's
    interval); `by_prompt`: the same with an interval that holds where pairs share prompts, its n being prompts.
    `accuracy_of_all` counts what was asked and not read as wrong. `by_category`, `by_principle`: accuracy, of named
    ones. `ties`: P = 0.5. `decided`: mean |p - 0.5| x 2 before clamping. `first_seat`: mean P(the answer shown first is
    better). `calibration` is of the probabilities that would be learned from, `raw_calibration` of those before
    calibration and clamping, where they differ; `temperature` and `smoothing` are fitted to the latter, each without
    the other. `baselines`: accuracy, on the same pairs, of taking the `longer` answer, the `shorter` (as many words:
    one half), or `always_a`.
    """

    states: dict[str, int]
    accuracy: Estimate | None
    by_prompt: Estimate | None
    accuracy_of_all: Estimate | None
    by_category: dict[str, Estimate]
    by_principle: dict[str, Estimate]
    ties: int
    decided: float | None
    first_seat: float | None
    position: PositionBias | None
    length: LengthBias | None
    calibration: Reliability | None
    raw_calibration: Reliability | None
    temperature: Fitted | None
    smoothing: Fitted | None
    principles: Agreement | None
    baselines: dict[str, Estimate]

    @property
    def chance(self) -> str:
        """What the accuracy's interval says; where pairs share prompts, both intervals have to say it."""
        known = [one for one in (self.accuracy, self.by_prompt) if one]
        if not known:
            return "no verdict could be read"
        if all(one.low > 0.5 for one in known):
            return "better than chance"
        return "worse than chance" if all(one.high < 0.5 for one in known) else "no better than chance"

    @property
    def mend(self) -> tuple[Setting, Fitted] | None:
        """Temperature or smoothing, whichever makes the log loss lower on pairs it has not seen; None where neither."""
        able: list[tuple[Setting, Fitted]] = []
        if self.temperature:
            able.append(("temperature", self.temperature))
        if self.smoothing:
            able.append(("smoothing", self.smoothing))
        return max((one for one in able if one[1].gain > 0), key=lambda found: found[1].gain, default=None)

    def as_json(self) -> dict[str, Any]:
        """Plain values; an interval is [low, high], and null stands for what is not known."""
        position, length = self.position, self.length
        return {
            "n": self.states.get("parsed", 0),
            "asked": sum(self.states.values()) - self.states.get("skipped", 0),
            "chance": self.chance,
            "accuracy": self.accuracy and self.accuracy.value,
            "interval": bounds(self.accuracy),
            "interval_by_prompt": bounds(self.by_prompt),
            "accuracy_of_all": self.accuracy_of_all and self.accuracy_of_all.value,
            **{state: self.states.get(state, 0) for state in (*UNREAD, "skipped")},
            "ties": self.ties,
            "decided": self.decided,
            "baselines": _each(self.baselines),
            "by_category": _each(self.by_category),
            "by_principle": _each(self.by_principle),
            "position_bias": position and position.same_seat.value,
            "position_bias_interval": bounds(position and position.same_seat),
            "position_bias_first": position and position.first,
            "first_seat": self.first_seat,
            "length_bias": length and length.as_json(),
            **(self.calibration.as_json() if self.calibration else NOT_MEASURED),
            "before_calibration": self.raw_calibration and self.raw_calibration.as_json(),
            **_fitted("temperature", self.temperature),
            **_fitted("smoothing", self.smoothing),
            "agreement_between_principles": self.principles and self.principles.as_json(),
        }


UNREAD = ("unparsed", "refused", "error")
"""States of a verdict that was asked for and can't be used."""


def figures(judged: Iterable[Judged], seed: int = 0, resamples: int = 1000) -> JudgeFigures:
    """Measures a judge. The order of the pairs changes nothing; `seed` draws the bootstraps and the halves."""
    pairs = sorted(judged, key=lambda one: one.item)
    states = Counter[str](one.verdict.state for one in pairs)
    read = [one for one in pairs if one.p_a is not None]
    hits = [one.right(p) for one in read if (p := one.p_a) is not None]
    verdicts = [one.verdict for one in read]
    return JudgeFigures(
        states=dict(states),
        accuracy=mean_hit(hits),
        by_prompt=_by_prompt([one.group for one in read], hits, seed, resamples),
        accuracy_of_all=mean_hit([*hits, *[0.0] * sum(states[state] for state in UNREAD)]),
        by_category=_grouped((one.category, right) for one, right in zip(read, hits, strict=True)),
        by_principle=_grouped(
            (name, one.right(p)) for one in read for name, p in _under_each(one.verdict.readings).items()
        ),
        position=position_bias(verdicts),
        first_seat=mean_of([p for one in verdicts for seats in by_principle(one.readings) for p in seats.values()]),
        length=length_bias(read),
        principles=_between_principles(verdicts, seed, resamples),
        baselines=_baselines(read),
        **_of_probabilities(read, seed, resamples),
    )


def kappa(first: Iterable[Judged], second: Iterable[Judged], seed: int = 0, resamples: int = 1000) -> Agreement:
    """How far two judges agree on the same pairs, matched by item, whichever answer each of them knew as a.

    A pair that only one of them has counts as unread. See `cohens_kappa`.
    """
    ours, theirs = ({one.item: one for one in judged} for judged in (first, second))
    items = sorted(ours.keys() | theirs.keys())
    found = [(ours.get(item), theirs.get(item)) for item in items]
    return cohens_kappa(
        [one and one.p_a for one, _ in found], [_seated_as(other, one) for one, other in found], seed, resamples
    )


def _seated_as(judged: Judged | None, like: Judged | None) -> float | None:
    """P(a is better), where a is the answer that `like` knows as a."""
    if judged is None or judged.p_a is None or like is None:
        return None
    return judged.p_a if judged.better == like.better else 1 - judged.p_a


def _of_probabilities(read: Sequence[Judged], seed: int, resamples: int) -> dict[str, Any]:
    """The figures that look at how sure the judge is."""
    learned = [p for one in read if (p := one.p_a) is not None]
    raw = [p for one in read if (p := one.p_raw) is not None]
    labels, groups = [one.better == "a" for one in read], [one.group for one in read]
    return {
        "ties": sum(preferred(p) is None for p in learned),
        "decided": mean_of([2 * abs(p - 0.5) for p in raw]),
        "calibration": reliability(learned, labels, seed, resamples) if read else None,
        "raw_calibration": reliability(raw, labels, seed, resamples) if raw != learned else None,
        **{name: cross_fitted(raw, labels, groups, seed, name) if read else None for name in get_args(Setting)},
    }


def _grouped(named: Iterable[tuple[str, float]]) -> dict[str, Estimate]:
    groups: dict[str, list[float]] = defaultdict(list)
    for name, right in named:
        if name:
            groups[name].append(right)
    return {name: rate(math.fsum(hits), len(hits)) for name, hits in sorted(groups.items())}


def _by_prompt(groups: Sequence[str], hits: Sequence[float], seed: int, resamples: int) -> Estimate | None:
    """Prompts are resampled, each with all its pairs; None where none has two."""
    prompts: dict[str, list[float]] = defaultdict(list)
    for group, right in zip(groups, hits, strict=True):
        prompts[group].append(right)
    if len(prompts) == len(hits):
        return None
    sums = [(math.fsum(rights), len(rights)) for _, rights in sorted(prompts.items())]
    return bootstrap(sums, lambda drawn: sum(r for r, _ in drawn) / sum(n for _, n in drawn), seed, resamples)


def _under_each(readings: Sequence[Reading]) -> dict[str, float]:
    """P(a is better) under each principle that has a name, its readings averaged."""
    groups: dict[str, list[float]] = defaultdict(list)
    for one in readings:
        if one.principle and one.p_a is not None:
            groups[one.principle].append(one.p_a)
    return {name: math.fsum(ps) / len(ps) for name, ps in groups.items()}


def _between_principles(verdicts: Iterable[Verdict], seed: int, resamples: int) -> Agreement | None:
    rated = [list(_under_each(verdict.readings).values()) for verdict in verdicts]
    several = [ps for ps in rated if len(ps) > 1]
    return fleiss_kappa(several, seed, resamples) if several else None


def _baselines(pairs: Sequence[Judged]) -> dict[str, Estimate]:
    if not pairs:
        return {}
    longer = [hit(one.longer, one.better) for one in pairs]
    hits = {"longer": longer, "shorter": [1 - right for right in longer], "always_a": [one.right(1.0) for one in pairs]}
    return {name: rate(math.fsum(rights), len(pairs)) for name, rights in hits.items()}


def _fitted(name: str, one: Fitted | None) -> dict[str, Any]:
    return {name: one and one.value, f"{name}_log_loss": one and {"before": one.before, "after": one.after}}


def _each(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: accuracy_json(estimate) for name, estimate in estimates.items()}
