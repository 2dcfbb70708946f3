"""What the report shows of an evaluation: tables, figures, and answers that classifier and rule read otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cai.config import Recipe
from cai.evaluation import Evaluation
from cai.evaluation_config import Asking
from cai.evaluation_tables import Grid, grids
from cai.records import Classified
from cai.refusal_figures import disputes
from cai.stages.plots import Plot
from cai.stages.plots_evaluation import evaluation_plots

MOST = 6
"""Disputed answers that are shown."""


@dataclass(frozen=True)
class Evaluated:
    """A section's worth. `disputed`: how many answers are, of which `disputes` shows the first."""

    grids: Sequence[Grid]
    plots: Sequence[Plot]
    disputes: Sequence[Classified]
    disputed: int
    judges: str


def evaluated(found: Evaluation | None, recipe: Recipe) -> Evaluated | None:
    """None where no suite was run."""
    tables = grids(found) if found else []
    if not found or not tables:
        return None
    disputed = sum(row.disputed for row in found.refusals)
    examples = disputes(found.classified, MOST)
    return Evaluated(tables, evaluation_plots(found), examples, disputed, ", ".join(_judges(recipe)))


def _judges(recipe: Recipe) -> list[str]:
    """The models that judged, each once."""
    suites = [recipe.win_rates, recipe.harmfulness, recipe.refusals, recipe.over_refusal]
    asked = [one.by or recipe.models.feedback for one in suites if isinstance(one, Asking)]
    return list(dict.fromkeys(model.model for model in asked)) or ["none"]
