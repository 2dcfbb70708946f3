"""Win rates between models, from matches that a judge decided: as they came, and at equal length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from cai.agreement import preferred
from cai.contestants import FEWEST_MOVED, FEWEST_PROMPTS, anchor_of, in_order
from cai.elo import Game, Rated, rated
from cai.judged import PositionBias, hit, position_bias
from cai.length_control import length_controlled
from cai.records import KINDS, Kind, Match
from cai.stats import Estimate, percent, rate, to_text


@dataclass(frozen=True)
class Duel:
    """A model against an earlier one on prompts of one kind.

    `wins`: share of the matches that it won, a tie or two identical answers counting one half (Wilson's interval; one
    match a prompt). `mean_p`: mean probability that its answer is better. `at_equal_length`: see cai/length_control.py.
    `states` counts the verdicts: those unparsed, refused or in error are in no share. `position`: how often the judge
    preferred the same seat twice. `longer`: mean words more than the other's answer.
    """

    kind: Kind
    model: str
    against: str
    wins: Estimate | None
    mean_p: float | None
    at_equal_length: Estimate | None
    ties: int
    states: dict[str, int]
    position: PositionBias | None
    longer: float

    @property
    def told(self) -> bool:
        """Whether the prompts tell a difference."""
        if self.wins is None or self.wins.n < FEWEST_PROMPTS or self.wins.n - self.ties < FEWEST_MOVED:
            return False
        return self.wins.low > 0.5 or self.wins.high < 0.5

    @property
    def sentence(self) -> str:
        """What the matches say, and no more."""
        start = f"{self.model} against {self.against}"
        if self.wins is None:
            return f"{start}: no verdict on {self.kind} prompts could be read."
        prompts = f"{self.wins.n} {self.kind} prompt{'s' if self.wins.n != 1 else ''}"
        share = f"{to_text(percent(self.wins), 0)} %"
        if self.wins.n < FEWEST_PROMPTS:
            return f"{start}: no difference can be told from {prompts}; {FEWEST_PROMPTS} are needed."
        if not self.told:
            return f"{start}: wins {share}; no difference can be told from these {prompts}."
        better = "preferred to" if self.wins.value > 0.5 else "less preferred than"
        return f"{start}: wins {share} of {prompts}; its answers are {better} those of {self.against}."

    @property
    def told_at_equal_length(self) -> bool:
        """Whether the judge's probability at equal length is told from one half."""
        level = self.at_equal_length
        return level is not None and level.n >= FEWEST_PROMPTS and (level.low > 0.5 or level.high < 0.5)


def duels(matches: Iterable[Match], resamples: int = 1000) -> list[Duel]:
    """Every two models on each kind of prompt, the later one first; harmful prompts before helpful ones."""
    every = sorted(matches, key=lambda one: one.id)
    return [found for kind in KINDS for found in _duels([one for one in every if one.prompt.kind == kind], resamples)]


def _duels(matches: Sequence[Match], resamples: int) -> Iterator[Duel]:
    for against, model in combinations(in_order(name for one in matches for name in one.models), 2):
        own = [_seated(one, model) for one in matches if set(one.models) == {against, model}]
        if own:
            yield _duel(own, resamples)


def _seated(match: Match, model: str) -> Match:
    """The match with this model's answer as a."""
    return match if match.models[0] == model else match.swap()


def _duel(matches: Sequence[Match], resamples: int) -> Duel:
    scores = [score for one in matches if (score := score_of(one)) is not None]
    judged = [(p, one) for one in matches if (p := one.verdict.p_a) is not None]
    lengths = [(p, len(one.a.text) - len(one.b.text)) for p, one in judged]
    words = [len(one.a.text.split()) - len(one.b.text.split()) for one in matches]
    model, against = matches[0].models
    return Duel(
        kind=matches[0].prompt.kind,
        model=model,
        against=against,
        wins=rate(sum(scores), len(scores)) if scores else None,
        mean_p=sum(p for p, _ in judged) / len(judged) if judged else None,
        at_equal_length=length_controlled(lengths, resamples=resamples),
        ties=scores.count(0.5),
        states=dict(Counter(one.verdict.state for one in matches)),
        position=position_bias(one.verdict for one in matches),
        longer=sum(words) / len(words),
    )


def score_of(match: Match) -> float | None:
    """1 where answer a won, 0 where b did, one half for a tie or identical answers; None where nothing was read."""
    if match.verdict.state == "skipped":
        return 0.5
    p = match.verdict.p_a
    return None if p is None else hit(preferred(p), "a")


def rated_on(matches: Iterable[Match], kind: Kind, resamples: int = 1000) -> Rated | None:
    """The Elo of each model on one kind of prompt, from SL-CAI (or base) at 0; None where no match was read."""
    own = [one for one in matches if one.prompt.kind == kind]
    games = [Game(one.prompt.id, *one.models, score) for one in own if (score := score_of(one)) is not None]
    if not games:
        return None
    return rated(games, anchor_of(name for one in own for name in one.models), resamples=resamples)


def standings(found: Rated | None) -> dict[str, Estimate]:
    """The ratings with their intervals, in the order of the models."""
    estimates = found.estimates() if found else {}
    return {name: estimates[name] for name in in_order(estimates)}


def against(matches: Iterable[Match], model: str, other: str, kind: Kind) -> dict[str, float]:
    """By prompt id, the score of a model's answer against another model's."""
    own = [_seated(one, model) for one in matches if set(one.models) == {model, other} and one.prompt.kind == kind]
    return {one.prompt.id: score for one in own if (score := score_of(one)) is not None}
