"""RLOO: the reward is climbed, KL holds the policy back, every part is logged, and a resumed run is an unbroken one."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_data import WORDS, Letters, Log, Stop, prompts, rise, tasks
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.rloo_config import RLOOConfig

from cai.errors import InputError, Interrupted, MissingExtra
from cai.preferences import Group, Preference
from cai.rl_config import GrpoConfig, RlooConfig
from cai.train_config import AdapterConfig, PreferenceModelConfig
from cai.trainers import rl
from cai.trainers.preference import train_preference_model
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.reward import Reward
from cai.trainers.rewards import Part, Sum
from cai.trainers.rl import train_rl

SMALL: dict[str, Any] = {"steps": 2, "prompts_per_step": 2, "samples": 2, "micro_batch": 2, "max_tokens": 6}


def train(config: RlooConfig, reward: Reward, folder: Path, log: Log, count: int = 4) -> dict[str, Any]:
    harmful, helpful = tasks("harmful", count), tasks("helpful", count)
    return train_rl(harmful, helpful, "tiny-random", reward, folder, config, 3, log)


def preference_model(folder: Path) -> str:
    """Likes answers of one letter."""
    rows = [Group(prompt, ("a" * 12, "z" * 12), (Preference(0, 1, 0.98),), "ai") for prompt in prompts("bad", 8)]
    config = PreferenceModelConfig(epochs=12, learning_rate=5e-3, batch_size=8, micro_batch=8)
    train_preference_model(rows, "tiny-random", folder, config, 0, Log())
    return str(folder / "model")


@pytest.mark.slow
def test_a_preference_model_is_climbed_and_a_large_kl_weight_holds_the_policy(tmp_path: Path) -> None:
    judge = preference_model(tmp_path / "judge")
    risen = {}
    for kl in (0.0, 100.0):
        log = Log()
        config = RlooConfig(
            steps=25, prompts_per_step=4, samples=4, micro_batch=16, max_tokens=8, learning_rate=3e-3, kl=kl
        )
        reward = Sum([Part("preference_model", 1.0, PreferenceReward(judge))])
        train(config, reward, tmp_path / str(kl), log, count=8)
        reward.close()
        risen[kl] = rise(log.of("reward"))
        assert log.of("reward") == pytest.approx(log.of("reward/preference_model"), abs=1e-5)
        assert len(log.of("kl")) == (25 if kl else 0)
    assert risen[0.0] > 0.05
    assert risen[100.0] < risen[0.0] / 2


def test_the_reward_sees_whole_answers_with_their_facts_and_every_part_is_logged(tmp_path: Path) -> None:
    log, reward = Log(), Letters()
    before = "vllm" in sys.modules
    train(RlooConfig(**SMALL), reward, tmp_path, log)
    assert ("vllm" in sys.modules) == before
    assert [len(seen) for seen in reward.seen] == [4, 4]  # all answers of a step at once, whatever a forward pass holds
    for step, seen in enumerate(reward.seen):
        for sample in seen:
            assert sample.prompt.messages[0].content == f"{WORDS[sample.kind]} {sample.facts['n']}"
            assert 1 <= sample.tokens <= 6 and (sample.finished or sample.tokens == 6)
            assert sample.answer == sample.answer.strip()
        shares = [one.answer.lower().count("a") / max(1, len(one.answer)) for one in seen]
        assert log.of("reward/share")[step] == pytest.approx(sum(shares) / 4)
        assert log.of("reward/tokens")[step] == pytest.approx(sum(one.tokens for one in seen) / 4)
        assert log.of("reward")[step] == pytest.approx(10 * sum(shares) / 4, abs=1e-6)
    assert sorted(one.kind for seen in reward.seen for one in seen) == ["harmful"] * 4 + ["helpful"] * 4


def curve(log: Log) -> dict[int, tuple[float, float]]:
    return {row["step"]: (row["reward"], row["kl"]) for row in log.rows if "reward" in row}


def test_interrupted_and_resumed_follows_the_unbroken_curve(tmp_path: Path) -> None:
    config = RlooConfig(**{**SMALL, "steps": 5, "learning_rate": 1e-3})
    whole, first, second = Log(), Stop(after=2), Log()
    train(config, Letters(), tmp_path / "whole", whole)
    with pytest.raises(Interrupted):
        train(config, Letters(), tmp_path / "parts", first)
    assert train(config, Letters(), tmp_path / "parts", second)["resumed_from"] == "checkpoint-2"
    assert set(curve(first)) == {1, 2} and set(curve(second)) == {3, 4, 5}
    for step, figures in (curve(first) | curve(second)).items():
        assert figures == pytest.approx(curve(whole)[step], abs=1e-4), step


@pytest.mark.parametrize("kind", [RlooConfig, GrpoConfig])
def test_an_adapter_is_held_to_the_model_without_it_and_leaves_a_plain_model(tmp_path: Path, kind: Any) -> None:
    from safetensors.torch import load_file

    from cai.weights import resolve

    log = Log()
    adapter = AdapterConfig(rank=2, targets=("q_proj",), dropout=0.0)
    train(kind(**{**SMALL, "steps": 3, "learning_rate": 3e-2, "adapter": adapter}), Letters(), tmp_path, log)
    assert log.of("kl")[0] == pytest.approx(0, abs=1e-6) and abs(log.of("kl")[2]) > 1e-6
    before = load_file(next(Path(resolve("tiny-random")).glob("*.safetensors")))
    after = load_file(tmp_path / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    assert changed and all("q_proj" in name for name in changed)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def test_layers_that_are_not_there_are_told(tmp_path: Path) -> None:
    config = RlooConfig(**SMALL, adapter=AdapterConfig(targets=("w_query",)))
    with pytest.raises(InputError, match=r"rl\.adapter\.targets \['w_query'\]"):
        train(config, Letters(), tmp_path, Log())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("mode", ["colocate", "server"])
@pytest.mark.parametrize("kind", [RlooConfig, GrpoConfig])
def test_vllm_without_a_gpu_is_refused(tmp_path: Path, kind: Any, mode: str) -> None:
    with pytest.raises(InputError, match=rf"rl\.vllm: {mode} needs a GPU.*`vllm: none`"):
        train(kind(**SMALL, vllm=mode), Letters(), tmp_path, Log())


@pytest.mark.parametrize(("kind", "settings"), [(RlooConfig, RLOOConfig), (GrpoConfig, GRPOConfig)])
def test_on_a_gpu_vllm_s_settings_reach_trl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, settings: Any
) -> None:
    monkeypatch.setattr(rl.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(rl, "find_spec", lambda name: name)
    common = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    beside = settings(**rl._generation(kind(vllm="colocate", vllm_memory=0.25)), **common)
    assert (beside.use_vllm, beside.vllm_mode, beside.vllm_gpu_memory_utilization) == (True, "colocate", 0.25)
    assert not beside.generation_kwargs and beside.vllm_server_base_url is None
    away = settings(**rl._generation(kind(vllm="server", vllm_server="http://h:9")), **common)
    assert (away.use_vllm, away.vllm_mode, away.vllm_server_base_url) == (True, "server", "http://h:9")
    monkeypatch.setattr(rl, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="vllm"):
        rl._generation(kind(vllm="colocate"))


def test_figures_go_where_the_recipe_says(tmp_path: Path) -> None:
    config = RlooConfig(**{**SMALL, "steps": 1, "report_to": ("tensorboard",)})
    train(config, Letters(), tmp_path, Log())
    assert [*(tmp_path / "tensorboard").glob("events*")]


@pytest.mark.parametrize("kind", [RlooConfig, GrpoConfig])
def test_micro_batches_divide_the_answers_of_a_step(kind: Any) -> None:
    with pytest.raises(ValueError, match="micro_batch 4 does not divide 6"):
        kind(prompts_per_step=3, samples=2, micro_batch=4)
