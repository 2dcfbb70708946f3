"""Rewards in a recipe: their defaults are the papers', and what is mistyped is told with its place."""

from typing import Any

import pytest

from cai.config import Recipe
from cai.errors import InputError
from cai.identity import identity_of
from cai.reward_config import Llama2Reward, PreferenceModelReward
from cai.rl_config import GrpoConfig, RlooConfig
from cai.yamlfile import parse_yaml


def recipe(rewards: str, algorithm: str = "rloo") -> Recipe:
    text = f"name: a\nmodels: {{assistant: tiny}}\nrl:\n  algorithm: {algorithm}\n  rewards:\n{rewards}"
    return parse_yaml(text, "r.yaml").check(Recipe)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "ppo"])
def test_by_default_the_run_s_own_preference_model_is_climbed(algorithm: str) -> None:
    settings = {"name": "a", "models": {"assistant": "tiny"}, "rl": {"algorithm": algorithm}}
    assert Recipe.model_validate(settings).rl.rewards == (PreferenceModelReward(),)
    assert PreferenceModelReward().models == ("preference_model",) and PreferenceModelReward().weight == 1


def test_a_list_of_every_kind_is_read() -> None:
    found = recipe(
        "    - {type: preference_model, model: old/preference_model, weight: 0.5}\n"
        "    - {type: llama2}\n"
        "    - {type: judge, principles: all, tags: [harm]}\n"
        "    - {type: function, function: 'rewards.maths:solved'}\n"
        "    - {type: length, target: 100, per: word}\n"
        "    - {type: repetition, words: 2, weight: 3}\n",
        "grpo",
    )
    assert [one.type for one in found.rl.rewards] == [
        "preference_model",
        "llama2",
        "judge",
        "function",
        "length",
        "repetition",
    ]
    assert identity_of(found.rl)["rewards"][0] == {
        "type": "preference_model",
        "model": "old/preference_model",
        "weight": 0.5,
    }


def test_llama_2_s_numbers() -> None:
    assert (Llama2Reward().threshold, Llama2Reward().whiten) == (0.15, True)
    assert Llama2Reward().models == ("preference_model", "helpfulness_model")


def test_grpo_has_the_kl_of_its_paper_and_rloo_its_own() -> None:
    assert (GrpoConfig().kl, RlooConfig().kl) == (0.04, 0.05)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{type: lenght, target: 3}", "r.yaml:6: rl.*rewards.0"),
        ("{target: 3}", "r.yaml:6: rl.*rewards.0"),
        ("{type: length}", "r.yaml:6: rl.*rewards.0.*target"),
        ("{type: length, target: -1}", "r.yaml:6: rl.*target"),
        ("{type: function, function: solved}", "r.yaml:6: rl.*function"),
        ("{type: function, function: 'a b:c'}", "r.yaml:6: rl.*function"),
        ("{type: llama2, threshold: 1}", "r.yaml:6: rl.*threshold"),
        ("{type: repetition, weight: .nan}", "r.yaml:6: rl.*weight"),
        ("{type: judge, principles: none}", "r.yaml:6: rl.*principles"),
    ],
)
def test_mistakes_are_told_with_their_line(line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe(f"    - {line}\n")


@pytest.mark.parametrize("kind", [RlooConfig, GrpoConfig])
def test_no_reward_at_all_is_an_error(kind: Any) -> None:
    with pytest.raises(ValueError, match="rewards"):
        kind(rewards=())
