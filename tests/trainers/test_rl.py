"""RLOO: prompts are mixed as asked, the preference model is climbed, KL holds the policy back."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.errors import InputError, Interrupted
from cai.preferences import Group, Preference
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.train_config import PreferenceModelConfig, RlConfig
from cai.trainers.preference import train_preference_model
from cai.trainers.rl import _text, mix, train_rl

TEMPLATES = Templates("chat")


def prompts(word: str, count: int) -> list[Rendered]:
    asked = [(Message(role="user", content=f"{word} {i}"),) for i in range(count)]
    return [TEMPLATES.render("respond", messages=messages) for messages in asked]


class Log:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def step(self, done: int, total: int) -> None: ...

    def metric(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(1, 40), st.integers(0, 99))
def test_mix_has_the_share_asked_for_and_no_repeat_before_all_are_used(
    harmful: int, helpful: int, share: float, count: int, seed: int
) -> None:
    bad, good = prompts("bad", harmful), prompts("good", helpful)
    mixed = mix(bad, good, share, count, seed)
    assert len(mixed) == count
    assert sum(prompt in good for prompt in mixed) == round(share * count)
    for pool in (bad, good):
        uses = Counter(prompt.messages[0].content for prompt in mixed if prompt in pool)
        assert not uses or max(uses.values()) - min([*uses.values(), *([0] * (len(uses) < len(pool)))]) <= 1
    assert mixed == mix(bad, good, share, count, seed)


def test_an_empty_kind_that_is_asked_for_is_an_error() -> None:
    with pytest.raises(InputError, match="helpful_share"):
        mix(prompts("bad", 2), [], 0.5, 4, 0)
    assert len(mix(prompts("bad", 2), [], 0.0, 4, 0)) == 4


def test_an_answer_is_cut_at_stop_strings_before_it_is_scored() -> None:
    prompt = Templates("transcript").render("respond", messages=(Message(role="user", content="Hi"),))
    assert _text(" Hello.\n\nHuman: And you?", prompt) == "Hello."
    assert _text([{"role": "assistant", "content": " Hello. "}], prompts("x", 1)[0]) == "Hello."


def preference_model(folder: Path) -> str:
    """Likes answers of one letter."""
    rows = [Group(prompt, ("a" * 12, "z" * 12), (Preference(0, 1, 0.98),), "ai") for prompt in prompts("bad", 8)]
    config = PreferenceModelConfig(epochs=12, learning_rate=5e-3, batch_size=8, micro_batch=8)
    train_preference_model(rows, "tiny-random", folder, config, 0, Log())
    return str(folder / "model")


@pytest.mark.slow
def test_reward_rises_and_a_large_kl_weight_holds_the_policy(tmp_path: Path) -> None:
    judge = preference_model(tmp_path / "judge")
    last = {}
    for kl in (0.0, 100.0):
        log = Log()
        config = RlConfig(
            steps=25, prompts_per_step=4, samples=4, micro_batch=16, max_tokens=8, learning_rate=3e-3, kl=kl
        )
        train_rl(prompts("bad", 8), prompts("good", 8), "tiny-random", judge, tmp_path / str(kl), config, 3, log)
        rewards = [row["reward"] for row in log.rows if "reward" in row]
        last[kl] = sum(rewards[-5:]) / 5 - sum(rewards[:5]) / 5
        if kl:
            assert all("kl" in row for row in log.rows if "reward" in row)
    assert last[0.0] > 0.05
    assert last[100.0] < last[0.0] / 2


class Stop(Log):
    """Presses Ctrl-C after a step."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, total: int) -> None:
        if done == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def curve(log: Log) -> dict[int, tuple[float, float]]:
    return {row["step"]: (row["reward"], row["kl"]) for row in log.rows if "reward" in row}


def test_interrupted_and_resumed_follows_the_unbroken_curve(tmp_path: Path) -> None:
    judge = preference_model(tmp_path / "judge")
    config = RlConfig(steps=5, prompts_per_step=2, samples=2, micro_batch=4, max_tokens=6, learning_rate=1e-3)
    asked = prompts("bad", 4), prompts("good", 4)
    whole, first, second = Log(), Stop(after=2), Log()
    train_rl(*asked, "tiny-random", judge, tmp_path / "whole", config, 3, whole)
    with pytest.raises(Interrupted):
        train_rl(*asked, "tiny-random", judge, tmp_path / "parts", config, 3, first)
    assert (
        train_rl(*asked, "tiny-random", judge, tmp_path / "parts", config, 3, second)["resumed_from"] == "checkpoint-2"
    )
    assert set(curve(first)) == {1, 2} and set(curve(second)) == {3, 4, 5}
    for step, figures in (curve(first) | curve(second)).items():
        assert figures == pytest.approx(curve(whole)[step], abs=1e-4), step
