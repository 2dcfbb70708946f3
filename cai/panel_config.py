"""The settings of the panel that reinforcement learning is watched by: how often it answers, and when that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cai.identity import Config, identity
from cai.reward_config import RewardConfig, part_names


class PanelStop(Config):
    """When the reward is taken to be fooled: it runs ahead of one that nothing is learned from.

    Gao et al. 2022 (arXiv 2210.10760): a policy's reward goes on rising while what it stands for falls again.
    """

    reward: str = identity(
        ...,
        "The reward that is watched, by its name in the sum (of two of a kind `preference_model_2` is the second); its "
        "`weight` is 0.",
    )
    gap: float = identity(
        1.0,
        "How far the whole reward may run ahead of it: by how much more it has risen since the first look, on average "
        "over the panel, both in standard deviations of that look.",
        gt=0,
    )
    patience: int = identity(2, "Looks in a row with a wider gap that end the training.", ge=1)
    then: Literal["roll_back", "stop"] = identity(
        "roll_back", "The model that is left: of the look with the best watched reward, or as it was when it stopped."
    )


class PanelConfig(Config):
    """A fixed panel of held-out prompts that the policy answers every so many steps; nothing is learned from it."""

    prompts: int = identity(16, "Held-out prompts of each kind, the same ones every time; fewer where there are.", ge=1)
    every: int = identity(
        25,
        "Steps between two looks; one more before the first step and after the last. Best-of-n: after every round.",
        ge=1,
    )
    stop: PanelStop | None = identity(None, "When training ends early; none: it is only watched.")


def check_panel(panel: PanelConfig | None, rewards: Sequence[RewardConfig]) -> None:
    """Raises ValueError where the watched reward is no reward of the sum, or is learned from."""
    if panel is None or panel.stop is None:
        return
    weights = dict(zip(part_names([one.type for one in rewards]), (one.weight for one in rewards), strict=True))
    name = panel.stop.reward
    if name not in weights:
        raise ValueError(f"stop.reward {name!r} is none of rl.rewards, which are {', '.join(weights)}")
    if weights[name]:
        raise ValueError(f"stop.reward {name!r} is learned from, with weight {weights[name]:g}; give it weight: 0")
