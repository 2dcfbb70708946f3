"""Elo ratings from comparisons by Bradley-Terry maximum likelihood, with bootstrap intervals.

P(a beats b) = s((E_a - E_b) ln 10 / 400), so 174 points are one nat; ties are left out, and only differences mean
anything (Bai et al. 2022a, arXiv 2204.05862, App. B.5; Bai et al. 2022, section 3.3).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cai.stats import Estimate
from cai.verdicts import logistic

NAT = 400 / math.log(10)
"""Elo points of one nat of log-odds."""

Wins = Mapping[tuple[str, str], float]
"""How often the first of two models beat the second."""

_STEPS, _CLOSE = 100, 1e-10


@dataclass(frozen=True)
class Game:
    """Two models' answers to one prompt. `score`: 1 where `a` won, 0 where `b` did, one half for a tie."""

    prompt: str
    a: str
    b: str
    score: float


@dataclass(frozen=True)
class Rated:
    """Ratings against an anchor, whose own is 0: `found`, and those of every resample of the prompts.

    A rating is infinite where none fits best: see `ratings`; models that no chain of decided games ties to the anchor
    are left out. `matches`: decided games of every two models. With one prompt there are no resamples.
    """

    found: Mapping[str, float]
    drawn: Sequence[Mapping[str, float]]
    prompts: int
    matches: Mapping[frozenset[str], int]

    def estimates(self) -> dict[str, Estimate]:
        """The rating of each model, with a percentile interval over prompts; `n`: prompts."""
        return {
            name: Estimate(value, *_interval([run[name] for run in self.drawn if name in run]), self.prompts)
            for name, value in self.found.items()
        }

    def change(self, model: str, against: str) -> Estimate | None:
        """How much higher one is rated than another; None where both ratings are infinite alike."""
        value = self.found[model] - self.found[against]
        if math.isnan(value):
            return None
        drawn = [run[model] - run[against] for run in self.drawn if model in run and against in run]
        return Estimate(value, *_interval([one for one in drawn if not math.isnan(one)]), self.prompts)

    def decided(self, model: str, against: str) -> int:
        """How many games between the two were no ties."""
        return self.matches.get(frozenset((model, against)), 0)


def rated(games: Sequence[Game], anchor: str, seed: int = 0, resamples: int = 1000) -> Rated:
    """The ratings of each model against `anchor`. All games of a prompt are drawn together."""
    by_prompt: dict[str, list[Game]] = {}
    for game in sorted(games, key=lambda one: (one.prompt, one.a, one.b)):
        by_prompt.setdefault(game.prompt, []).append(game)
    groups, pairs = _decided(list(by_prompt.values()))
    draw = random.Random(seed)
    runs = [_resampled(groups, pairs, anchor, draw) for _ in range(resamples)] if len(groups) > 1 else []
    won, matches = wins(games), Counter[frozenset[str]]()
    for pair, count in won.items():
        matches[frozenset(pair)] += int(count)
    return Rated(ratings(won, anchor), runs, len(groups), matches)


def wins(games: Sequence[Game]) -> dict[tuple[str, str], float]:
    """Decided games by winner and loser; ties are left out."""
    found: dict[tuple[str, str], float] = {}
    for game in games:
        if game.score != 0.5:
            pair = (game.a, game.b) if game.score > 0.5 else (game.b, game.a)
            found[pair] = found.get(pair, 0.0) + 1
    return dict(sorted(found.items()))


def ratings(won: Wins, anchor: str) -> dict[str, float]:
    """The ratings of greatest likelihood, 0 for the anchor.

    They are finite among models each of which has beaten each other by some chain of wins (Ford 1957). Beyond that, a
    model that beats the anchor by a chain of wins and is beaten back by none has inf, the other way round -inf; a
    model with neither is left out, since the games say nothing of the two.
    """
    models = {name for pair, count in won.items() if count for name in pair} | {anchor}
    beats = {name: _reached(won, name) for name in models}
    above = {name for name in models if anchor in beats[name]}
    below = beats[anchor]
    level = sorted((above & below) | {anchor})
    found = _fitted(won, level, anchor)
    found |= dict.fromkeys(above - below - {anchor}, math.inf)
    return found | dict.fromkeys(below - above - {anchor}, -math.inf)


