"""What changed between base, SL-CAI, DPO and RL-CAI, and how much of it the intervals show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from cai.contestants import FEWEST_MOVED, FEWEST_PROMPTS, Change, in_order
from cai.records import KINDS, Kind, Measurement
from cai.stats import Estimate, mean, percent, rate, to_text

HEADINGS = (
    "Model",
    "Prompts",
    "n",
    "Preference score",
    "KL from base, nats/answer",
    "KL from SL-CAI, nats/answer",
    "Refusals, %",
    "Evasive, %",
    "Words",
)


@dataclass(frozen=True)
class TableRow:
    """One model on one kind of prompt; intervals at 95 %.

    `kl_base` is None for the base model and `kl_sl` also for SL-CAI: a model is at no distance from itself.
    A mean is over the finite values, and None where there is none.
    """

    model: str
    kind: Kind
    n: int
    score: Estimate | None
    kl_base: Estimate | None
    kl_sl: Estimate | None
    refusal: Estimate
    evasive: Estimate
    words: Estimate | None

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each of HEADINGS."""
        rates = (to_text(percent(share), digits=0) for share in (self.refusal, self.evasive))
        scores = (_text(estimate, 2) for estimate in (self.score, self.kl_base, self.kl_sl))
        return (self.model, self.kind, str(self.n), *scores, *rates, _text(self.words, 0))


@dataclass(frozen=True)
class Metric:
    """A number each answer has, and how a difference in it is said."""

    name: str
    unit: str
    digits: int
    of: Callable[[Measurement], float]


SCORE = Metric("preference-model score", "", 2, lambda measurement: measurement.reward)
METRICS = (
    SCORE,
    Metric("refusal rate", " points", 0, lambda measurement: 100 * measurement.refusal),
    Metric("evasiveness rate", " points", 0, lambda measurement: 100 * measurement.evasive),
    Metric("mean length", " words", 1, lambda measurement: measurement.words),
)


@dataclass(frozen=True)
class Difference(Change):
    """One metric of two models on the prompts that both answered: `estimate` is of later minus earlier."""

    metric: Metric


def table(measurements: Sequence[Measurement], resamples: int) -> list[TableRow]:
    """Harmful prompts, then helpful ones; within each, the models in the order they were made, where present."""
    ordered = sorted(measurements, key=lambda measurement: measurement.id)
    cells: dict[tuple[Kind, str], list[Measurement]] = {
        (kind, model): [item for item in ordered if item.model == model and item.prompt.kind == kind]
        for kind in KINDS
        for model in in_order(item.model for item in ordered)
    }
    return [_row(model, kind, items, resamples) for (kind, model), items in cells.items() if items]


