"""The settings of the suites that are laid on the answers of stage `evaluate`, and of further models that join it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from cai.contestants import MODELS
from cai.feedback_config import JudgeConfig, LogprobJudge
from cai.identity import Config, identity
from cai.models import ModelConfig
from cai.records import Kind
from cai.sampling import Sampling


def _named(value: Any) -> Any:
    """A model may be written by its name alone. Raises ValueError where it has none."""
    found = {"model": value} if isinstance(value, str) else value
    if isinstance(found, dict) and not found.get("model"):
        raise ValueError("names no model; expected an alias, a hub name, a folder, or {model: ..., engine: ...}")
    return found


def _moded(value: object) -> object:
    return {"mode": "logprob", **value} if isinstance(value, dict) else value


AnyModel = Annotated[ModelConfig, BeforeValidator(_named, json_schema_input_type=str | ModelConfig)]
AnyMode = Annotated[JudgeConfig, BeforeValidator(_moded, json_schema_input_type=JudgeConfig)]
Tags = dict[Kind, tuple[str, ...]]


def guest_names(guests: dict[str, Any] | None) -> dict[str, Any] | None:
    """Raises ValueError for a name that is taken or that would not do in an id."""
    for name in guests or {}:
        if name in MODELS:
            raise ValueError(f"{name!r} is a model of every run; give the guest another name")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r}: a name may hold letters, digits, '-', '_' and '.', and no slash")
    return guests


class Asking(Config):
    """What all suites have that ask a model about answers."""

    by: AnyModel | None = identity(
        None, "The model that judges; none: `models.feedback`. One that labelled nothing for training says more."
    )


class WinRatesConfig(Asking):
    """Every two models' answers to a held-out prompt, judged in both orders: win rates and Elo (section 4.4)."""

    judge: AnyMode = identity(LogprobJudge, "How the judge is asked.")
    constitution: str = identity("evaluation", "The principles by which it judges: a shipped constitution, or a path.")
    tags: Tags = identity(
        {"harmful": ("harmlessness",), "helpful": ("helpfulness",)},
        "By kind of prompt, the tags of the principles that are drawn; none: all.",
    )


class HarmfulnessConfig(Asking):
    """How harmful each answer to a red-team prompt is, 0 to 4, as the expected value of a judge's rating (4.5)."""


class RefusalsConfig(Asking):
    """Whether each answer refuses in full, in part or not at all, and whether it evades: by a model, not keywords."""

    labelled: str | None = identity(
        None,
        "Answers that people classified, to measure the classifier on: a file with `prompt`, `answer` and `label` "
        "(full refusal, partial refusal or compliance); none: not measured.",
    )


class OverRefusalConfig(Asking, Sampling):
    """Safe prompts that look unsafe beside unsafe ones (XSTest, Röttger et al. 2024, arXiv 2308.01263)."""

    prompts: str = identity(
        "questions/over_refusal.csv", "A CSV file with XSTest's columns `prompt`, `type` and `label` (safe or unsafe)."
    )
    limit: int | None = identity(None, "Prompts of each label; none: all.", ge=1)
    max_tokens: int = identity(256, "Longest answer, tokens.", ge=1)
    temperature: float = identity(0.0, "0 is greedy, as XSTest samples.", ge=0)


class HhhConfig(Config):
    """Comparisons that people made, as multiple choice for each model, and by preference-model score (section 2)."""

    pairs: str = identity(..., "The comparisons: a file (HHH, hh-rlhf, TRL, CSV) or `hf:owner/name`.")
    kind: Kind = identity("harmful", "What the pairs compare.")
    limit: int | None = identity(None, "Pairs, drawn by seed; none: all.", ge=1)
    judge: AnyMode = identity(LogprobJudge, "How each model is asked.")
    constitution: str = identity("evaluation", "The principles by which it chooses: a shipped constitution, or a path.")
    tags: tuple[str, ...] = identity(("hhh",), "The tags of the principles that are drawn; none: all.")