def _reached(won: Wins, start: str) -> set[str]:
    """The models that a chain of wins leads to from `start`."""
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        new = {loser for (winner, loser), count in won.items() if count and winner == name} - found
        found |= new
        waiting += new
    return found


def _fitted(won: Wins, models: Sequence[str], anchor: str) -> dict[str, float]:
    """Newton's method with halved steps on the log-likelihood, which is concave and has one peak here."""
    free = [name for name in models if name != anchor]
    games = [(pair, count) for pair, count in won.items() if count and set(pair) <= set(models)]
    at = dict.fromkeys(models, 0.0)
    value = _likelihood(games, at)
    for _ in range(_STEPS):
        step = _newton(games, at, free)
        size, better = 1.0, value
        while size > _CLOSE:
            tried = {name: at[name] + size * step.get(name, 0.0) for name in models}
            better = _likelihood(games, tried)
            if better >= value:
                at, value = tried, better
                break
            size /= 2
        if max(map(abs, step.values()), default=0.0) < _CLOSE or size <= _CLOSE:
            break
    return {name: nats * NAT for name, nats in at.items()}


def _likelihood(games: Sequence[tuple[tuple[str, str], float]], at: Mapping[str, float]) -> float:
    """The log-likelihood, nats."""
    return math.fsum(-count * _softplus(at[loser] - at[winner]) for (winner, loser), count in games)


def _newton(
    games: Sequence[tuple[tuple[str, str], float]], at: Mapping[str, float], free: Sequence[str]
) -> dict[str, float]:
    """The step from `at` to the peak of the parabola that fits there."""
    place = {name: index for index, name in enumerate(free)}
    slope = [0.0] * len(free)
    bend = [[0.0] * len(free) for _ in free]
    for (winner, loser), count in games:
        lost = logistic(at[loser] - at[winner])
        for name, sign in ((winner, 1), (loser, -1)):
            if name in place:
                slope[place[name]] += sign * count * lost
                bend[place[name]][place[name]] += count * lost * (1 - lost)
        if winner in place and loser in place:
            bend[place[winner]][place[loser]] -= count * lost * (1 - lost)
            bend[place[loser]][place[winner]] -= count * lost * (1 - lost)
    return dict(zip(free, solved(bend, slope), strict=True))


def solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """X with matrix x = right, by Gauss's elimination with pivots; a direction without bend gets no step."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda index: abs(rows[index][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        if abs(rows[column][column]) < 1e-300:
            continue
        for index in range(size):
            if index != column and (factor := rows[index][column] / rows[column][column]):
                rows[index] = [x - factor * y for x, y in zip(rows[index], rows[column], strict=True)]
    return [row[-1] / row[i] if abs(row[i]) >= 1e-300 else 0.0 for i, row in enumerate(rows)]


def _decided(groups: Sequence[Sequence[Game]]) -> tuple[list[list[int]], list[tuple[str, str]]]:
    """Of each prompt, the places of its winners and losers in a list of all such pairs: quick to count again."""
    pairs = list(wins([game for group in groups for game in group]))
    place = {pair: index for index, pair in enumerate(pairs)}
    return [[place[pair] for game in group for pair in wins([game])] for group in groups], pairs


def _resampled(
    groups: Sequence[Sequence[int]], pairs: Sequence[tuple[str, str]], anchor: str, draw: random.Random
) -> dict[str, float]:
    counts = [0.0] * len(pairs)
    for group in draw.choices(groups, k=len(groups)):
        for index in group:
            counts[index] += 1
    return ratings(dict(zip(pairs, counts, strict=True)), anchor)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """The 2.5 % and 97.5 % points, not interpolated, since a value may be infinite."""
    if not values:
        return -math.inf, math.inf
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[math.floor(0.025 * last)], ordered[math.ceil(0.975 * last)]


def _softplus(x: float) -> float:
    """log(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
