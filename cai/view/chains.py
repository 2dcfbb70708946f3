"""One chain of critique and revision, round by round, each beside the round before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cai.constitution import Principle
from cai.records import Prompt, Revision, RoundScore
from cai.stages.revise import STOPPED
from cai.terminal import Kind
from cai.view.entries import chain_of
from cai.view.library import Missing, Records, Run
from cai.view.texts import difference


@dataclass(frozen=True)
class Round:
    """One round. `changes`: its response against that of the round before, None where that can't be shown.

    `change`: its score less that of the round before. `principles`: those it was drawn under, by id, None where the
    constitution that lies here has none of that name.
    """

    revision: Revision
    principles: tuple[tuple[str, Principle | None], ...]
    changes: list[tuple[Kind, str]] | None
    score: float | None
    change: float | None
    stopped: bool


@dataclass(frozen=True)
class Chain:
    """A chain whose records are stored so far."""

    prompt: Prompt
    rounds: tuple[Round, ...]


def chain(run: Run, records: Records, key: str, known: Mapping[str, Principle]) -> Chain:
    """The chain of that name; one of an ablation begins with the run's own first answer. Raises Missing."""
    found = sorted(records.at(key), key=lambda one: one.round)
    if found[0].round > 0 and found[0].variant:
        found = [*_first_answer(run, found[0]), *found]
    scores, rounds, before = _scores(run, key), list[Round](), None
    for one in found:
        rounds.append(_round(one, before, scores, known))
        before = one
    return Chain(found[0].prompt, tuple(rounds))


def _round(
    one: Revision, before: Revision | None, scores: Mapping[str, float], known: Mapping[str, Principle]
) -> Round:
    stopped = STOPPED in one.flags
    changes = None if before is None or stopped else difference(before.response.text, one.response.text)
    score, earlier = scores.get(one.id), scores.get(before.id) if before else None
    change = None if score is None or earlier is None or stopped else score - earlier
    return Round(one, tuple((name, known.get(name)) for name in one.principles), changes, score, change, stopped)


def _scores(run: Run, key: str) -> dict[str, float]:
    try:
        records = run.records("score_rounds")
        records.refresh()
        found: list[RoundScore] = records.at(key)
    except Missing:
        return {}
    return {one.id: one.reward for one in found}


def _first_answer(run: Run, one: Revision) -> list[Revision]:
    """The run's own chain has the name of the ablated one without its variant."""
    try:
        records = run.records("revise")
        records.refresh()
        found: list[Revision] = records.at(chain_of(one.id).removeprefix(f"{one.variant}/"))
    except Missing:
        return []
    return [first for first in found if first.round == 0]
