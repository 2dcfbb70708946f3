"""The recipe: every setting of a run, with its meaning, unit and source.

Each field is declared `identity` (it changes results and is part of a stage's address) or `knob` (it does not).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from cai.credentials import hidden_values, secrets_in
from cai.engine_config import EngineConfig, default_engine, has_own_check, settled
from cai.errors import InputError, StoreError
from cai.evaluation_config import (
    AnyModel,
    HarmfulnessConfig,
    HhhConfig,
    OverRefusalConfig,
    RefusalsConfig,
    WinRatesConfig,
    guest_names,
)
from cai.executor_config import ExecutorConfig, LocalExecutor
from cai.feedback_config import CompareConfig, RoundAnswers
from cai.hygiene import Flag
from cai.identity import Config, identity, knob
from cai.launch_config import LaunchConfig
from cai.models import ModelConfig, ModelsConfig
from cai.resources import find
from cai.rl_config import BestOfNConfig, RlConfig, RlooConfig
from cai.sampling import DrawConfig, Sampling
from cai.sizes import tiny
from cai.train_config import DpoConfig, HelpfulnessModelConfig, PreferenceModelConfig, SftConfig
from cai.yamlfile import YamlFile, parse_yaml, read_yaml

Spared = Literal["respond", "revise", "sft", "compare", "rl"]
"""The stages of the paper that a recipe of another method may do without."""

TRAINING = ("sft", "preference_model", "helpfulness_model", "dpo", "rejection_sampling", "rl")
"""The stages that train a model, in the order in which they run."""

TOLD_APART = ("type", "mode", "algorithm")
"""The fields by which groups of settings are told apart: another value, and the group has other settings."""


class PromptsConfig(Config):
    """Which prompts, and how they are split."""

    harmful: str = identity(
        "questions/red_team", "Red-team prompts: a shipped set, a file, or `hf:owner/name[/folder][:split]`."
    )
    helpful: str = identity("questions/helpful", "Helpful prompts: as `harmful`.")
    limit: int | None = identity(None, "Training prompts of each kind; none: all.", ge=1)
    held_out: float = identity(
        0.25, "Share of prompts kept for evaluation, chosen by a hash of their text.", gt=0, lt=1
    )


class RespondConfig(Sampling):
    """The assistant's own answers to helpful prompts, for the SL mixture (section 3.2)."""

    samples: int = identity(1, "Answers a prompt; the paper samples 2 (section 3.2).", ge=1)


class ResampleConfig(Config):
    """Asking again for a critique or revision that was flagged; the flagged one stays in the record."""

    times: int = identity(0, "Further attempts at most; 0: never. The last one is kept, flagged or not.", ge=0)
    flags: tuple[Flag, ...] = identity(
        ("empty", "meta-talk", "critique-not-revision", "revision-not-critique", "turn-marker", "repetition"),
        "The flags that ask for another attempt.",
    )


class ReviseConfig(DrawConfig):
    """Critique-revision chains (section 3.1)."""

    rounds: int = identity(4, "Critique-revision pairs a prompt; the paper uses 4 (section 3.2).", ge=1)
    samples: int = identity(1, "Chains a prompt, each from an answer of its own.", ge=1)
    critique: bool = identity(True, "false: revisions without a critique before them (section 3.5).")
    principles: Annotated[int, Field(ge=1)] | Literal["all"] = identity(
        1, "Principles drawn a round; `all`: the whole constitution at once. The paper draws 1."
    )
    replacement: bool = identity(True, "false: a chain draws no principle twice while others are left.")
    round_tags: dict[Annotated[int, Field(ge=1)], tuple[str, ...]] = identity(
        {}, "`tags` of single rounds: {1: [harm], 2: [tone]}."
    )
    stop: float | None = identity(
        None,
        "A chain ends where P(nothing to change), asked before each critique, is above this; none: not asked.",
        ge=0,
        lt=1,
    )
    resample: ResampleConfig = identity(ResampleConfig, "Another attempt at flagged replies.")
    few_shot: int = identity(5, "Examples shown before a critique and a revision (App. E); 0: none.", ge=0)

    def tags_of(self, round_: int) -> tuple[str, ...]:
        """The tags by which a round draws."""
        return self.round_tags.get(round_, self.tags)


