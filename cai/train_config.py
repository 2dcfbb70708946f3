"""The settings of the stages that train: SL-CAI, the preference models and DPO."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from cai.identity import Config, identity, knob
from cai.records import Kind


class AdapterConfig(Config):
    """LoRA: low-rank updates beside frozen weights (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = identity(16, "Rank of each update.", ge=1)
    alpha: float = identity(32, "An update counts alpha / rank times.", gt=0)
    dropout: float = identity(0.05, "Share of an update's inputs that are dropped in training.", ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = identity(
        "all-linear", "Layers that get an update: all linear ones but the output's, or names such as [q_proj, v_proj]."
    )
    bits: Literal[4, 8] | None = identity(
        None,
        "QLoRA (Dettmers et al. 2023, arXiv 2305.14314): frozen weights in 4 (NF4, quantised twice) or 8 bits while "
        "training, by bitsandbytes.",
    )

    @field_validator("targets")
    @classmethod
    def _some(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not targets:
            raise ValueError("name a layer at least, such as [q_proj, v_proj], or take all-linear")
        return targets


class TrainConfig(Config):
    """What every training stage has."""

    epochs: float = identity(1.0, "Passes over the rows; the papers use 1.", gt=0)
    learning_rate: float = identity(1e-5, "Peak learning rate (AdamW).", gt=0)
    batch_size: int = identity(32, "Rows in one optimizer step.", ge=1)
    micro_batch: int = knob(8, "Rows in one forward pass; must divide `batch_size`.", ge=1)
    max_length: int = identity(1024, "Longest row, tokens.", ge=8)
    schedule: Literal["constant", "cosine", "linear"] = identity(
        "constant", "Learning rate over time; paper: constant."
    )
    warmup: float = identity(
        0.0,
        "Share of the steps over which the rate rises from 0; InstructGPT finetunes without, Llama 2's reward models "
        "take 0.03.",
        ge=0,
        lt=1,
    )
    weight_decay: float = identity(0.0, "Weight decay; Llama 2 finetunes with 0.1.", ge=0)
    max_grad_norm: float = identity(1.0, "Longer gradients are cut to this norm; Llama 2's PPO: 1. 0: never.", ge=0)
    optimizer: Literal["adamw", "adafactor"] = identity(
        "adamw", "`adafactor` keeps fewer moments in memory; RLAIF (Lee et al. 2023) trains with it."
    )
    adapter: AdapterConfig | None = identity(
        None,
        "LoRA or QLoRA, such as {rank: 16, alpha: 32, dropout: 0.05, targets: all-linear, bits: 4}; {}: LoRA by these "
        "defaults, none: every weight is finetuned. LoRA usually wants ten times the `learning_rate` of full "
        "finetuning or more: QLoRA's authors take 1e-4 to 2e-4.",
    )
    save_every: int = knob(100, "Optimizer steps between checkpoints for resuming.", ge=1)
    gradient_checkpointing: bool = knob(False, "Saves memory, costs about a third more time.")
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = knob(
        (),
        "Where figures go besides the run's own folder: `tensorboard` (a folder of that name in the stage's), `wandb`, "
        "`trackio`; each needs the package of its name. None: nothing leaves the run.",
    )

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        if self.batch_size % self.micro_batch and self.batch_size > self.micro_batch:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self


class Demonstrations(Config):
    """Answers that people wrote or preferred, which SFT learns as they are (InstructGPT, section 3.5)."""

    answers: str = identity(
        ...,
        "A file or `hf:owner/name[/folder][:split]`: conversations that end with an answer (`messages`, or `prompt` "
        "and `completion`), or pairs (`chosen`), whose preferred answer is learned.",
    )
    kind: Kind = identity("helpful", "What their prompts are: `helpful` or `harmful`.")
    limit: int | None = identity(None, "Answers that are used, the first ones; none: all.", ge=1)


class SftConfig(TrainConfig):
    """SL-CAI: finetuning on the revisions of all rounds and on helpful answers (section 3.2)."""

    loss: Literal["answer", "assistant", "all"] = identity(
        "answer",
        "Tokens that are learned: the last `answer`, every turn of the `assistant`, or `all`. The paper does not say.",
    )
    packing: bool = identity(
        False,
        "Rows share a sequence of up to `max_length` tokens, none sees another. `batch_size` and `micro_batch` then "
        "count sequences, each of several rows, so there are fewer steps. Refused for models whose rows would see each "
        "other.",
    )
    demonstrations: tuple[Demonstrations, ...] = identity(
        (), "Sources of answers by people, which are learned beside the model's own. The paper has none."
    )


class HumanPairs(Config):
    """Comparisons that people made, which the preference model learns beside the AI's (section 4.2)."""

    pairs: str = identity(
        ...,
        "A file of pairs or `hf:owner/name[/folder][:split]`, such as hf:Anthropic/hh-rlhf/helpful-base: hh-rlhf's "
        "transcripts, or TRL's forms.",
    )
    kind: Kind = identity("helpful", "What they compare: `helpful` or `harmful` prompts.")
    weight: float = identity(1.0, "Weight of each of their pairs in the loss; the AI's: `ai_weight`.", gt=0)
    limit: int | None = identity(None, "Pairs that are used, the first ones; none: all.", ge=1)


class PreferenceModelConfig(TrainConfig):
    """The preference model, trained by soft cross-entropy on P(a is better) (section 4.2)."""

    batch_size: int = identity(
        32,
        "Prompts in one optimizer step, each with all its answers and pairs, which are averaged over the prompt's "
        "pairs and then over prompts. InstructGPT (section 3.5) takes 64 prompts, Llama 2 512 pairs.",
        ge=1,
    )
    micro_batch: int = knob(
        8, "Prompts in one forward pass, with all their answers; must divide `batch_size`. It changes no figure.", ge=1
    )
    max_length: int = identity(
        1024, "Longest prompt with one of its answers, tokens; paper: 1024 (HH, App. A.2).", ge=8
    )
    labels: Literal["soft", "hard"] = identity(
        "soft", "`hard` rounds each probability to 0 or 1; paper: soft (section 4.3)."
    )
    human: tuple[HumanPairs, ...] = identity((), "Sources of human comparisons; the paper mixes in helpfulness.")
    ai_weight: float = identity(
        1.0, "Weight of each AI-labelled pair; 0: they are not learned from, only reported on.", ge=0
    )
    margins: Literal["none", "small", "large"] = identity(
        "none",
        "Margin in the loss for pairs rated `significantly`, `better`, `slightly` or `negligibly` better: small 1, "
        "2/3, 1/3, 0; large 3, 2, 1, 0 (Llama 2, section 3.2.2). Unrated pairs: 0.",
    )
    center: float = identity(
        0.0,
        "Weight of the squared sum of a pair's rewards in the loss, which keeps their mean near 0 (Eisenstein "
        "et al. 2023, arXiv 2312.09244); TRL recommends 0.01.",
        ge=0,
    )
    too_long: Literal["drop", "truncate"] = identity(
        "drop",
        "Pairs over `max_length`: left out, or their prompt cut from its start, for all its answers alike; an answer "
        "never is, and one too long alone is left out. All is counted.",
    )
    freeze: int = identity(
        0,
        "Lowest layers that stay as they are, with the embeddings. Nothing is computed backwards through them: half of "
        "the layers, about 1.5 times the speed.",
        ge=0,
    )
    held_out: float = identity(
        0.1, "Share of pairs kept for accuracy and calibration, chosen by a hash of their prompt.", ge=0, lt=1
    )
    share_prompts: bool = knob(
        True, "All answers to a prompt run behind one copy of it, where the model allows; the rewards are the same."
    )


class HelpfulnessModelConfig(PreferenceModelConfig):
    """A second preference model, as Llama 2 trains one for helpfulness beside that for safety (section 3.2.2).

    It learns from what people compared, and from no AI feedback.
    """

    human: tuple[HumanPairs, ...] = identity(..., "Sources of human comparisons; at least one.", min_length=1)


class DpoConfig(TrainConfig):
    """DPO (Rafailov et al. 2023, arXiv 2305.18290) on the comparisons, with their probabilities as labels."""

    learning_rate: float = identity(
        1e-6, "Peak learning rate (AdamW); Rafailov et al. 2023, App. B, and TRL take 1e-6 for all weights.", gt=0
    )
    beta: float = identity(0.1, "Weight of the KL to the SL-CAI model; the paper uses 0.1.", gt=0)
    labels: Literal["soft", "hard"] = identity(
        "soft", "`hard` rounds each probability to 0 or 1, which is DPO as published."
    )
    too_long: Literal["drop", "truncate"] = identity(
        "drop", "Pairs over `max_length`: left out, or their prompt cut from its start. Both are counted."
    )
    rounds: int = identity(
        1,
        "Rounds of sampling, judging and learning: the first learns the pairs of stage `compare`, each later one pairs "
        "that are sampled from the model of the round before, as `compare` says. Online AI feedback (Guo et al. 2024, "
        "arXiv 2402.04792) samples at every step; Llama 3 (arXiv 2407.21783) is trained in rounds.",
        ge=1,
    )
    reference: Literal["start", "last"] = identity(
        "start",
        "What later rounds are held to by `beta`: the SL-CAI model that all `start` from, or the model of the `last` "
        "round, so that the distance is measured anew.",
    )
