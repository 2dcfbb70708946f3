"""The card of a trained model: what it learned from and how, what was measured of it, and what that can't show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cai import __version__
from cai.config import Recipe
from cai.constitution import Constitution
from cai.contestants import TRAINED
from cai.credentials import hidden
from cai.evaluated import evaluation_of
from cai.evaluation_tables import Grid, grids, shown
from cai.export.card import environment, judged, today
from cai.export.provenance import players, public, stages
from cai.export.source import Source
from cai.identity import digest, identity_of
from cai.records import Measurement
from cai.stages.report_caveats import caveats
from cai.stages.report_effects import HEADINGS, sentences, table
from cai.stages.report_preference import NAMES, held_out_rows
from cai.weights import ALIASES, hub_name, parameters
from cai.yamlfile import to_yaml

POLICIES = {stage: name for name, stage in TRAINED.items()}
"""What a model that answers prompts is called, by the stage that trains it."""

CARES = (
    "It has learned from labels and texts that models wrote, and was checked by nobody: measure it on your own "
    "prompts before anyone relies on it.",
    "It can still write what is harmful, false or offensive, and can refuse what is harmless. It is a result of "
    "research and not a safeguard.",
)
SCORES = (
    "Its score says which of two answers to one prompt its teachers would prefer. It is no probability of harm, and "
    "scores of different prompts can't be compared. A policy that is trained against it learns its mistakes.",
)
"""What holds of every preference model."""

_ALGORITHMS = {
    "rloo": "RLOO (Ahmadian et al. 2024, arXiv 2402.14740)",
    "grpo": "GRPO (Shao et al. 2024, arXiv 2402.03300)",
    "ppo": "PPO (Schulman et al. 2017, arXiv 1707.06347)",
    "best_of_n": "best-of-n (rejection sampling, Llama 2, arXiv 2307.09288, section 3.2.3)",
}
_COUNTS = {
    "rows": "rows",
    "pairs": "pairs",
    "prompts": "prompts",
    "steps": "optimizer steps",
    "tokens": "tokens",
    "trainable_parameters": "trainable parameters",
    "loss": "mean loss",
    "seconds": "seconds",
    "too_long": "left out as longer than max_length",
    "not_parsed": "pairs left out, having no verdict",
    "demonstrations": "demonstrations by people",
}
"""What DONE of a stage that trains says, in words."""


@dataclass(frozen=True)
class Figures:
    """What was measured of a run's models: the table of held-out prompts, its sentences, and the suites."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    grids: Sequence[Grid]


def figures(source: Source) -> Figures:
    """Reads them; a stage that is not done gives none."""
    resamples = source.recipe.evaluate.bootstrap
    found = list(source.records("evaluate", Measurement))
    rows = [row.cells() for row in table(found, resamples)]
    said = sentences(found, resamples) if found else []
    return Figures(HEADINGS, rows, said, grids(evaluation_of(source.done, resamples)))


def model_card(
    source: Source, stage: str, measured: Figures, constitution: Constitution | None, notes: Sequence[str]
) -> str:
    """The card of the model that a stage left, as Markdown.

    Nothing that a model wrote is in it; what users wrote is escaped, and paths are cut to their last part.
    """
    recipe, scorer = source.recipe, stage in NAMES
    summary = source.done[stage].summary
    return (
        environment()
        .get_template("model_card.md.jinja")
        .render(
            header=_header(recipe, stage),
            title=f"{source.name}: {NAMES[stage] if scorer else POLICIES[stage]}",
            recipe=recipe,
            scorer=scorer,
            version=__version__,
            date=today(),
            method=Markup(_method(recipe, stage)),
            base=hub_name(recipe.models.pretrained.model) or public(recipe.models.pretrained.model),
            learned=list(_learned(summary, stage)),
            players=players(recipe),
            constitution=constitution,
            rules=constitution.name if constitution else public(recipe.constitution),
            prompts={kind: public(getattr(recipe.prompts, kind)) for kind in ("harmful", "helpful")},
            digest=digest(identity_of(recipe)),
            stages=stages(source),
            notes=notes,
            settings=list(_settings(recipe.model_dump(mode="json").get(stage) or {})),
            stage=stage,
            measured=measured,
            held_out=[_held_out(row) for row in held_out_rows({stage: summary})] if scorer else [],
            cares=_cares(source, scorer),
            license=_license(recipe),
            chat=recipe.models.pretrained.dialect == "chat",
        )
    )


