"""The settings of stage `rl`, one class an algorithm: RLOO, GRPO, best-of-n, PPO (Bai et al. 2022, section 4.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cai.identity import Config, identity, knob
from cai.panel_config import PanelConfig, check_panel
from cai.records import Kind
from cai.reward_config import PreferenceModelReward, RewardConfig
from cai.train_config import AdapterConfig, SftConfig


def _raw_score() -> tuple[RewardConfig, ...]:
    return (PreferenceModelReward(),)


class MorePrompts(Config):
    """Prompts for RL beside the recipe's own, as the paper has a model write 491,142 and 474,300 more (section 4.2)."""

    prompts: str = identity(..., "A file such as `cai prompts` writes, a shipped set, or `hf:owner/name[:split]`.")
    kind: Kind = identity("harmful", "What they are: `harmful` or `helpful`.")
    weight: float = identity(
        1.0,
        "How often each stands among the prompts; 0.5 leaves out every second one, by seed. The recipe's own: 1.",
        gt=0,
    )
    limit: int | None = identity(None, "Prompts that are used; none: all.", ge=1)


class RlBase(Config):
    """What every algorithm has."""

    rewards: tuple[RewardConfig, ...] = identity(
        _raw_score,
        "What is climbed: the sum of these, each times its weight; the paper: the preference model.",
        min_length=1,
    )
    steps: int = identity(200, "Optimizer steps.", ge=1)
    prompts_per_step: int = identity(16, "Prompts in one step.", ge=1)
    micro_batch: int = knob(16, "Sequences in one forward pass; divides prompts_per_step x samples.", ge=1)
    learning_rate: float = identity(1e-6, "Learning rate (AdamW), constant.", gt=0)
    max_tokens: int = identity(128, "Longest answer, tokens; the paper uses 128 (HH, App. B).", ge=1)
    temperature: float = identity(1.0, "Sampling temperature.", gt=0)
    helpful_share: float = identity(0.5, "Share of helpful prompts among the prompts.", ge=0, le=1)
    prompts: tuple[MorePrompts, ...] = identity((), "More prompts, beside the recipe's own.")
    panel: PanelConfig | None = identity(
        None, "Held-out prompts that are answered every so many steps, to watch the training; none: it is not watched."
    )
    save_every: int = knob(50, "Optimizer steps between checkpoints for resuming.", ge=1)
    gradient_checkpointing: bool = knob(False, "Saves memory, costs about a third more time.")

    @field_validator("panel")
    @classmethod
    def _watches(cls, panel: PanelConfig | None, info: ValidationInfo) -> PanelConfig | None:
        check_panel(panel, info.data.get("rewards", ()))
        return panel


class TrlBase(RlBase):
    """What RLOO and GRPO have, which draw several answers a prompt and need no value function."""

    samples: int = identity(4, "Answers sampled a prompt, each the others' baseline.", ge=2)
    kl: float = identity(0.05, "Weight of the KL to the SL-CAI model.", ge=0)
    adapter: AdapterConfig | None = identity(
        None,
        "LoRA or QLoRA, settings as in `sft.adapter`. The SL-CAI model is then the policy without it, and no second "
        "one is held. LoRA usually wants ten times the `learning_rate` of full finetuning or more.",
    )
    vllm: Literal["none", "colocate", "server"] = identity(
        "none",
        "What samples the answers: transformers, or vLLM, `colocate`d on the GPU of the training or a `server` that "
        "runs elsewhere (`vllm serve`, as TRL's pages say). vLLM only on a machine with a GPU.",
    )
    vllm_memory: float = knob(0.3, "Share of the GPU's memory that vLLM takes, colocated.", gt=0, lt=1)
    vllm_server: str | None = knob(None, "Address of the server; none: port 8000 of this machine.")
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = knob(
        (), "Where figures go besides the run's own folder, as in `sft.report_to`. None: nothing leaves the run."
    )

    @model_validator(mode="after")
    def _divides(self) -> TrlBase:
        sequences = self.prompts_per_step * self.samples
        if sequences % min(self.micro_batch, sequences):
            raise ValueError(f"micro_batch {self.micro_batch} does not divide {sequences} = prompts_per_step x samples")
        return self


class RlooConfig(TrlBase):
    """RL-CAI (section 4.2), here by RLOO (Ahmadian et al. 2024)."""

    algorithm: Literal["rloo"] = identity("rloo", "RLOO: REINFORCE with a leave-one-out baseline. The paper uses PPO.")
    kl: float = identity(0.05, "Weight of the KL to the SL-CAI model in the reward, per nat of a whole answer.", ge=0)