class AblateConfig(Config):
    """Further chains from the same first answers, for the report's figures (Bai et al. 2022, Fig. 6 and 7)."""

    limit: int | None = identity(None, "Prompts whose chains are ablated; none: all.", ge=1)
    principles: tuple[Annotated[int, Field(ge=1)], ...] = identity(
        (), "For each number n, chains that draw from the first n principles alone (Fig. 6)."
    )
    direct: bool = identity(True, "Chains of direct revisions, without critiques (Fig. 7).")


class DistillConfig(Sampling):
    """Safety context distillation (Llama 2, arXiv 2307.09288, section 4.2 and App. A.3.5).

    The assistant answers red-team prompts with and without a safety preamble; where the preamble raises the
    preference score, SL-CAI learns the guarded answer without the preamble.
    """

    preference_model: str = identity(
        ...,
        "Scores the answers: a folder, or RUN/preference_model of an earlier run, as in quickstart/preference_model.",
    )
    preamble: str = identity("preambles/safety", "The preamble: a shipped text or a file.")


class GhostConfig(Sampling):
    """Ghost attention (Llama 2, arXiv 2307.09288, section 3.3 and App. A.3.5).

    The assistant has conversations under an instruction that every turn repeats; SL-CAI learns their last answers with
    the instruction in the first turn alone, so that it holds on to what it was told once.
    """

    instructions: str = identity("instructions/ghost", "Instructions, one a line or row: a shipped set or a file.")
    turns: int = identity(3, "Turns of the person in a conversation; Llama 2 does not say.", ge=2)
    limit: int | None = identity(None, "Conversations; none: as many as there are helpful prompts.", ge=1)


class SelectionConfig(Config):
    """Which revisions and helpful answers SL-CAI learns from (section 3.2)."""

    rounds: Literal["all", "last"] | tuple[Annotated[int, Field(ge=1)], ...] = identity(
        "all", "`all` rounds (section 3.1), the `last`, or a list of rounds."
    )
    weights: dict[Annotated[int, Field(ge=1)], Annotated[float, Field(ge=0)]] = identity(
        {}, "Copies of a revision by its round, as in {4: 2.0}; 0.5 keeps every second one by seed. Others: 1."
    )
    helpful_share: float | None = identity(
        None,
        "Share of helpful answers among the rows; none: all there are. Rows beyond it are left out by seed.",
        ge=0,
        lt=1,
    )
    drop: tuple[Flag, ...] = identity(
        ("empty", "stopped", "meta-talk", "critique-not-revision", "turn-marker", "repetition"),
        "Rows with one of these flags are left out, and counted. The paper drops none.",
    )


class EvaluateConfig(Sampling):
    """Base, SL-CAI and RL-CAI on held-out prompts."""

    limit: int | None = identity(None, "Held-out prompts of each kind; none: all.", ge=1)
    bootstrap: int = knob(2000, "Resamples behind each 95 % interval.", ge=100)


class ReportConfig(Config):
    """The report."""

    transcripts: int = knob(12, "Chains shown in full.", ge=0)


