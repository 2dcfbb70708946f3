"""What an export for another project's reinforcement learning is made of: prompts, models, rewards and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cai.checkpoints import preference_model
from cai.errors import InputError, needing
from cai.export.source import Source
from cai.identity import seed_of
from cai.material import Material
from cai.prompts import Rendered, Templates
from cai.records import Comparison, Kind, Prompt
from cai.reward_config import OWN, LengthReward, Llama2Reward, PreferenceModelReward, RepetitionReward, part_names
from cai.rl_config import GrpoConfig, PpoConfig, RlooConfig
from cai.weights import resolve

OnlineConfig = RlooConfig | GrpoConfig | PpoConfig
"""The algorithms that both projects have."""

_EXPORTED = (PreferenceModelReward, Llama2Reward, LengthReward, RepetitionReward)
_NO_COUNTERPART = (
    ("kl_target", "theirs is a mean over tokens, this one nats an answer"),
    ("value_weight", "their critic learns by itself"),
    ("unfinished", "their reward is not told whether an answer ended"),
    ("whiten", "rewards are left raw"),
    ("whiten_advantages", "they always whiten those of PPO"),
    ("ema", "the last weights are saved"),
    ("ptx", "no texts are mixed in"),
    ("adapter", "all weights are trained"),
    ("panel", "the training is not watched"),
)


@dataclass(frozen=True)
class RlSource:
    """What a finished run gives to a training elsewhere. `runs`: where runs lie, for models of other ones."""

    source: Source
    runs: Path

    @cached_property
    def config(self) -> OnlineConfig:
        """The recipe's settings of stage `rl`. Raises InputError for an algorithm or a dialect that neither has."""
        config, recipe = self.source.recipe.rl, self.source.recipe
        if not isinstance(config, OnlineConfig):
            raise InputError(f"rl.algorithm: {config.algorithm} has no counterpart there; expected rloo, grpo or ppo")
        if recipe.models.pretrained.dialect != "chat":
            raise InputError("models.pretrained: both projects prompt by a chat template; expected dialect: chat")
        return config

    @cached_property
    def policy(self) -> Path:
        """The model that the training begins with. Raises InputError where the run has not trained it yet."""
        done, waiting = self.source.done, self.source.waiting
        stage = next((one for one in ("rejection_sampling", "sft") if one in done or one in waiting), None)
        if stage is None:
            return Path(resolve(self.source.recipe.models.pretrained.model))
        return self._model(stage)

    @cached_property
    def models(self) -> dict[str, Path]:
        """The preference models of the rewards, by the name of the folder that each is written to."""
        asking = [one for one in self.config.rewards if isinstance(one, PreferenceModelReward | Llama2Reward)]
        names = [name for one in asking for name in one.models]
        return {_folder(name): self._scorer(name) for name in dict.fromkeys(names)}

    @cached_property
    def tokenizer(self) -> Any:
        """The policy's."""
        with needing("train"):
            from cai.trainers.tokens import tokenizer_of
        return tokenizer_of(self.policy)

    @property
    def seed(self) -> int:
        """That of the run's own stage `rl`, as far as their 32 bits go."""
        return seed_of(self.source.recipe.seed, "rl") % 2**31

    @property
    def only_a_preference_model(self) -> str:
        """Its folder, where the reward is the score of one preference model and nothing else; empty otherwise."""
        first, *rest = self.config.rewards
        raw = isinstance(first, PreferenceModelReward) and first.weight == 1.0 and not rest
        return _folder(first.model) if raw and isinstance(first, PreferenceModelReward) else ""

    def reward(self) -> dict[str, Any]:
        """What reward.json says. Raises InputError where no reward of the recipe can go with it."""
        config = self.config
        named = zip(part_names([one.type for one in config.rewards]), config.rewards, strict=True)
        parts = [_part(name, one) for name, one in named if isinstance(one, _EXPORTED)]
        if not parts:
            raise InputError(
                f"rl.rewards: none of {', '.join(one.type for one in config.rewards)} can be exported; expected a "
                "preference_model, llama2, length or repetition among them"
            )
        return {"tokenizer": next(iter(self.models), "policy"), "parts": parts}

    def left_out(self) -> list[str]:
        """What of the recipe does not go with the export, and why."""
        config, notes = self.config, list[str]()
        for one in config.rewards:
            if not isinstance(one, _EXPORTED):
                notes.append(f"the reward {one.type!r} is not exported: {_WHY[one.type]}")
            elif isinstance(one, Llama2Reward) and one.whiten:
                notes.append("the reward 'llama2' is not whitened: their reward functions see one answer at a time")
        fields = type(config).model_fields
        asked = [(name, why) for name, why in _NO_COUNTERPART if name in fields]
        changed = [(name, why) for name, why in asked if getattr(config, name) != fields[name].default]
        return [*notes, *(f"rl.{name} has no counterpart: {why}" for name, why in changed)]

    def asked(self) -> Iterator[tuple[Prompt, list[dict[str, str]]]]:
        """The prompts of all steps in the order in which PPO of this run asks them, as the policy is shown them."""
        with needing("train"):
            from cai.trainers.mixing import mix
        config, found = self.config, Material(self.source.recipe, None, self.runs).rl_prompts
        count = config.steps * config.prompts_per_step
        seed = seed_of(self.source.recipe.seed, "rl")
        for prompt in mix(found["harmful"], found["helpful"], config.helpful_share, count, seed):
            yield prompt, self.turns(prompt)

    def turns(self, prompt: Prompt) -> list[dict[str, str]]:
        """A prompt as the policy is shown it: with its system turn, and no special token spelt out in it."""
        with needing("train"):
            from cai.encoding import chat_turns
        return chat_turns(self.tokenizer, self._render(prompt))

    def length(self, turns: Sequence[Mapping[str, str]]) -> int:
        """Tokens of a prompt by the chat template."""
        text = self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def comparisons(self) -> Iterator[Comparison]:
        """The judge's comparisons that have a verdict."""
        return (one for one in self.source.records("compare", Comparison) if one.verdict.p_a is not None)

    def _render(self, prompt: Prompt) -> Rendered:
        return self._templates.render("respond", messages=prompt.messages)

    @cached_property
    def _templates(self) -> Templates:
        return Material(self.source.recipe, None, self.runs).templates(self.source.recipe.models.pretrained)

    def _model(self, stage: str) -> Path:
        if stage not in self.source.done:
            raise InputError(
                f"run {self.source.name!r} has no model of {stage} yet; `cai run RECIPE --until {stage}` trains it"
            )
        return Path(resolve(str(self.source.done[stage].path / "model")))

    def _scorer(self, name: str) -> Path:
        return self._model(name) if name in OWN else Path(resolve(str(preference_model(name, self.runs).folder)))


