"""How well a preference model agrees with comparisons that it did not learn from.

Calibration is measured as Bai et al. 2022a (arXiv 2204.05862, section 3.3) draw it, so that it does not matter which
answer of a pair is named first: the probability that the model gives to the answer it prefers, s(|r_a - r_b|), beside
how often that answer is the better one.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol

from cai.preferences import Group
from cai.prompts import Rendered
from cai.stats import bootstrap, rate

BINS = 10
"""Of equal width, from 0.5 to 1."""

QUANTILES = (5, 25, 50, 75, 95)
"""In per cent."""


class Scores(Protocol):
    """A preference model."""

    def score(self, pairs: Sequence[tuple[Rendered, str]]) -> Sequence[float]:
        """The reward of each (prompt, answer), log-odds."""
        ...


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A comparison and the rewards (log-odds) of its answers `a` and `b`, which stand at these places of their group.

    `group` counts the groups that were evaluated, `p` = P(a is better) is the label, lengths are in words.
    """

    source: str
    group: int
    a: int
    b: int
    p: float
    reward_a: float
    reward_b: float
    words_a: int
    words_b: int

    @property
    def lead(self) -> float:
        """r_a - r_b, nats."""
        return self.reward_a - self.reward_b


@dataclass(frozen=True, slots=True)
class Scored:
    """A group, the reward of each of its answers, and its pairs."""

    group: Group
    rewards: tuple[float, ...]
    pairs: tuple[ScoredPair, ...]

    @property
    def words(self) -> list[int]:
        """Of each answer."""
        return [_words(answer) for answer in self.group.answers]


def evaluate_preference(scorer: Scores, groups: Sequence[Group]) -> dict[str, Any]:
    """`sources`: figures by source (see `figures_of`); `all`: of all groups; `pairs`: every ScoredPair, as a mapping.

    Everything in it is JSON. Answers are scored as they are, however long.
    """
    rewards = iter(scorer.score([(group.prompt, answer) for group in groups for answer in group.answers]))
    scored = [_scored(n, group, tuple(islice(rewards, len(group.answers)))) for n, group in enumerate(groups)]
    by_source: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        by_source[one.group.source].append(one)
    return {
        "sources": {source: figures_of(found) for source, found in by_source.items()},
        "all": figures_of(scored) if scored else None,
        "pairs": [asdict(pair) for one in scored for pair in one.pairs],
    }


def figures_of(scored: Sequence[Scored]) -> dict[str, Any]:
    """Figures of some groups. A share is {value, low, high, n} with a 95 % interval (see `share`).

    `accuracy`: share of the pairs with a better answer (p is not 0.5) whose better answer has the higher reward; equal
    rewards count half. `agreement`: the same of all pairs, each counting |2 p - 1| times. `loss`: soft cross-entropy,
    nats a pair. `rewards`: of all answers. `length`: how rewards go with lengths. Without such pairs a figure is None.
    """
    pairs = list(chain.from_iterable(one.pairs for one in scored))
    return {
        "prompts": len(scored),
        "pairs": len(pairs),
        "accuracy": share(scored, right),
        "agreement": agreement([pair.lead for pair in pairs], [pair.p for pair in pairs]),
        "loss": statistics.fmean(map(_loss, pairs)) if pairs else None,
        "calibration": _calibration(scored, pairs),
        "rewards": _distribution([reward for one in scored for reward in one.rewards]),
        "length": _length(scored, pairs),
    }


def right(pair: ScoredPair) -> float | None:
    """1 where the model prefers the better answer, 0.5 where it prefers neither; None where neither is better."""
    if pair.p == 0.5:
        return None
    return 0.5 if pair.lead == 0 else float((pair.lead > 0) == (pair.p > 0.5))


def longer_wins(pair: ScoredPair) -> float | None:
    """1 where the model prefers the longer answer; None where neither is longer."""
    if pair.words_a == pair.words_b:
        return None
    return 0.5 if pair.lead == 0 else float((pair.lead > 0) == (pair.words_a > pair.words_b))


def longer_is_better(pair: ScoredPair) -> float | None:
    """1 where the longer answer is the better one: what "pick the longer" would get right."""
    if pair.words_a == pair.words_b or pair.p == 0.5:
        return None
    return float((pair.p > 0.5) == (pair.words_a > pair.words_b))


def share(scored: Sequence[Scored], verdict: Callable[[ScoredPair], float | None]) -> dict[str, Any] | None:
    """The mean verdict over all pairs that have one, None where no pair has.

    The interval is Wilson's, of `n` prompts: pairs of one prompt share their answers, and count as one in it.
    """
    found = [[v for pair in one.pairs if (v := verdict(pair)) is not None] for one in scored]
    told = list(chain.from_iterable(found))
    if not told:
        return None
    prompts = sum(map(bool, found))
    return asdict(rate(math.fsum(told) / len(told) * prompts, prompts))


