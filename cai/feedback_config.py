"""The settings of AI feedback: which answers are paired, and how the judge is asked (Bai et al. 2022, section 4.1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cai.constitution import Use
from cai.identity import Config, identity, knob
from cai.prompts import Step
from cai.records import Kind
from cai.sampling import Sampling


class CalibrationConfig(Config):
    """What is done to a verdict's probability before anything learns from it; `cai judge` fits the temperature."""

    temperature: float = identity(1.0, "Log-odds are divided by it: above 1 softens, below 1 sharpens.", gt=0)
    smoothing: float = identity(0.0, "Share by which a probability is drawn to one half.", ge=0, lt=1)


class AnyJudge(Config):
    """What all modes have."""

    principles: Annotated[int, Field(ge=1)] | Literal["all"] = identity(
        1, "Principles that each pair is judged under, their probabilities averaged; the paper draws 1."
    )
    calibration: CalibrationConfig = identity(CalibrationConfig, "Softening and smoothing of the probabilities.")

    @property
    def use(self) -> Use:
        """What a principle must have words for, to be judged by."""
        return "comparison"

    @property
    def questions(self) -> int:
        """Calls for one pair under one principle."""
        return 2

    @property
    def written(self) -> int:
        """Most tokens that the judge writes for one pair under one principle."""
        return 0


class SeatedJudge(AnyJudge):
    """Modes that show both answers at once."""

    orders: Literal["both", "random"] = identity(
        "both", "Judge both seatings and average (RLAIF, Lee et al. 2023, section 2.1.1), or one drawn by seed."
    )
    few_shot: int = identity(0, "Worked comparisons shown to the judge (section 4.1); 0: none.", ge=0)
    few_shot_file: str | None = identity(
        None, "Where the examples come from: shipped, or a path; none: as the constitution says."
    )

    @property
    def questions(self) -> int:
        """Calls for one pair under one principle: one for each seating."""
        return 2 if self.orders == "both" else 1


class LogprobJudge(SeatedJudge):
    """The labels' log-probabilities right after the question (section 4.1)."""

    mode: Literal["logprob"] = identity("logprob", "Log-probabilities of the two labels.")
    layout: Literal["paper", "principle_last"] = identity(
        "paper", "`principle_last`: both answers come before the principle, so that several principles share them."
    )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The templates that the judge is asked by."""
        return ("compare",) if self.layout == "paper" else ("compare_last",)


class CotJudge(SeatedJudge, Sampling):
    """Chain of thought, then the labels' log-probabilities (section 4.1)."""

    mode: Literal["cot"] = identity("cot", "Chain of thought.")
    thoughts: int = identity(1, "Chains of thought for each seating, their probabilities averaged.", ge=1)
    clamp: tuple[float, float] | None = identity(
        (0.4, 0.6), "Probabilities are kept within these bounds; the paper's main results use 0.4 to 0.6 (section 4.3)."
    )
    max_tokens: int = identity(512, "Longest chain of thought, tokens; RLAIF uses 512.", ge=1)
    temperature: float = identity(0.0, "0 is greedy, which RLAIF found best; several thoughts need more.", ge=0)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The templates that the judge is asked by."""
        return ("reason", "conclude")

    @property
    def questions(self) -> int:
        """Calls for one pair under one principle: each chain of thought, and the labels after it."""
        return 2 * self.thoughts * super().questions

    @property
    def written(self) -> int:
        """Most tokens that the judge writes for one pair under one principle."""
        return self.questions // 2 * self.max_tokens

    @model_validator(mode="after")
    def _in_order(self) -> CotJudge:
        if self.clamp and not 0 <= self.clamp[0] <= 0.5 <= self.clamp[1] <= 1:
            raise ValueError(f"clamp {list(self.clamp)}: expected 0 <= low <= 0.5 <= high <= 1, such as [0.4, 0.6]")
        if self.thoughts > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.thoughts} thoughts at temperature 0 are all the same; give a temperature, such as 1"
            )
        return self


class ContrastJudge(AnyJudge):
    """How much likelier each answer becomes when its principle is the assistant's instruction (DLMA, arXiv 2402.11907).

    p(a) = s(scale (contrast_a - contrast_b)); contrast = log p(answer | instruction) - log p(answer | the opposite, or
    no instruction). Nothing is generated, and there is no seat to prefer.
    """

    mode: Literal["contrast"] = identity("contrast", "Likelihood contrast.")
    against: Literal["opposite", "nothing"] = identity(
        "opposite", "What the instruction is set against: the principle's `opposite`, or no instruction."
    )
    per: Literal["answer", "character"] = identity(
        "answer",
        "`character`: log-likelihoods are divided by the length of the answer, so that long ones don't dominate.",
    )
    scale: float = identity(1.0, "Log-odds for one nat of contrast.", gt=0)

    @property
    def use(self) -> Use:
        """What a principle must have words for, to be judged by."""
        return "contrast" if self.against == "opposite" else "instruction"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The templates that the judge is asked by."""
        return ("steer",) if self.against == "opposite" else ("steer", "respond")

    @property
    def questions(self) -> int:
        """Calls for one pair under one principle: each answer under the instruction and against it."""
        return 4