_WHY = {
    "judge": "the judge is a model of its own that is asked in words, under principles",
    "function": "it is code of your own; add it to reward.py",
}


def approximated(config: OnlineConfig, losses: Mapping[str, str]) -> list[str]:
    """What of the recipe's algorithm both projects have otherwise; `losses`: the means over tokens that one has."""
    found = []
    if isinstance(config, GrpoConfig) and config.loss_type not in losses:
        found.append(f"rl.loss_type {config.loss_type} has no counterpart: losses are averaged over tokens (dapo)")
    if isinstance(config, GrpoConfig) and config.scale_rewards == "batch":
        found.append("rl.scale_rewards batch has no counterpart: advantages are divided by the group's deviation")
    if isinstance(config, PpoConfig) and config.critic == "head":
        found.append("rl.critic head has no counterpart: the critic is a model of its own")
    return found


def asked_text(kind: Kind) -> str:
    """The data source of a prompt, by which both projects keep their figures apart."""
    return f"cai_{kind}"


def _folder(model: str) -> str:
    return model.strip("/").replace("/", "_").replace(".", "_")


def _part(name: str, reward: Any) -> dict[str, Any]:
    settings = {**reward.model_dump(mode="json"), "name": name}
    for key in ("model", "safety", "helpfulness"):
        if key in settings:
            settings[key] = _folder(settings[key])
    return settings
