"""What a recipe points at, loaded and checked before anything runs: constitution, prompts, templates, examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cai.config import Recipe
from cai.constitution import Constitution, load_constitution
from cai.errors import InputError
from cai.few_shot import ComparisonExample, RevisionExample, comparison_examples, revision_examples
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.questions import load_prompts, split
from cai.records import Kind
from cai.spool import Prompts


@dataclass(frozen=True)
class PromptSplit:
    """One kind of prompts: those to train on, those held out, and how many duplicates were dropped."""

    train: Prompts
    held_out: Prompts
    duplicates: int


class Material:
    """Everything a recipe names, looked for from the working folder and then from `beside`.

    Each part is read once, when first asked for. Raises InputError.
    """

    def __init__(self, recipe: Recipe, beside: Path | None = None) -> None:
        self.recipe = recipe
        self._beside = beside
        self._templates: dict[tuple[str, str | None], Templates] = {}

    @cached_property
    def constitution(self) -> Constitution:
        """The rules."""
        return load_constitution(self.recipe.constitution, self._beside)

    @cached_property
    def prompts(self) -> dict[Kind, PromptSplit]:
        """Harmful and helpful prompts, cut to the recipe's limits."""
        return {"harmful": self._split("harmful"), "helpful": self._split("helpful")}

    @cached_property
    def revision_examples(self) -> tuple[RevisionExample, ...]:
        """Shown before a critique and a revision."""
        config = self.recipe.revise
        return revision_examples(config.few_shot_file, config.few_shot, self._beside)

    @cached_property
    def comparison_examples(self) -> tuple[ComparisonExample, ...]:
        """Shown to the judge."""
        config = self.recipe.compare
        return comparison_examples(config.few_shot_file, config.few_shot, self._beside)

    def templates(self, model: ModelConfig) -> Templates:
        """The templates of a model's dialect, with its system prompt."""
        key = model.dialect, model.system
        if key not in self._templates:
            self._templates[key] = Templates(model.dialect, self._template_folder(), model.system)
        return self._templates[key]

    def load(self) -> None:
        """Reads everything now, so that a mistake shows before any model is loaded."""
        _ = self.constitution, self.prompts, self.revision_examples, self.comparison_examples
        for _, model in self.recipe.models:
            self.templates(model)
        for use in ("revision", "comparison"):
            self.constitution.draw(use, 0)

    def _template_folder(self) -> Path | None:
        own = self.recipe.templates
        if own and self._beside and not Path(own).is_dir():
            return self._beside / own
        return Path(own) if own else None

    def _split(self, kind: Kind) -> PromptSplit:
        source = self.recipe.prompts.harmful if kind == "harmful" else self.recipe.prompts.helpful
        loaded = load_prompts(source, kind, self._beside)
        train, held_out = split(loaded.prompts, self.recipe.prompts.held_out)
        if not train or not held_out:
            empty = "training" if not train else "evaluation"
            raise InputError(
                f"prompts.{kind}: {source} has {len(loaded.prompts)} prompts and leaves none for {empty} with "
                f"held_out {self.recipe.prompts.held_out}; add prompts or change held_out"
            )
        limits = self.recipe.prompts.limit, self.recipe.evaluate.limit
        return PromptSplit(train[: limits[0]], held_out[: limits[1]], loaded.duplicates)
