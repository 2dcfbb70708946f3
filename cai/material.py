"""What a recipe points at, loaded and checked before anything runs: constitution, prompts, templates, examples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cai.checkpoints import Checkpoint, preference_model, trained
from cai.config import DistillConfig, Recipe
from cai.constitution import Constitution, Principle, Use, check_constitution, read_constitution
from cai.contestants import POLICIES
from cai.demonstrations import Demonstration, load_demonstrations
from cai.dialogues import dialogues
from cai.errors import InputError
from cai.feedback_config import ContrastiveAnswers, CotJudge, ModelAnswers, SeatedJudge
from cai.few_shot import (
    ComparisonExample,
    ReasoningExample,
    RevisionExample,
    comparison_examples,
    reasoning_examples,
    revision_examples,
)
from cai.human import Pairs, load_pairs
from cai.languages import known
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.questions import load_prompts, load_texts, split
from cai.records import Dialogue, Kind, Prompt
from cai.resources import find
from cai.rl_config import PpoConfig
from cai.rl_prompts import mixed_in
from cai.spool import Prompts
from cai.train_config import HumanPairs
from cai.yamlfile import read_text


@dataclass(frozen=True)
class PromptSplit:
    """One kind of prompts: those to train on, those held out, and how many duplicates were dropped."""

    train: Prompts
    held_out: Prompts
    duplicates: int


class Material:
    """Everything a recipe names, looked for from the working folder and then from `beside`; earlier runs lie in `runs`.

    Each part is read once, when first asked for. Raises InputError.
    """

    def __init__(self, recipe: Recipe, beside: Path | None = None, runs: Path = Path("runs")) -> None:
        self.recipe = recipe
        self.beside, self.runs = beside, runs
        self._templates: dict[tuple[str, str | None], Templates] = {}

    @cached_property
    def constitution(self) -> Constitution:
        """The rules."""
        return check_constitution(read_constitution(self._constitution_path))

    @cached_property
    def _constitution_path(self) -> Path:
        return find("constitutions", self.recipe.constitution, ".yaml", self.beside)

    @cached_property
    def prompts(self) -> dict[Kind, PromptSplit]:
        """Harmful and helpful prompts, cut to the recipe's limits."""
        return {"harmful": self._split("harmful"), "helpful": self._split("helpful")}

    @cached_property
    def pretraining(self) -> tuple[str, ...]:
        """The texts of PPO-ptx; none where the recipe doesn't mix any in."""
        ptx = self.recipe.rl.ptx if isinstance(self.recipe.rl, PpoConfig) else None
        return tuple(load_texts(ptx.texts, self.beside)) if ptx else ()

    @cached_property
    def revision_examples(self) -> tuple[RevisionExample, ...]:
        """Shown before a critique and a revision."""
        config, own = self.recipe.revise, self.constitution.few_shot.revision
        return revision_examples(
            config.few_shot_file or own, config.few_shot, self._beside_examples(config.few_shot_file)
        )

    @cached_property
    def comparison_examples(self) -> tuple[ComparisonExample | ReasoningExample, ...]:
        """Shown to the judge: with thoughts where it is to think first."""
        config, own = self.recipe.compare.judge, self.constitution.few_shot
        if not isinstance(config, SeatedJudge):
            return ()
        beside = self._beside_examples(config.few_shot_file)
        if isinstance(config, CotJudge):
            return reasoning_examples(config.few_shot_file or own.reasoning, config.few_shot, beside)
        return comparison_examples(config.few_shot_file or own.comparison, config.few_shot, beside)

    @cached_property
    def assistant(self) -> ModelConfig:
        """The model that answers, critiques and revises, with the constitution's system prompt if it has none."""
        model = self.recipe.models.assistant
        return model if model.system else model.model_copy(update={"system": self.constitution.system})

    @cached_property
    def guarded(self) -> ModelConfig:
        """The assistant under the safety preamble of stage `distill`, which comes before its own system prompt."""
        system = "\n\n".join(text for text in (self._preamble, self.assistant.system) if text)
        return self.assistant.model_copy(update={"system": system})

    @cached_property
    def _preamble(self) -> str:
        path = find("prompts", self._distill.preamble, ".txt", self.beside)
        text = read_text(path).strip()
        if not text:
            raise InputError(f"{path}: holds no text; expected a safety preamble")
        return text

    @cached_property
    def scorer(self) -> ModelConfig:
        """The preference model of stage `distill`, which an earlier run left, in the dialect that it was trained in.

        Of a folder that isn't known: it is taken to be that of the model that is finetuned here.
        """
        known = self._checkpoint.recipe or self.recipe
        return known.models.pretrained.model_copy(update={"model": str(self._checkpoint.folder)})

    @cached_property
    def scoring(self) -> Templates:
        """What `scorer` is shown a prompt by."""
        known = self._checkpoint.recipe
        if known is None:
            return self.templates(self.scorer)
        folder = Path(known.templates) if known.templates else None
        return Templates(self.scorer.dialect, folder, self.scorer.system)

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        name = self._distill.preference_model
        if name.partition("/")[0] == self.recipe.name and not Path(name).is_dir():
            raise InputError(
                f"distill.preference_model: {name} is trained after stage distill of this very run; give this recipe "
                "another name, or name another run"
            )
        return preference_model(name, self.runs)

    @property
    def _distill(self) -> DistillConfig:
        assert self.recipe.distill
        return self.recipe.distill

    def constitution_for(self, model: ModelConfig) -> Constitution:
        """The rules in the words that a model is shown."""
        return self.constitution.worded(model.dialect)

    def pools(self, use: Use) -> list[tuple[Principle, ...]]:
        """The principles that each round can draw from; the judge has one round.

        Raises InputError for a round that has none.
        """
        rules = self.constitution_for(self.assistant if use in ("revision", "direct") else self.recipe.models.feedback)
        for round_, tags in (draws := self._draws(use)):
            rules.draw(use, 0, round_=round_, tags=tags)
        return [rules.able(use, round_, tags) for round_, tags in draws]

    @cached_property
    def rl_prompts(self) -> dict[Kind, Sequence[Prompt]]:
        """What the policy is asked in stage `rl`: the recipe's own prompts and more, each as often as it is to come."""
        own: dict[Kind, Prompts] = {kind: part.train for kind, part in self.prompts.items()}
        config = self.recipe
        return mixed_in(own, config.rl.prompts, config.prompts.held_out, config.seed, self.beside)

    @cached_property
    def panel(self) -> tuple[Prompt, ...]:
        """The held-out prompts that the policy answers while it is trained in stage `rl`; none where none are asked."""
        count = self.recipe.rl.panel.prompts if self.recipe.rl.panel else 0
        return tuple(prompt for part in self.prompts.values() for prompt in part.held_out[:count])

    @cached_property
    def human_pairs(self) -> dict[str, list[tuple[HumanPairs, Pairs]]]:
        """What people compared, by the stage that learns it: each source with its pairs."""
        return {
            stage: [(source, load_pairs(source.pairs, source.kind, self.beside)) for source in config.human]
            for stage, config in self.recipe.preference_models.items()
        }

    @cached_property
    def demonstrations(self) -> list[list[Demonstration]]:
        """Answers by people that SFT learns, source by source."""
        sources = self.recipe.sft.demonstrations if self.recipe.runs("sft") else ()
        return [load_demonstrations(one.answers, one.kind, self.beside, one.limit) for one in sources]

    @cached_property
    def dialogues(self) -> list[Dialogue]:
        """The conversations of stage `ghost`."""
        config = self.recipe.ghost
        if config is None:
            return []
        told = load_prompts(config.instructions, "helpful", self.beside).prompts
        return dialogues(self.prompts["helpful"].train, told, config.turns, config.limit, self.recipe.seed)

    @property
    def sampled(self) -> Material:
        """What stage `rejection_sampling` works with: all that is read already, and its settings in place of `rl`'s."""
        other = copy(self)
        other.recipe = self.recipe.sampled
        for name in ("rl_prompts", "panel", "pretraining"):
            other.__dict__.pop(name, None)
        return other

    @cached_property
    def paired(self) -> dict[str, ModelConfig]:
        """The models whose answers are compared, other than the SL-CAI model of this run.

        Raises InputError for a name that is no part of the recipe and no model of an earlier run.
        """
        answers = self.recipe.compare.answers
        names = answers.models if isinstance(answers, ModelAnswers) else ()
        return {name: self._named(name) for name in names if name != "sft"}

    def _named(self, name: str) -> ModelConfig:
        parts = dict(self.recipe.models)
        if name in parts:
            return parts[name]
        found = trained(name, self.runs, POLICIES, "to answer prompts")
        if found is None or found.recipe is None:
            known = ", ".join([*parts, "sft"])
            raise InputError(
                f"compare.answers.models: {name!r} is no part of `models` and no RUN/STAGE in {self.runs}/; expected "
                f"one of {known}, or a trained model such as old-run/rl"
            )
        return found.recipe.models.pretrained.model_copy(update={"model": str(found.folder)})

    @property
    def judged_by(self) -> tuple[Use, ...]:
        """What a principle must have words for in stage `compare`."""
        config = self.recipe.compare
        steered: tuple[Use, ...] = ("contrast",) if isinstance(config.answers, ContrastiveAnswers) else ()
        return steered if config.certain else tuple(dict.fromkeys((config.judge.use, *steered)))

    def _draws(self, use: Use) -> list[tuple[int | None, tuple[str, ...]]]:
        """Each round with the tags by which it draws."""
        if use not in ("revision", "direct"):
            return [(None, self.recipe.compare.tags)]
        config = self.recipe.revise
        return [(round_, config.tags_of(round_)) for round_ in range(1, config.rounds + 1)]

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
        if self.constitution.language:
            known(self.constitution.language)
        if self.recipe.runs("revise"):
            self.pools("revision" if self.recipe.revise.critique else "direct")
        _ = self.paired, self.human_pairs, self.demonstrations, self.dialogues
        for use in self.judged_by if self.recipe.runs("compare") else ():
            self.pools(use)
        if self.recipe.distill:
            self.templates(self.guarded)
            _ = self.scoring

    def _beside_examples(self, named: str | None) -> Path | None:
        """Where a file of examples is looked for: beside the file that names it."""
        return self.beside if named else self._constitution_path.parent

    def _template_folder(self) -> Path | None:
        own = self.recipe.templates
        if own and self.beside and not Path(own).is_dir():
            return self.beside / own
        return Path(own) if own else None

    def _split(self, kind: Kind) -> PromptSplit:
        source = self.recipe.prompts.harmful if kind == "harmful" else self.recipe.prompts.helpful
        loaded = load_prompts(source, kind, self.beside)
        train, held_out = split(loaded.prompts, self.recipe.prompts.held_out)
        if not train or not held_out:
            empty = "training" if not train else "evaluation"
            raise InputError(
                f"prompts.{kind}: {source} has {len(loaded.prompts)} prompts and leaves none for {empty} with "
                f"held_out {self.recipe.prompts.held_out}; add prompts or change held_out"
            )
        limits = self.recipe.prompts.limit, self.recipe.evaluate.limit
        return PromptSplit(train[: limits[0]], held_out[: limits[1]], loaded.duplicates)