class Recipe(Config):
    """A whole run."""

    name: str = knob(..., "Folder below runs/: letters, digits, '-', '_' and '.'.")
    description: str = knob("", "What this run is for.")
    seed: int = identity(0, "The seed of every draw.", ge=0, strict=True)
    constitution: str = identity("harmless", "A shipped constitution, or a path.")
    size: Literal["full", "tiny"] = knob(
        "full",
        "`tiny`: every stage in seconds, by scripted replies, a model of random weights and numbers cut down "
        "(cai/sizes.py). It tries a recipe out, and says nothing of its results.",
    )
    without: tuple[Spared, ...] = knob(
        (), "Stages of the paper that are not run, such as [revise, compare]; without `sft`, `models.pretrained` stays."
    )
    templates: str | None = identity(None, "A folder with your own prompt templates; none: those that ship.")
    models: ModelsConfig = identity(..., "The parts that models play.")
    engine: EngineConfig = identity(default_engine, "What generates and judges; default: `auto`.")
    executor: ExecutorConfig = knob(
        LocalExecutor, "Where data stages run: `local`, in this process, or `ray`, on one machine or a cluster."
    )
    train: LaunchConfig = knob(LaunchConfig, "In how many processes the stages that train run.")
    prompts: PromptsConfig = identity(PromptsConfig, "Which prompts.")
    respond: RespondConfig = identity(RespondConfig, "Stage `respond`.")
    revise: ReviseConfig = identity(ReviseConfig, "Stage `revise`.")
    ablate: AblateConfig | None = identity(None, "Stage `ablate`; none: not run.")
    distill: DistillConfig | None = identity(None, "Stage `distill`; none: not run.")
    ghost: GhostConfig | None = identity(None, "Stage `ghost`; none: not run.")
    select: SelectionConfig = identity(SelectionConfig, "What stage `sft` learns from.")
    sft: SftConfig = identity(SftConfig, "Stage `sft`.")
    compare: CompareConfig = identity(CompareConfig, "Stage `compare`.")
    preference_model: PreferenceModelConfig = identity(PreferenceModelConfig, "Stage `preference_model`.")
    helpfulness_model: HelpfulnessModelConfig | None = identity(
        None, "Stage `helpfulness_model`, a second preference model, of people's comparisons alone; none: not run."
    )
    dpo: DpoConfig | None = identity(None, "Stage `dpo`, the short road without a preference model; none: not run.")
    rejection_sampling: BestOfNConfig | None = identity(
        None,
        "Stage `rejection_sampling`: best-of-n before `rl`, which goes on from the model that it leaves (Llama 2, "
        "section 3.2.3). Rewards and prompts are those of `rl`; none: not run.",
    )
    rl: RlConfig = identity(RlooConfig, "Stage `rl`.")
    evaluate: EvaluateConfig = identity(EvaluateConfig, "Stage `evaluate`.")
    guests: dict[str, AnyModel] | None = identity(
        None, "Stage `guests`: further models that answer the held-out prompts, by names of your own; none: not run."
    )
    win_rates: WinRatesConfig | None = identity(None, "Stage `win_rates`; none: not run.")
    harmfulness: HarmfulnessConfig | None = identity(None, "Stage `harmfulness`; none: not run.")
    refusals: RefusalsConfig | None = identity(None, "Stage `refusals`; none: not run.")
    over_refusal: OverRefusalConfig | None = identity(None, "Stage `over_refusal`; none: not run.")
    hhh: HhhConfig | None = identity(None, "Stage `hhh`; none: not run.")
    report: ReportConfig = identity(ReportConfig, "Stage `report`.")
    failures: float = knob(
        0.0,
        "Share of a stage's items that may fail for good; the run goes on without them and the report counts them.",
        ge=0,
        lt=1,
    )

    _settled = field_validator("engine")(settled)

    @field_validator("dpo")
    @classmethod
    def _sampled_anew(cls, dpo: DpoConfig | None, info: ValidationInfo) -> DpoConfig | None:
        compare = info.data.get("compare")
        if dpo and compare and dpo.rounds > 1 and not compare.answers.of_sft:
            raise ValueError(
                f"rounds {dpo.rounds} need pairs of the model that is trained, and `compare.answers` has none of it; "
                "take {type: samples}, or rounds: 1"
            )
        return dpo

    _guests = field_validator("guests")(guest_names)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Recipe:
        for stage, needed in _needed(self):
            raise ValueError(f"`without` {list(self.without)} leaves {stage} without {needed}")
        return self

    @field_validator("rejection_sampling")
    @classmethod
    def _as_rl(cls, config: BestOfNConfig | None) -> BestOfNConfig | None:
        plain = BestOfNConfig()
        given = [
            name for name in ("rewards", "prompts", "panel") if config and getattr(config, name) != getattr(plain, name)
        ]
        if given:
            raise ValueError(
                f"takes its rewards and prompts from `rl`, and has no panel; give {', '.join(given)} there"
            )
        return config

    @property
    def sampled(self) -> Recipe:
        """The recipe as stage `rejection_sampling` sees it: its settings stand where those of `rl` do."""
        assert self.rejection_sampling
        taken = {"rewards": self.rl.rewards, "prompts": self.rl.prompts}
        return self.model_copy(update={"rl": self.rejection_sampling.model_copy(update=taken)})

    @field_validator("rl", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return {"algorithm": "rloo", **value} if isinstance(value, dict) else value

    @property
    def preference_models(self) -> dict[str, PreferenceModelConfig]:
        """The settings of each preference model that is trained, by its stage."""
        second = {"helpfulness_model": self.helpfulness_model} if self.helpfulness_model else {}
        return {"preference_model": self.preference_model, **second}

    def runs(self, stage: str) -> bool:
        """Whether the recipe has this stage: it is not left out, and one that is optional has settings."""
        if stage == "score_rounds":
            return self.runs("revise")
        return stage not in self.without and getattr(self, stage) is not None

    @property
    def untrainable(self) -> str | None:
        """Why `models.pretrained` cannot be finetuned and opened here again; None where it can."""
        pretrained = self.models.pretrained
        if self.engine_of(pretrained).type == "openai":
            return (
                "this model is finetuned on this machine and cannot be asked through a server; give it an engine of "
                "its own that runs here, such as {model: smollm2-135m, engine: {type: auto}}"
            )
        if pretrained.adapter:
            return "this model is finetuned as a whole and can have no adapter; merge it into the weights first"
        return None

    def engine_of(self, model: ModelConfig) -> EngineConfig:
        """The engine that a model is asked through."""
        return model.engine or self.engine

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError("a name may hold letters, digits, '-', '_' and '.', and starts with a letter or digit")
        return name


def _needed(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Each stage that lacks what it is made from, and what that is."""
    taught = [stage for stage in ("respond", "revise", "distill", "ghost") if recipe.runs(stage)]
    if recipe.runs("sft") and not (taught or recipe.sft.demonstrations):
        yield "sft", "rows; give it `sft.demonstrations`, or leave it out too"
    if not (recipe.runs("compare") or recipe.preference_model.human):
        yield "preference_model", "comparisons; give it `preference_model.human`"
    if recipe.dpo and not recipe.runs("compare"):
        yield "dpo", "comparisons: it learns from those of stage compare"
    if recipe.runs("compare") and isinstance(recipe.compare.answers, RoundAnswers) and not recipe.runs("revise"):
        yield "compare", "the rounds that `compare.answers` pairs"
    if recipe.ablate and not recipe.runs("revise"):
        yield "ablate", "the chains that it changes"


_NO_SECRETS = (
    "holds a key, a token or a password, and a recipe is stored with its run; put it into an environment variable and "
    "name that one, as in `engine: {type: openai, key_env: MY_KEY}`"
)


def recipe_file(name: str) -> Path:
    """Where a recipe rests; the files it names are looked for from the working folder, then beside it."""
    return find("recipes", name, ".yaml")


def stored_recipe(settings: dict[str, Any], run: str) -> Recipe:
    """The recipe of a run as run.json holds it. Raises StoreError where another version wrote it."""
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StoreError(f"run {run!r} was written by another version of cai ({where}); run its recipe again") from None


def load_recipe(name: str, overrides: list[str] | None = None, trains: bool = True) -> Recipe:
    """A recipe by path or shipped name, with overrides such as `rl.steps=20` on top.

    `trains`: whether its models are to be finetuned, and not only asked. Raises InputError with `file:line:` for
    every mistake.
    """
    file = read_yaml(recipe_file(name))
    for override in overrides or ():
        _apply(file, override)
    if mistakes := [file.mistake(at, _NO_SECRETS) for at in secrets_in(file.data) if not has_own_check(at)]:
        raise InputError(*mistakes)
    recipe = file.check(Recipe)
    if recipe.size == "tiny":
        recipe = Recipe.model_validate(tiny(recipe.model_dump()))
    if trains and recipe.untrainable:
        raise file.error(("models", "pretrained"), recipe.untrainable)
    return recipe


def _apply(file: YamlFile, override: str) -> None:
    """Writes one `a.b=value` into the file's data; the value is read as YAML."""
    path, equals, text = override.partition("=")
    shown = hidden_values(override)
    if not equals or not path:
        raise InputError(f"override {shown!r}: expected key=value, such as rl.steps=20")
    if not isinstance(file.data, dict):
        return
    *parents, last = path.split(".")
    node: Any = file.data
    for depth, part in enumerate(parents):
        node = node.setdefault(part, {})
        if isinstance(node, str) and parents[0] == "models":
            node = _parent(file.data, parents[:depth])[part] = {"model": node}
        if not isinstance(node, dict):
            raise InputError(f"override {shown!r}: {'.'.join(parents[: depth + 1])} is not a group of settings")
    value = parse_yaml(text, f"override {shown!r}")
    if last in TOLD_APART and node.get(last) != value.data:
        node.clear()  # the other settings of the group were those of another type
    node[last] = value.data
    file.graft((*parents, last), value)


def _parent(data: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path:
        data = data[part]
    return data
