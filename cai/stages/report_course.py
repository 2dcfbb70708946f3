"""What it shows of the course of a training: harmlessness against helpfulness from model to model; rounds of DPO."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cai.config import Recipe
from cai.contestants import in_order
from cai.evaluation_tables import Grid
from cai.records import KINDS, Kind, Measurement, PanelAnswer
from cai.reward_config import PreferenceModelReward, part_names
from cai.stages.plots import BLUE, INK, VERMILION, Plot, svg
from cai.stages.report_effects import finite_mean
from cai.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Answered = tuple[str, str, Kind, float]
"""Who answered, the prompt's id and kind, and the answer's score."""


@dataclass(frozen=True)
class Place:
    """Where a model, or the policy at a look of the panel, stands: mean scores on prompts of each kind, log-odds."""

    name: str
    helpful: Estimate
    harmless: Estimate


def course(measurements: Sequence[Measurement], panel: Sequence[PanelAnswer], recipe: Recipe) -> list[Plot]:
    """Harmlessness against helpfulness by preference-model score, from model to model, with the looks of a panel.

    As Bai et al. 2022, Fig. 2, where people gave Elo. Nothing where fewer than two models answered prompts of both
    kinds.
    """
    looked = _looked(panel, recipe)
    shared = {prompt for _, prompt, _, _ in looked} & {one.prompt.id for one in measurements}
    answers: list[Answered] = [(one.model, one.prompt.id, one.prompt.kind, one.reward) for one in measurements]
    same = _both([answer for answer in answers if answer[1] in shared])
    if same:
        answers = [one for one in answers if one[1] in shared]
        looked = [one for one in looked if one[1] in shared]
    models = _places(answers, in_order(one.model for one in measurements), recipe.evaluate.bootstrap)
    looks = _places(looked, list(dict.fromkeys(name for name, *_ in looked)), recipe.evaluate.bootstrap)
    return [_drawn(models, looks, same)] if len(models) > 1 else []


def dpo_rounds(rounds: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, float]]) -> Grid | None:
    """A row for each round of DPO, from what DONE and the training log say; None where it had one round."""
    if len(rounds) < 2:
        return None
    headings = ("Round", "Pairs learned", "Verdicts not read", "Left out", "Steps", "Loss", "As the judge said, %")
    return Grid("Rounds of DPO", headings, tuple(_round_rows(rounds, rows)), _ROUNDS, "dpo")


_ROUNDS = (
    "The first round learns the pairs of stage compare, each later one pairs of answers that the model of the round "
    "before gave, which the judge then labelled. Loss: the mean over the round, nats a pair. The last column is the "
    "mean over the round of the logged share of pairs on which the model, as it was at that step, takes the judge's "
    "side. Each round has pairs of its own, so a later round's figures are no test on the same pairs."
)


def _looked(panel: Sequence[PanelAnswer], recipe: Recipe) -> list[Answered]:
    """The looks by the run's own preference model; nothing where that is no reward of the run."""
    rewards = recipe.rl.rewards
    own = [
        name
        for name, one in zip(part_names([one.type for one in rewards]), rewards, strict=True)
        if isinstance(one, PreferenceModelReward) and one.model == "preference_model"
    ]
    return [
        (str(one.step), one.prompt.id, one.prompt.kind, one.parts[own[0]])
        for one in sorted(panel, key=lambda one: one.step)
        if own and own[0] in one.parts
    ]


def _both(answers: Sequence[Answered]) -> bool:
    return {kind for _, _, kind, _ in answers} == set(KINDS)


def _places(answers: Sequence[Answered], names: Sequence[str], resamples: int) -> list[Place]:
    found = []
    for name in names:
        means = {kind: _mean(answers, name, kind, resamples) for kind in KINDS}
        helpful, harmless = means["helpful"], means["harmful"]
        if helpful and harmless:
            found.append(Place(name, helpful, harmless))
    return found


def _mean(answers: Sequence[Answered], name: str, kind: Kind, resamples: int) -> Estimate | None:
    own = sorted((prompt, score) for who, prompt, of, score in answers if (who, of) == (name, kind))
    return finite_mean([score for _, score in own], resamples)


def _drawn(models: Sequence[Place], looks: Sequence[Place], same: bool) -> Plot:
    title = "Harmlessness against helpfulness, by preference-model score"

    def paint(axes: Axes) -> None:
        if looks:
            axes.plot([p.helpful.value for p in looks], [p.harmless.value for p in looks], ".-", color=VERMILION,
                      alpha=0.6, linewidth=1)  # fmt: skip
            for one in (looks[0], looks[-1]):
                _name(axes, one, f"step {one.name}", -9)
        for one in models:
            x, y = one.helpful, one.harmless
            if math.isfinite(x.low + y.low):
                axes.hlines(y.value, x.low, x.high, color=BLUE, linewidth=1, alpha=0.5)
                axes.vlines(x.value, y.low, y.high, color=BLUE, linewidth=1, alpha=0.5)
            axes.plot([x.value], [y.value], "o", color=BLUE)
            _name(axes, one, one.name, 5)
        axes.set_xlabel("Mean score, helpful prompts")
        axes.set_ylabel("Mean score, harmful prompts")

    return Plot(title, _caption(models, looks, same), svg(title, paint))


def _name(axes: Axes, one: Place, text: str, above: int) -> None:
    where = (one.helpful.value, one.harmless.value)
    axes.annotate(text, where, textcoords="offset points", xytext=(5, above), color=INK)


def _caption(models: Sequence[Place], looks: Sequence[Place], same: bool) -> str:
    counts = f"n = {models[0].harmless.n} harmful and {models[0].helpful.n} helpful prompts"
    between = ""
    if looks:
        held = "the same prompts" if same else "other prompts than the models"
        between = f" The line: the policy of RL at {len(looks)} looks of its panel, on {held}, sampled as in training."
    return (
        f"Means with 95 % bootstrap intervals, {counts}, log-odds of this run's own preference model.{between} As Bai "
        "et al. 2022, Fig. 2, where people compared: here both axes are what RL climbs, so up and to the right is what "
        "it was told to do."
    )


def _round_rows(rounds: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    before = 0
    for place, one in enumerate(rounds, 1):
        steps = range(before + 1, before + one["steps"] + 1)
        agreed = [row["rewards/accuracies"] for row in rows if "rewards/accuracies" in row and row["step"] in steps]
        before += one["steps"]
        yield (
            str(one.get("round", place)),
            str(one["pairs"]),
            str(one["not_parsed"]),
            str(_count(one["left_out"])),
            str(one["steps"]),
            f"{one['loss']:.3f}",
            f"{100 * sum(agreed) / len(agreed):.0f}" if agreed else "-",
        )


def _count(found: Any) -> int:
    """Of a number, or of counts by name, however deep."""
    return sum(map(_count, found.values())) if isinstance(found, dict) else int(found)