class ScoreJudge(AnyJudge):
    """Each answer rated 1 to 10 by itself: the expected value over the ratings' probabilities (RLAIF, section 2.3)."""

    mode: Literal["score"] = identity("score", "Ratings from 1 to 10.")

    @property
    def use(self) -> Use:
        """What a principle must have words for, to be judged by."""
        return "instruction"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The templates that the judge is asked by."""
        return ("rate",)


class VerdictJudge(SeatedJudge, Sampling):
    """A verdict that is written and read, for servers without log-probabilities. The last one counts."""

    mode: Literal["verdict"] = identity("verdict", "A generated verdict.")
    max_tokens: int = identity(256, "Longest verdict, tokens.", ge=1)
    temperature: float = identity(0.0, "0 is greedy.", ge=0)
    structured: bool = identity(
        True, "Only a label can be written, where the engine can hold a reply to a form; else the text is searched."
    )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The templates that the judge is asked by."""
        return ("verdict",)

    @property
    def written(self) -> int:
        """Most tokens that the judge writes for one pair under one principle."""
        return self.questions * self.max_tokens


JudgeConfig = Annotated[
    LogprobJudge | CotJudge | ContrastJudge | ScoreJudge | VerdictJudge, Field(discriminator="mode")
]

POINTWISE = frozenset({"contrast", "score"})
"""Modes that give each answer a number of its own."""


class AnyAnswers(Config):
    """What all ways to come by pairs have."""

    @property
    def of_sft(self) -> bool:
        """Whether answers of the model that is trained are among them."""
        return True


class SampledAnswers(AnyAnswers):
    """Answers of the SL-CAI model (section 4.1)."""

    type: Literal["samples"] = identity("samples", "Samples of the SL-CAI model.")
    samples: int = identity(2, "Answers to each prompt; the paper samples 2.", ge=2)
    pairs: Literal["all", "best-worst"] | Annotated[int, Field(ge=1)] = identity(
        "all",
        "`all` pairs, so many drawn by seed, or the `best-worst` one: by each answer's own number, so for the modes "
        "`contrast` and `score`.",
    )


class ModelAnswers(AnyAnswers):
    """An answer of each of two models."""

    type: Literal["models"] = identity("models", "One answer of each of two models.")
    models: tuple[str, str] = identity(
        ("assistant", "sft"),
        "Parts of `models`, `sft` for the SL-CAI model of this run, or RUN/STAGE of an earlier one, such as old/rl.",
    )

    @field_validator("models")
    @classmethod
    def _two(cls, models: tuple[str, str]) -> tuple[str, str]:
        if models[0] == models[1]:
            raise ValueError(f"both are {models[0]!r}; name two models, or take {{type: samples}}")
        return models

    @property
    def of_sft(self) -> bool:
        """Whether answers of the model that is trained are among them."""
        return "sft" in self.models


class RoundAnswers(AnyAnswers):
    """Two rounds of the chains of stage `revise`."""

    type: Literal["rounds"] = identity("rounds", "Two rounds of a chain.")
    rounds: tuple[Annotated[int, Field(ge=0)] | Literal["last"], Annotated[int, Field(ge=0)] | Literal["last"]] = (
        identity((0, "last"), "The rounds; 0 is the first answer.")
    )

    @property
    def of_sft(self) -> bool:
        """Never: they are the assistant's, and were written before."""
        return False


class ContrastiveAnswers(AnyAnswers):
    """An answer under the principle's instruction and one under its opposite (RLCD, arXiv 2307.12950)."""

    type: Literal["contrastive"] = identity("contrastive", "One answer under a principle, one under its opposite.")
    label: Literal["judge", "construction"] = identity(
        "judge", "`construction`: the first is better for sure, as in RLCD; `judge`: it is asked, as in DLMA."
    )


AnswersConfig = Annotated[
    SampledAnswers | ModelAnswers | RoundAnswers | ContrastiveAnswers, Field(discriminator="type")
]


class PreflightConfig(Config):
    """The judge is measured before it is asked, and a warning given where it is no better than chance."""

    pairs: str | None = knob(
        None, "Comparisons that people made: a file or `hf:owner/name[:split]`; none: the constitution's own tests."
    )
    kind: Kind = knob("harmful", "What they compare.")
    limit: int = knob(100, "Pairs that are asked at most; 0: no preflight.", ge=0)


class CompareConfig(Sampling):
    """AI feedback: pairs of answers judged under a principle (section 4.1)."""

    tags: tuple[str, ...] = identity((), "Only principles with one of these tags are drawn; none: all.")
    answers: AnswersConfig = identity(SampledAnswers, "Which answers are paired.")
    judge: JudgeConfig = identity(LogprobJudge, "How the judge is asked.")
    preflight: PreflightConfig = knob(PreflightConfig, "The judge is measured first.")

    @property
    def certain(self) -> bool:
        """Whether labels are known from how a pair was made."""
        return isinstance(self.answers, ContrastiveAnswers) and self.answers.label == "construction"

    @field_validator("answers", mode="before")
    @classmethod
    def _typed(cls, value: object) -> object:
        return {"type": "samples", **value} if isinstance(value, dict) else value

    @field_validator("judge", mode="before")
    @classmethod
    def _moded(cls, value: object) -> object:
        return {"mode": "logprob", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _ranked(self) -> CompareConfig:
        answers = self.answers
        if isinstance(answers, SampledAnswers) and answers.pairs == "best-worst" and self.judge.mode not in POINTWISE:
            raise ValueError(
                f"answers.pairs: best-worst needs a judge that gives each answer a number: {sorted(POINTWISE)}; the "
                f"mode is {self.judge.mode!r}"
            )
        return self