class GrpoConfig(TrlBase):
    """RL-CAI (section 4.2), here by GRPO (Shao et al. 2024, arXiv 2402.03300)."""

    algorithm: Literal["grpo"] = identity("grpo", "GRPO: advantages relative to the group of a prompt's answers.")
    samples: int = identity(8, "Answers sampled a prompt, its group; Shao et al.: 64, TRL: 8.", ge=2)
    kl: float = identity(
        0.04, "Weight of the KL to the SL-CAI model in the loss, per nat a token; Shao et al.: 0.04, TRL: 0.", ge=0
    )
    epsilon: float = identity(0.2, "A ratio of probabilities counts within 1 +- epsilon; TRL: 0.2.", gt=0)
    scale_rewards: Literal["group", "batch", "none"] = identity(
        "group",
        "What advantages are divided by: the standard deviation of the group (Shao et al.), of the whole step, or "
        "nothing (Dr. GRPO, Liu et al. 2025, arXiv 2503.20783).",
    )
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = identity(
        "dapo",
        "How the tokens' losses are averaged: over each answer and then over answers (`grpo`, as published, which lets "
        "tokens of long answers count less), over all tokens of a step (`dapo`, arXiv 2503.14476, TRL's default), over "
        "`max_tokens` a sample (`dr_grpo`), or over the tokens of a micro-batch (`bnpo`).",
    )


class PtxConfig(Config):
    """PPO-ptx: next-token loss on texts like those of pretraining, beside PPO's (InstructGPT, section 3.5)."""

    texts: str = identity(
        ..., "The texts: a file (.jsonl, .csv and .parquet with a column `text`, .txt with a text a line) or `hf:name`."
    )
    weight: float = identity(27.8, "Weight of their loss, nats a token; InstructGPT: 27.8.", gt=0)
    ratio: float = identity(1.0, "Texts learned for each answer; InstructGPT takes 8.", gt=0)
    max_length: int = identity(512, "Longest text, tokens; the rest of a longer one is left out.", ge=2)


class PpoConfig(RlBase):
    """RL-CAI by PPO (section 4.2, with the numbers of Bai et al. 2022a, InstructGPT and Llama 2)."""

    algorithm: Literal["ppo"] = identity("ppo", "PPO (Schulman et al. 2017, arXiv 1707.06347), as in the paper.")
    steps: int = identity(200, "Rounds of sampling and learning; Llama 2 takes 200 to 400.", ge=1)
    prompts_per_step: int = identity(512, "Prompts in one step; InstructGPT and Llama 2: 512.", ge=1)
    samples: int = identity(1, "Answers sampled a prompt; the paper samples 1 (HH, App. B).", ge=1)
    minibatch: int = identity(
        64, "Answers in one optimizer step; divides prompts_per_step x samples. InstructGPT, Llama 2: 64.", ge=1
    )
    epochs: int = identity(1, "Passes over a step's answers; HH and InstructGPT: 1 (HH, online: 4).", ge=1)
    micro_batch: int = knob(
        16, "Answers in one forward pass; divides minibatch. It changes no figure but by rounding.", ge=1
    )
    sampling_batch: int = knob(64, "Answers written at once; the same ones whatever it is, up to rounding.", ge=1)
    learning_rate: float = identity(1e-6, "Learning rate of the policy (AdamW), constant; Llama 2: 1e-6.", gt=0)
    value_learning_rate: float = identity(9e-6, "That of the value function; InstructGPT (1.3B, 6B): 9e-6.", gt=0)
    warmup: int = identity(
        10, "Steps over which both rates rise, linearly from a tenth; InstructGPT: 10. 0: none.", ge=0
    )
    weight_decay: float = identity(0.0, "Weight decay; Llama 2: 0.1.", ge=0)
    max_grad_norm: float = identity(1.0, "Longer gradients are cut to this norm; Llama 2: 1. 0: never.", ge=0)
    kl: float = identity(
        0.02,
        "Weight of the KL to the SL-CAI model in the reward, per nat. The paper takes 0.001 (HH, B.1); InstructGPT "
        "takes 0.02, and found 0.01 to 0.02 best; Llama 2 takes 0.01 (7B, 13B).",
        ge=0,
    )
    kl_estimator: Literal["k1", "k2", "k3"] = identity(
        "k1", "How a token's KL is estimated (Schulman 2020); k1, the log-ratio, is InstructGPT's."
    )
    kl_target: float | None = identity(
        None,
        "Nats an answer that `kl` is steered to, from where it starts (Ziegler et al. 2019, section 2.2); none: fixed.",
        gt=0,
    )
    kl_gain: float = identity(
        0.1, "How fast `kl` is steered: per step, for a relative error of up to 0.2; Ziegler et al.: 0.1.", gt=0
    )
    clip: float = identity(
        0.2, "A ratio of probabilities counts within 1 +- clip; HH, InstructGPT, Llama 2: 0.2.", gt=0
    )
    value_clip: float | None = identity(
        0.2, "Values count within so much of those at sampling time; TRL's PPO: 0.2. None: anywhere.", gt=0
    )
    value_weight: float = identity(0.1, "Weight of the value loss beside the policy's; TRL's PPO: 0.1.", ge=0)
    entropy: float = identity(0.0, "Weight of an entropy bonus, per nat a token; the paper has none (HH, B.1).", ge=0)
    discount: float = identity(1.0, "Discount of rewards a token further on; HH and InstructGPT: 1.", gt=0, le=1)
    gae: float = identity(
        0.95,
        "Lambda of generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438); TRL's PPO: 0.95.",
        ge=0,
        le=1,
    )
    whiten: Literal["none", "scores", "tokens"] = identity(
        "none",
        "`scores`: a step's scores are brought to mean 0 and deviation 1 (Llama 2, section 3.2.3); `tokens`: the "
        "rewards of tokens, KL included, to deviation 1 (Ziegler et al. 2019, code). HH: none.",
    )
    whiten_advantages: bool = identity(
        True, "A step's advantages are brought to mean 0 and deviation 1 (Ziegler et al. 2019, code)."
    )
    unfinished: float = identity(
        0.0, "Taken off the score of an answer that did not end within `max_tokens`; the papers take off nothing.", ge=0
    )
    critic: Literal["separate", "head"] = identity(
        "separate",
        "The value function: a model of its own that begins as the preference model (InstructGPT), or a `head` on the "
        "policy's hidden states, which needs far less memory.",
    )
    adapter: AdapterConfig | None = identity(
        None,
        "LoRA or QLoRA for the policy, settings as in `sft.adapter`; its dropout is not applied. The SL-CAI model is "
        "then the policy without it, and no second one is held. LoRA usually wants ten times the `learning_rate`.",
    )
    ema: float | None = identity(
        None,
        "Decay, a step, of the running mean of weights that is saved; InstructGPT: 0.992. None: the last.",
        gt=0,
        lt=1,
    )
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = knob(
        (), "Where figures go besides the run's own folder, as in `sft.report_to`. None: nothing leaves the run."
    )
    ptx: PtxConfig | None = identity(None, "PPO-ptx; none: not mixed in. The paper has none.")

    @model_validator(mode="after")
    def _divides(self) -> PpoConfig:
        answers = self.prompts_per_step * self.samples
        minibatch = min(self.minibatch, answers)
        if answers % minibatch:
            raise ValueError(f"minibatch {self.minibatch} does not divide {answers} = prompts_per_step x samples")
        if minibatch % min(self.micro_batch, minibatch):
            raise ValueError(f"micro_batch {self.micro_batch} does not divide {minibatch}, the minibatch")
        return self