def agreement(leads: Sequence[float], p: Sequence[float]) -> float | None:
    """Share of pairs in which the lead r_a - r_b and p - 1/2 have the same sign, each counting |2 p - 1| times.

    An even label says nothing and counts nothing; an even lead counts half. None where every label is even.
    """
    told = [(abs(2 * q - 1), lead * (q - 0.5)) for lead, q in zip(leads, p, strict=True)]
    total = math.fsum(weight for weight, _ in told)
    same = math.fsum(weight * (0.5 if product == 0 else product > 0) for weight, product in told)
    return same / total if total else None


def calibration(pairs: Sequence[ScoredPair]) -> tuple[float, list[dict[str, float]]]:
    """The expected calibration error, and the curve: bins of the probability given to the preferred answer.

    Each bin that holds pairs has its bounds, `n`, the mean probability `predicted`, and `labelled`: the mean label of
    the preferred answer. The error is the mean over pairs of their bin's |predicted - labelled| (Guo et al. 2017, arXiv
    1706.04599).
    """
    bins: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for place, predicted, labelled in map(_confidence, pairs):
        bins[place].append((predicted, labelled))
    return _error([_gap(pair) for pair in pairs]), [_bin(place, held) for place, held in sorted(bins.items())]


def _confidence(pair: ScoredPair) -> tuple[int, float, float]:
    """The bin of the probability that the preferred answer is given, that probability, and that answer's label."""
    predicted = 1 / (1 + math.exp(-abs(pair.lead)))
    labelled = 0.5 if pair.lead == 0 else pair.p if pair.lead > 0 else 1 - pair.p
    return min(int((predicted - 0.5) * 2 * BINS), BINS - 1), predicted, labelled


def _gap(pair: ScoredPair) -> tuple[int, float]:
    place, predicted, labelled = _confidence(pair)
    return place, predicted - labelled


def _error(gaps: Iterable[tuple[int, float]]) -> float:
    """Sums up to the same as weighing each bin's difference of means by its pairs."""
    sums, count = [0.0] * BINS, 0
    for place, gap in gaps:
        sums[place] += gap
        count += 1
    return math.fsum(map(abs, sums)) / count


def _bin(place: int, held: list[tuple[float, float]]) -> dict[str, float]:
    predicted, labelled = map(statistics.fmean, zip(*held, strict=True))
    low, high = (0.5 + edge / (2 * BINS) for edge in (place, place + 1))
    return {"low": low, "high": high, "n": len(held), "predicted": predicted, "labelled": labelled}


def _calibration(scored: Sequence[Scored], pairs: list[ScoredPair]) -> dict[str, Any] | None:
    """Noise alone makes an error, so its interval is reflected; None where there is one prompt or none."""
    gaps = [list(map(_gap, one.pairs)) for one in scored if one.pairs]
    if len(gaps) < 2:
        return None
    error = bootstrap(gaps, lambda drawn: _error(chain.from_iterable(drawn)), resamples=500, reflected=True)
    assert error
    return {"error": asdict(replace(error, low=max(0.0, error.low))), "curve": calibration(pairs)[1]}


def _distribution(rewards: list[float]) -> dict[str, Any] | None:
    """Mean, standard deviation and quantiles (by per cent) of rewards; None of fewer than two."""
    if len(rewards) < 2:
        return None
    twentieths = statistics.quantiles(rewards, n=20, method="inclusive")
    quantiles = {str(q): twentieths[q // 5 - 1] for q in QUANTILES}
    spread = {"mean": statistics.fmean(rewards), "sd": statistics.stdev(rewards)}
    return {"n": len(rewards), **spread, "quantiles": quantiles}


def _length(scored: Sequence[Scored], pairs: list[ScoredPair]) -> dict[str, Any]:
    """`correlation`: Pearson's, of reward and words over all answers; None where one of them does not vary."""
    rewards = [reward for one in scored for reward in one.rewards]
    words = [count for one in scored for count in one.words]
    return {
        "correlation": _correlation(rewards, words),
        "longer_wins": share(scored, longer_wins),
        "longer_is_better": share(scored, longer_is_better),
        "equal": sum(pair.words_a == pair.words_b for pair in pairs),
    }


def _correlation(rewards: list[float], words: list[int]) -> float | None:
    try:
        return statistics.correlation(rewards, words)
    except statistics.StatisticsError:  # too few, or one of them does not vary
        return None


def _scored(number: int, group: Group, rewards: tuple[float, ...]) -> Scored:
    words = [_words(answer) for answer in group.answers]
    pairs = (
        ScoredPair(group.source, number, a, b, pair.p, rewards[a], rewards[b], words[a], words[b])
        for pair in group.pairs
        for a, b in [(pair.a, pair.b)]
    )
    return Scored(group, rewards, tuple(pairs))


def _loss(pair: ScoredPair) -> float:
    """-[p log s(d) + (1 - p) log s(-d)] = log(1 + exp(-d)) + (1 - p) d."""
    d = pair.lead
    return max(-d, 0.0) + math.log1p(math.exp(-abs(d))) + (1 - pair.p) * d


def _words(answer: str) -> int:
    return len(answer.split())
