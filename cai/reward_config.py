"""The settings of the rewards that reinforcement learning climbs: each a part of one weighted sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from cai.constitution import Use
from cai.feedback_config import ScoreJudge
from cai.identity import Config, identity

_FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_SCORER = "`preference_model` or `helpfulness_model` of this run, RUN/preference_model of an earlier one, or a folder."
OWN = ("preference_model", "helpfulness_model")
"""The stages of a run that train a model which scores answers."""


class AnyReward(Config):
    """What all rewards have."""

    weight: float = identity(
        1.0,
        "The reward counts so many times in the sum; below 0 it is a penalty, 0: it is logged and not learned from.",
    )


class PreferenceModelReward(AnyReward):
    """The score of a preference model, log-odds (Bai et al. 2022, section 4.2: raw, neither scaled nor clipped)."""

    type: Literal["preference_model"] = identity("preference_model", "The score of a preference model.")
    model: str = identity("preference_model", f"Which: {_SCORER}")

    @property
    def models(self) -> tuple[str, ...]:
        """The preference models that it asks."""
        return (self.model,)


class Llama2Reward(AnyReward):
    """Two preference models, safety first (Llama 2, arXiv 2307.09288, section 3.2.3).

    The safety score where the prompt is harmful or the answer's safety is below `threshold`, else the helpfulness
    score.
    """

    type: Literal["llama2"] = identity("llama2", "A safety and a helpfulness score, safety first.")
    safety: str = identity("preference_model", f"Scores safety: {_SCORER}")
    helpfulness: str = identity("helpfulness_model", "Scores helpfulness: as `safety`.")
    threshold: float = identity(
        0.15, "Sigmoid of the safety score below which an answer counts as unsafe; Llama 2 takes 0.15.", gt=0, lt=1
    )
    whiten: bool = identity(
        True, "The step's scores are shifted to mean 0 and scaled to standard deviation 1, as Llama 2 does."
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The preference models that it asks: for safety, and for helpfulness."""
        return (self.safety, self.helpfulness)


class JudgeReward(AnyReward):
    """Direct RLAIF (Lee et al. 2023, arXiv 2309.00267, section 2.3): the feedback model rates each answer 1 to 10.

    The reward is the expected rating over the ratings' probabilities, rescaled to [-1, 1].
    """

    type: Literal["judge"] = identity("judge", "The feedback model's expected rating, rescaled to [-1, 1].")
    principles: Annotated[int, Field(ge=1)] | Literal["all"] = identity(
        1, "Principles that a prompt's answers are rated under, drawn anew in each step, ratings averaged."
    )
    tags: tuple[str, ...] = identity((), "Only principles with one of these tags are drawn; none: all.")

    @property
    def judge(self) -> ScoreJudge:
        """How the judge is asked."""
        return ScoreJudge(principles=self.principles)

    @property
    def use(self) -> Use:
        """What a principle must have words for, to be rated by."""
        return self.judge.use


class FunctionReward(AnyReward):
    """A function of your own, for rewards that can be verified, such as the solution of a task."""

    type: Literal["function"] = identity("function", "A function of your own.")
    function: str = identity(
        ...,
        "`module:function`, looked for in the working folder, then beside the recipe, then where Python looks. It is "
        "called with two lists, the answers and the facts of their prompts (the other columns of the prompts' file), "
        "and returns a number for each answer.",
        pattern=_FUNCTION,
    )


class LengthReward(AnyReward):
    """Minus 1 for each token or word beyond a target, so that `weight` is the price of one."""

    type: Literal["length"] = identity("length", "A penalty for length.")
    weight: float = identity(0.01, "Reward that each token or word beyond the target costs.")
    target: int = identity(..., "Tokens or words that cost nothing.", ge=0)
    per: Literal["token", "word"] = identity("token", "What is counted.")


class RepetitionReward(AnyReward):
    """Minus the share of an answer's runs of words that it had before, from 0 to -1."""

    type: Literal["repetition"] = identity("repetition", "A penalty for saying things again.")
    words: int = identity(3, "Words in a run.", ge=1)


RewardConfig = Annotated[
    PreferenceModelReward | Llama2Reward | JudgeReward | FunctionReward | LengthReward | RepetitionReward,
    Field(discriminator="type"),
]


def part_names(kinds: Sequence[str]) -> list[str]:
    """What each reward of a sum is called: by its kind, and of two of a kind `length_1` and `length_2`."""
    counts, seen = Counter(kinds), Counter[str]()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(kind if counts[kind] == 1 else f"{kind}_{seen[kind]}")
    return names
