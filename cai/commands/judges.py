"""The command that measures a judge on comparisons that people made: judge."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.text import Text

from cai.commands.asked import asked
from cai.commands.judge_tables import print_agreements, print_figures
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import InputError
from cai.human import load_pairs
from cai.identity import identity_of
from cai.judge.judge import Judge
from cai.judge.of_recipe import judge_of
from cai.judge_figures import JudgeFigures, figures, kappa
from cai.material import Material
from cai.progress import Reporter
from cai.records import Kind
from cai.store import write_text
from cai.terminal import printable
from cai.trials.choose import named
from cai.trials.measuring import Examine, Examined, Labelled, examined, labelled


@dataclass(frozen=True)
class Measured:
    """A judge, the verdicts it gave, and what they say of it."""

    name: str
    material: Material
    verdicts: list[Examined]
    figures: JudgeFigures

    def as_json(self) -> dict[str, Any]:
        """The figures, with what was measured beside them."""
        recipe = self.material.recipe
        return {
            "judge": self.name,
            "model": recipe.models.feedback.model,
            "constitution": self.material.constitution.name,
            "settings": identity_of(recipe.compare.judge),
            **self.figures.as_json(),
        }


@dataclass(frozen=True)
class Judges:
    """Which judges are measured: every model in every mode. None given: the recipe's.

    `principles`: ids by which they judge; none: drawn.
    """

    constitution: str
    models: Sequence[str]
    modes: Sequence[str]
    recipe: str | None
    principles: Sequence[str]
    overrides: Sequence[str]

    def materials(self) -> dict[str, Material]:
        """What each judge is made of, by a name that tells it apart. Raises InputError."""
        found: dict[str, Material] = {}
        for model, mode in itertools.product(self.models or [None], self.modes or [None]):
            laid = {"compare.judge.mode": mode} if mode else {}
            material = asked(model, self.recipe, self.overrides, constitution=self.constitution, **laid)
            config = material.recipe
            found[f"{config.models.feedback.model}, {config.compare.judge.mode}"] = material
            _ = material.templates(config.models.feedback), material.comparison_examples
        return found


def measure(
    console: Console, dataset: str, kind: str, judges: Judges, limit: int | None, as_json: bool, to: Path | None
) -> None:
    """Prints what labelled pairs say of each judge; writes every verdict to `to`. Raises InputError, EngineError."""
    if kind not in get_args(Kind):
        raise InputError(f"--kind {kind}: expected one of {', '.join(get_args(Kind))}")
    found = load_pairs(dataset, "helpful" if kind == "helpful" else "harmful")
    materials = judges.materials()
    pairs = labelled(found.pairs, next(iter(materials.values())).recipe.seed, limit)
    aside = Console(stderr=True) if as_json else console
    with Pool(Reporter(aside).loading) as pool:
        measured = [_measured(aside, pool, *one, judges.principles, pairs) for one in materials.items()]
    if to:
        write_text(to, "".join(f"{one.model_dump_json()}\n" for judge in measured for one in judge.verdicts))
    if as_json:
        console.print_json(json.dumps(_told(measured, found.left_out)), ensure_ascii=True)
    else:
        _print(console, measured, found.left_out)


def _print(console: Console, measured: Sequence[Measured], left_out: dict[str, int]) -> None:
    for judge in measured:
        print_figures(console, judge.name, judge.figures)
    print_agreements(console, _agreements(measured))
    if left_out:
        counts = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        console.print(Text(f"pairs of the file that were left out: {counts}"))


def _measured(
    console: Console, pool: Pool, name: str, material: Material, only: Sequence[str], pairs: Sequence[Labelled]
) -> Measured:
    model = material.recipe.models.feedback
    (engine,) = pool.engines([(material.recipe.engine_of(model), model)])
    stage = _examine(judge_of(material, Speaker(engine, material.templates(model))), only)
    with Reporter(console).step(printable(name), len(pairs), "pairs") as meter:
        verdicts = pool.run(examined(pairs, stage, lambda one: meter.advance(1)))
    return Measured(name, material, verdicts, figures([one.judged for one in verdicts]))


def _examine(judge: Judge, only: Sequence[str]) -> Examine:
    """Raises InputError where the principles can't serve the mode."""
    use = judge.config.use
    judge.constitution.draw(use, 0, tags=judge.tags)
    chosen = tuple(named(judge.constitution, name) for name in only)
    if unfit := [one.id for one in chosen if not one.serves(use)]:
        raise InputError(f"--principle {unfit[0]}: has no words for the mode {judge.config.mode!r} ({use})")
    return Examine(judge, chosen)


def _agreements(judges: Sequence[Measured]) -> list[tuple[str, str, dict[str, Any]]]:
    """Of every two judges."""
    verdicts = [(one.name, [examined.judged for examined in one.verdicts]) for one in judges]
    return [
        (name, other, kappa(ours, theirs).as_json())
        for (name, ours), (other, theirs) in itertools.combinations(verdicts, 2)
    ]


def _told(judges: Sequence[Measured], left_out: dict[str, int]) -> dict[str, Any]:
    """One judge's figures as they are; several as a list, with how far they agree."""
    if len(judges) == 1:
        return {**judges[0].as_json(), "left_out": left_out}
    agreement = [{"judges": [one, other], **told} for one, other, told in _agreements(judges)]
    return {"judges": [judge.as_json() for judge in judges], "agreement": agreement, "left_out": left_out}
