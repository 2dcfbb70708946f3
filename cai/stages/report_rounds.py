"""Scores by round: of the run's own chains, and of its ablations beside them, from the same first answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from cai.records import Revision, RoundScore
from cai.stages import plots
from cai.stages.ablate import DIRECT, name_of
from cai.stages.report_effects import SCORE, Difference, statement
from cai.stages.revise import STOPPED
from cai.stats import paired_difference

Chain = tuple[str, int]
"""A chain's prompt id and its sample."""

Track = tuple[float, ...]
"""The scores of one chain, that of its first answer first."""


@dataclass(frozen=True)
class Contrast:
    """Kinds of chains over the same first answers. `tracks` by what the report calls them, each whole and finite.

    `against` is the run's own kind.
    """

    title: str
    tracks: Mapping[str, Mapping[Chain, Track]]
    against: str
    source: str


def tracks(revisions: Sequence[Revision], scores: Sequence[RoundScore], rounds: int) -> dict[Chain, Track]:
    """The scores of every chain up to the first round without one.

    A chain that ended since there was nothing to change keeps its answer, and so its score, to the last of `rounds`.
    """
    rewards = {score.id: score.reward for score in scores}
    chains: dict[Chain, list[Revision]] = {}
    for revision in sorted(revisions, key=lambda one: (one.prompt.id, one.sample, one.round)):
        chains.setdefault((revision.prompt.id, revision.sample), []).append(revision)
    return {chain: _track(made, rewards, rounds) for chain, made in chains.items()}


def carried(revisions: Sequence[Revision], scores: Sequence[RoundScore], rounds: int) -> list[RoundScore]:
    """A score for every round of every chain, those after its early end included."""
    return _scores(tracks(revisions, scores, rounds))


def contrasts(
    revisions: Sequence[Revision],
    ablated: Sequence[Revision],
    scores: Sequence[RoundScore],
    rounds: int,
    drawn: int,
) -> list[Contrast]:
    """How many principles there are (Bai et al. 2022, Fig. 6), and critiques or none (Fig. 7), where they were ablated.

    `drawn`: the principles that the run's own chains can draw. Only chains that every kind completed count.
    """
    first = [one for one in revisions if one.round == 0]
    own = tracks(revisions, scores, rounds)
    names = {one.variant for one in ablated}
    found = {name: tracks([*first, *_of(name, ablated)], scores, rounds) for name in names}
    fewer = {_principles(count): found[name_of(count)] for count in range(1, drawn) if name_of(count) in found}
    direct = {"direct": found[DIRECT]} if DIRECT in found else {}
    every, critiqued = f"all {drawn} principles", "critiqued"
    asked = [
        ("Score by round and number of principles", {**fewer, every: own}, every, "Fig. 6"),
        ("Score by round, with and without critiques", {critiqued: own, **direct}, critiqued, "Fig. 7"),
    ]
    return [Contrast(name, _shared(kinds, rounds), *rest) for name, kinds, *rest in asked if len(kinds) > 1]


def draw(contrast: Contrast, resamples: int) -> plots.Plot:
    """Its figure."""
    lines = {name: _scores(found) for name, found in contrast.tracks.items()}
    caption = (
        f"Mean over {len(contrast.tracks[contrast.against])} chains, the same first answers in each line. Bars: 95 % "
        f"bootstrap interval of the mean. As Bai et al. 2022, {contrast.source}."
    )
    return plots.by_rounds(contrast.title, lines, contrast.against, caption, resamples)


def said(contrast: Contrast, resamples: int) -> list[str]:
    """How the run's own chains compare with each other kind at the last round, paired by prompt."""
    own = contrast.tracks[contrast.against]
    others = {name: found for name, found in contrast.tracks.items() if name != contrast.against}
    return [_said(contrast, own, name, found, resamples) for name, found in others.items() if found]


def _of(variant: str, ablated: Sequence[Revision]) -> list[Revision]:
    return [one for one in ablated if one.variant == variant]


def _principles(count: int) -> str:
    return f"{count} principle{'s' if count > 1 else ''}"


def _track(made: Sequence[Revision], rewards: Mapping[str, float], rounds: int) -> Track:
    scored = [rewards[one.id] for one in takewhile(lambda one: one.id in rewards, made)]
    ended = len(scored) == len(made) and STOPPED in made[-1].flags
    return tuple(scored + scored[-1:] * (rounds + 1 - len(scored) if ended else 0))


def _shared(kinds: Mapping[str, Mapping[Chain, Track]], rounds: int) -> dict[str, dict[Chain, Track]]:
    """The chains that every kind completed with finite scores."""
    whole = [
        {chain for chain, track in found.items() if len(track) == rounds + 1 and all(map(math.isfinite, track))}
        for found in kinds.values()
    ]
    shared = sorted(set.intersection(*whole))
    return {name: {chain: found[chain] for chain in shared} for name, found in kinds.items()}


def _scores(found: Mapping[Chain, Track]) -> list[RoundScore]:
    return [
        RoundScore(id="/".join(map(str, (*chain, round_))), round=round_, reward=reward)
        for chain, track in found.items()
        for round_, reward in enumerate(track)
    ]


def _said(
    contrast: Contrast, own: Mapping[Chain, Track], name: str, found: Mapping[Chain, Track], resamples: int
) -> str:
    ours, theirs = _by_prompt(own), _by_prompt(found)
    estimate = paired_difference(list(ours.values()), list(theirs.values()), resamples=resamples)
    difference = Difference(estimate, sum(ours[prompt] != theirs[prompt] for prompt in ours), SCORE)
    last = max(map(len, own.values())) - 1
    if name == "direct":
        return statement(f"Critiqued revisions of round {last}", "direct ones", "harmful", [difference])
    return statement(
        f"Revisions of round {last} under {contrast.against}", f"those under {name}", "harmful", [difference]
    )


def _by_prompt(found: Mapping[Chain, Track]) -> dict[str, float]:
    """The mean of the last scores of a prompt's chains: chains of one prompt are no independent samples."""
    last: dict[str, list[float]] = {}
    for (prompt, _), track in found.items():
        last.setdefault(prompt, []).append(track[-1])
    return {prompt: math.fsum(values) / len(values) for prompt, values in sorted(last.items())}