def finite_mean(values: Sequence[float], resamples: int) -> Estimate | None:
    """The mean of the finite values; None where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return mean(finite, resamples=resamples) if finite else None


def sentences(measurements: Sequence[Measurement], resamples: int) -> list[str]:
    """What the numbers do and do not show, in words; never more than the intervals allow."""
    kinds = [(kind, _by_model(measurements, kind)) for kind in KINDS]
    order = in_order(item.model for item in measurements)
    pairs = [
        (later, earlier, kind, differences(answers[later], answers[earlier], resamples))
        for kind, answers in kinds
        for earlier, later in sorted(combinations(answers, 2), key=lambda pair: order.index(pair[1]))
    ]
    told = [statement(*pair) for pair in pairs if pair[-1]]
    if not told:
        return ["No two models answered the same held-out prompts, so this run says nothing about what changed."]
    compared = sum(item.estimate.n >= FEWEST_PROMPTS for pair in pairs for item in pair[-1])
    return [*told, _rule(compared)] if compared else told


def differences(later: dict[str, Measurement], earlier: dict[str, Measurement], resamples: int) -> list[Difference]:
    """Every metric, paired by prompt; empty where no prompt was answered by both."""
    shared = sorted(later.keys() & earlier.keys())
    return [
        _difference(metric, [(later[name], earlier[name]) for name in shared], resamples)
        for metric in METRICS
        if shared
    ]


def _difference(metric: Metric, pairs: Sequence[tuple[Measurement, Measurement]], resamples: int) -> Difference:
    changes = [metric.of(later) - metric.of(earlier) for later, earlier in pairs]
    return Difference(mean(changes, resamples=resamples), sum(change != 0 for change in changes), metric)


def _row(model: str, kind: Kind, items: Sequence[Measurement], resamples: int) -> TableRow:
    def average(values: Sequence[float]) -> Estimate | None:
        return finite_mean(values, resamples)

    from_sl = [item.kl_sl for item in items if item.kl_sl is not None and model not in ("base", "SL-CAI")]
    return TableRow(
        model=model,
        kind=kind,
        n=len(items),
        score=average([item.reward for item in items]),
        kl_base=None if model == "base" else average([item.kl_base for item in items if item.kl_base is not None]),
        kl_sl=average(from_sl),
        refusal=rate(sum(item.refusal for item in items), len(items)),
        evasive=rate(sum(item.evasive for item in items), len(items)),
        words=average([float(item.words) for item in items]),
    )


def _by_model(measurements: Sequence[Measurement], kind: Kind) -> dict[str, dict[str, Measurement]]:
    """Model -> prompt id -> measurement, for the models present; answers with no finite score can't be compared."""
    chosen = [item for item in measurements if item.prompt.kind == kind and math.isfinite(item.reward)]
    present = in_order(item.model for item in chosen)
    return {model: {item.prompt.id: item for item in chosen if item.model == model} for model in present}


def statement(later: str, earlier: str, kind: str, found: Sequence[Difference]) -> str:
    """Differences between two kinds of answers to the same prompts, in words; no more than the intervals allow."""
    n = found[0].estimate.n
    start = f"{later} against {earlier}, {n} {kind} prompt{'s' if n != 1 else ''}"
    if n < FEWEST_PROMPTS:
        return f"{start}: too few to say anything; {FEWEST_PROMPTS} are needed."
    shown = [_shown(difference) for difference in found if difference.told]
    open_ = [f"the {item.metric.name} ({_interval(item)})" for item in found if not item.told]
    parts = [_listed(shown)] if shown else []
    parts += [f"no difference is shown in {_listed(open_, 'or')}"] if open_ else []
    return f"{start}: {'; '.join(parts)}.".replace("(", "(95 % interval ", 1)


def _shown(difference: Difference) -> str:
    value = difference.estimate.value
    size = f"{abs(value):.{_digits(difference)}f}{difference.metric.unit}"
    return f"the {difference.metric.name} is {size} {'higher' if value > 0 else 'lower'} ({_interval(difference)})"


def _interval(difference: Difference) -> str:
    low, high = (signed(bound, _digits(difference)) for bound in (difference.estimate.low, difference.estimate.high))
    return f"{low} to {high}{difference.metric.unit}"


def _digits(difference: Difference) -> int:
    """Enough that a bound that is not zero is not printed as zero, where the difference is said to be shown."""
    digits = difference.metric.digits
    bounds = (difference.estimate.low, difference.estimate.high)
    while difference.told and digits < 6 and any(round(bound, digits) == 0 for bound in bounds):
        digits += 1
    return digits


def _text(estimate: Estimate | None, digits: int) -> str:
    return "-" if estimate is None else to_text(estimate, digits)


def signed(value: float, digits: int) -> str:
    """As in `+0.20`; a plain 0 where nothing is left of it."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else "0"


def _listed(parts: Sequence[str], last: str = "and") -> str:
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else parts[0]


def _rule(count: int) -> str:
    return (
        "Answers are paired prompt by prompt, and in brackets stands the interval of the mean difference. A difference "
        f"counts as shown where that interval excludes zero, on at least {FEWEST_PROMPTS} prompts of which at least "
        f"{FEWEST_MOVED} moved. Of the {count} intervals above, about one in twenty would exclude zero by chance, had "
        "nothing changed; and they cover the choice of prompts, not another seed or another training run."
    )