def _header(recipe: Recipe, stage: str) -> str:
    """What the hub reads; all of it our own words but the base model's name, which is checked."""
    base = hub_name(recipe.models.pretrained.model)
    known = {"base_model": [base], "base_model_relation": "finetune"} if base else {}
    algorithm = [recipe.rl.algorithm.replace("_", "-")] if stage == "rl" else []
    kinds = ["reward-model"] if stage in NAMES else []
    return to_yaml(
        {
            "license": _license(recipe) or "other",
            **known,
            "library_name": "transformers",
            "pipeline_tag": "text-classification" if stage in NAMES else "text-generation",
            "tags": ["constitutional-ai", "rlaif", stage.replace("_", "-"), *algorithm, *kinds],
        }
    ).rstrip()


def _license(recipe: Recipe) -> str:
    """The base model's, where it is known; empty: the user's to choose."""
    name = recipe.models.pretrained.model
    return ALIASES[name].license if name in ALIASES else ""


def _method(recipe: Recipe, stage: str) -> str:
    """How it was trained, in our own words, and where that is described."""
    labels = "the probabilities that a judge gave to pairs of answers under the constitution"
    learned = {
        "sft": "Supervised finetuning, the loss on the answer alone, on revisions that a model made of its own answers "
        "under the constitution and on helpful answers (Bai et al. 2022, section 3)",
        "preference_model": f"A scalar preference model, trained by cross-entropy on {labels} (Bai et al. 2022, "
        "section 4.1)",
        "helpfulness_model": "A scalar preference model of people's comparisons alone (Llama 2, arXiv 2307.09288, "
        "section 3.2.2)",
        "dpo": f"DPO (Rafailov et al. 2023, arXiv 2305.18290) on {labels}",
        "rejection_sampling": f"{_ALGORITHMS['best_of_n']}, before reinforcement learning",
        "rl": "Reinforcement learning from AI feedback (Bai et al. 2022, section 4) by "
        f"{_ALGORITHMS[recipe.rl.algorithm]}",
    }
    people = recipe.preference_model.human if stage == "preference_model" else ()
    begun = (
        "from the base model" if stage == "sft" or not recipe.runs("sft") else "from the SL-CAI model of the same run"
    )
    return f"{learned[stage]}{', and on comparisons that people made' if people else ''}, {begun}."


def _learned(summary: Mapping[str, Any], stage: str) -> Iterator[tuple[str, str]]:
    """What it was trained on, counted; the loss of reinforcement learning says nothing."""
    for name, said in _COUNTS.items() if stage != "rl" else [one for one in _COUNTS.items() if one[0] != "loss"]:
        value = summary.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield said, f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    left_out = summary.get("left_out")
    for reason, count in left_out.items() if isinstance(left_out, dict) else ():
        counts = count.items() if isinstance(count, dict) else [("", count)]
        yield from ((f"left out, {' '.join(filter(None, (reason, why)))}", str(number)) for why, number in counts)


def _held_out(row: Any) -> tuple[str, ...]:
    """A preference model on the held-out pairs of a source, as text."""
    shares = (shown(one, 100) for one in (row.accuracy, row.longer_is_better, row.longer_wins))
    return (row.source, str(row.pairs), *shares, shown(row.calibration_error))


def _settings(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Each setting on a line of its own, without paths of this machine."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _settings(inner, f"{at}.{name}" if at else name)
    elif value is not None and value != []:
        yield at, hidden(json.dumps(_public(value), ensure_ascii=False))


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _public(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return public(value) if isinstance(value, str) else value


def _cares(source: Source, scorer: bool) -> list[str]:
    """What can't be concluded, the gravest first."""
    judge = source.recipe.models.feedback.model
    told = caveats(source.recipe, public(judge), parameters(judge))
    return [*(f"{one.claim} {one.reason}" for one in told), *judged(source), *(SCORES if scorer else ()), *CARES]