class BestOfNConfig(RlBase):
    """Rejection sampling: the best of several answers is learned, round after round (Llama 2, section 3.2.3)."""

    algorithm: Literal["best_of_n"] = identity("best_of_n", "Best-of-n, which Llama 2 calls rejection sampling.")
    steps: int = identity(4, "Rounds of sampling and finetuning; Llama 2 has 4 before its PPO (RLHF-V1 to V4).", ge=1)
    prompts_per_step: int = identity(512, "Prompts in one round.", ge=1)
    samples: int = identity(16, "Answers sampled a prompt; Llama 2 shows 1 to 100 and names none.", ge=2)
    keep_earlier: bool = identity(
        True,
        "Learns the best answers of all rounds so far; Llama 2 lost abilities where it took the last round's alone.",
    )
    temperature: float = identity(1.0, "Sampling temperature; Llama 2 found 1.2 to 1.3 best for 10 to 100.", gt=0)
    sampling_batch: int = knob(64, "Answers written at once; the same ones whatever it is, up to rounding.", ge=1)
    learning_rate: float = identity(1e-5, "Peak learning rate of the finetuning (AdamW), as `sft.learning_rate`.", gt=0)
    epochs: float = identity(1.0, "Passes over a round's rows.", gt=0)
    batch_size: int = identity(32, "Rows in one optimizer step.", ge=1)
    micro_batch: int = knob(8, "Rows in one forward pass; must divide `batch_size`.", ge=1)
    max_length: int = identity(1024, "Longest prompt with its answer, tokens; longer rows are left out.", ge=8)

    @property
    def sft(self) -> SftConfig:
        """The finetuning of a round."""
        names = ("epochs", "learning_rate", "batch_size", "micro_batch", "max_length", "save_every")
        return SftConfig(
            **{name: getattr(self, name) for name in names}, gradient_checkpointing=self.gradient_checkpointing
        )

    @model_validator(mode="after")
    def _divides(self) -> BestOfNConfig:
        if self.batch_size % min(self.micro_batch, self.batch_size):
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self


RlConfig = Annotated[RlooConfig | GrpoConfig | PpoConfig | BestOfNConfig, Field(discriminator="algorithm")]
