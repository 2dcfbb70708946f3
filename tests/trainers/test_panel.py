"""A panel changes no training that it does not end; one whose reward is fooled is ended and rolled back; it resumes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from panel_data import WATCHED, answers, asked, fooled, looked, panel
from ppo_data import small, tokenizer
from rl_data import Log, Stop, letters, prompts, tasks
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from cai.errors import Interrupted
from cai.rl_config import BestOfNConfig, GrpoConfig, PpoConfig, RlConfig, RlooConfig
from cai.trainers.best_of_n import train_best_of_n
from cai.trainers.panel import FILE
from cai.trainers.panel_aside import FILE as ASIDE
from cai.trainers.panel_aside import Aside
from cai.trainers.ppo import train_ppo
from cai.trainers.rl import train_rl
from cai.weights import resolve

TRL: dict[str, Any] = {"steps": 5, "prompts_per_step": 2, "samples": 2, "micro_batch": 4, "max_tokens": 6}
ENDS = {**WATCHED, "stop": {"reward": "function_2", "gap": 0.01, "patience": 1}}
REWARDS = [{"type": "length", "target": 1}, {"type": "function", "function": "a:b"},
           {"type": "function", "function": "a:b", "weight": 0}]  # fmt: skip
"""What the settings say; the tests' own reward has the two functions."""


def rloo(**settings: Any) -> RlooConfig:
    return RlooConfig.model_validate({**TRL, "learning_rate": 1e-2, "kl": 0.0, "rewards": REWARDS, **settings})


def grpo(**settings: Any) -> GrpoConfig:
    return GrpoConfig.model_validate({**TRL, "learning_rate": 1e-2, "kl": 0.0, "rewards": REWARDS, **settings})


def ppo(**settings: Any) -> PpoConfig:
    return small(**{"steps": 5, "kl": 0.0, "critic": "head", "rewards": REWARDS, **settings})


def train(config: RlConfig, folder: Path, log: Log, reward: Any = None) -> dict[str, Any]:
    reward = reward or fooled()
    found = panel(folder, config, log, reward) if config.panel else None
    if isinstance(config, PpoConfig):
        return train_ppo(prompts("bad", 4), "tiny-random", reward, folder, config, 3, log, panel=found)
    if isinstance(config, BestOfNConfig):
        return train_best_of_n(tasks("harmful", 3), "tiny-random", reward, folder, config, 3, log, found)
    harmful, helpful = tasks("harmful", 4), tasks("helpful", 4)
    return train_rl(harmful, helpful, "tiny-random", reward, folder, config, 3, log, found)


def curve(log: Log) -> dict[int, dict[str, float]]:
    """Of the training alone."""
    rows = [row for row in log.rows if "reward" in row]
    keep = ("reward", "kl", "entropy", "policy_loss", "grad_norm", "answer_length", "completions/mean_length")
    return {row["step"]: {name: row[name] for name in keep if name in row} for row in rows}


def left(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name].float(), other[name].float()) for name in one)


def expected_at(config: Any, step: int, folder: Path) -> dict[str, torch.Tensor]:
    """The trained weights of the same training without a panel, stopped after so many steps."""
    if isinstance(config, PpoConfig):  # its prompts are in order, whatever the number of steps
        train(config.model_copy(update={"panel": None, "steps": step, "ema": None}), folder, Log())
        return trained(folder, config)
    with pytest.raises(Interrupted):
        train(config.model_copy(update={"panel": None}), folder, Stop(step))
    name = "adapter_model" if config.adapter else "model"
    return load_file(folder / "checkpoints" / f"checkpoint-{step}" / f"{name}.safetensors")


def trained(folder: Path, config: Any) -> dict[str, torch.Tensor]:
    """What was trained of the model that is left."""
    return load_file(folder / "adapter" / "adapter_model.safetensors") if config.adapter else left(folder)


@pytest.mark.parametrize("made", [pytest.param(rloo, marks=pytest.mark.slow), ppo])
def test_the_training_is_exactly_the_same_with_and_without_a_panel(tmp_path: Path, made: Callable[..., Any]) -> None:
    plain, watched = Log(), Log()
    train(made(), tmp_path / "plain", plain)
    figures = train(made(panel=WATCHED), tmp_path / "watched", watched)
    assert len(curve(plain)) == 5 and curve(plain) == curve(watched)
    assert same(left(tmp_path / "plain"), left(tmp_path / "watched"))
    assert looked(tmp_path / "watched") == [0, 2, 4, 5]
    assert figures["panel"] == {"looks": 4, "stopped": None, "left": 5, "why": "watched at 4 looks"}
    assert not (tmp_path / "watched" / ASIDE).exists()


def test_what_is_logged_of_a_look_is_what_its_answers_say(tmp_path: Path) -> None:
    log = Log()
    train(ppo(steps=2, panel=WATCHED), tmp_path, log)
    rows = {row["step"]: row for row in log.rows if "panel/reward" in row}
    assert rows.keys() == {0, 2}
    for step, row in rows.items():
        found = [answer for answer in answers(tmp_path) if answer.step == step]
        assert [answer.id for answer in found] == [f"{step}/{answer.prompt.id}" for answer in found]
        assert row["panel/reward"] == pytest.approx(sum(answer.reward for answer in found) / 4)
        for name in ("function_1", "function_2"):
            assert row[f"panel/reward/{name}"] == pytest.approx(sum(answer.parts[name] for answer in found) / 4)
        words = [answer.parts["answers/words"] for answer in found]
        assert row["panel/words"] == pytest.approx(sum(words) / 4) and "panel/gap" not in row
        assert {"panel/distinct", "panel/repeated", "panel/stock_phrases", "panel/evasive"} < row.keys()
        refused = [answer.parts["answers/refusal"] for answer in found if answer.prompt.kind == "helpful"]
        assert row["panel/helpful/refusal"] == sum(refused) / 2 and "panel/harmful/refusal" in row


def seeded() -> None:
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(7)


def test_the_same_policy_answers_the_same_and_leaves_no_trace(tmp_path: Path) -> None:
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32).train()
    policy.lm_head.eval()
    watching = panel(tmp_path, ppo(panel={**WATCHED, "every": 1}), Log())
    seeded()
    drawn = torch.rand(3).tolist(), random.random(), np.random.rand()
    seeded()
    for step in range(2):
        watching.look(step, policy, tokenizer())
    assert (torch.rand(3).tolist(), random.random(), np.random.rand()) == drawn
    assert policy.training and policy.model.training and not policy.lm_head.training
    first, second = answers(tmp_path)[:4], answers(tmp_path)[4:]
    assert [one.response for one in first] == [one.response for one in second] and len(second) == 4


@pytest.mark.parametrize("made", [*(pytest.param(one, marks=pytest.mark.slow) for one in (rloo, grpo)), ppo])
@pytest.mark.parametrize("then", ["roll_back", "stop"])
def test_a_reward_that_is_fooled_ends_the_training_and_the_best_look_s_model_is_left(
    tmp_path: Path, made: Callable[..., Any], then: str
) -> None:
    """The watched reward is minus the one that is climbed, so the best look is the first one with the lowest reward."""
    log = Log()
    ending = {**ENDS, "stop": {**ENDS["stop"], "then": then}}
    whole = made(steps=12, panel=ending)
    figures = train(whole, tmp_path / "ended", log)
    told, steps = figures["panel"], looked(tmp_path / "ended")
    assert told["stopped"] == steps[-1] == figures["steps"] < 12
    held = {row["step"]: row["panel/reward/function_2"] for row in log.rows if "panel/gap" in row}
    assert [row["panel/gap"] > 0.01 for row in log.rows if "panel/gap" in row] == [False] * (len(steps) - 1) + [True]
    expected = min(held, key=lambda step: (-held[step], step)) if then == "roll_back" else steps[-1]
    assert told["left"] == expected and told["why"].startswith(f"stopped after step {steps[-1]}: ")
    if expected == 0:
        before = load_file(next(Path(resolve("tiny-random")).glob("*.safetensors")))
        assert same(before, left(tmp_path / "ended"))
    else:
        assert same(expected_at(whole, expected, tmp_path / "short"), left(tmp_path / "ended"))
    assert {path.name for path in (tmp_path / "ended").iterdir()} - {"checkpoints"} == {"model", FILE, "log.txt"}
    assert "panel: stopped after step" in (tmp_path / "ended" / "log.txt").read_text()


class Turning:
    """A reward whose watched part rises for so many looks, and then falls; each look is one call with the panel."""

    def __init__(self, rises: int) -> None:
        self._rises, self._looks = rises, 0

    def __call__(self, samples: Any) -> Any:
        found = fooled(letters)(samples)
        if len(samples) == 4 and samples[0].prompt == asked("harmful")[0].task.prompt:
            self._looks += 1
            up = self._looks if self._looks <= self._rises else -9 * self._looks
            held = tuple(up + place / 10 for place in range(4))
            reward = tuple(self._looks + place / 10 for place in range(4))
            return type(found)(reward, {**found.parts, "function_2": held})
        return found

    def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(rloo(steps=9, panel=ENDS), id="rloo"),
        pytest.param(rloo(steps=9, panel=ENDS, adapter={"rank": 2, "dropout": 0.0}), id="rloo-lora"),
        pytest.param(ppo(steps=9, panel=ENDS), id="ppo"),
        pytest.param(ppo(steps=9, panel=ENDS, adapter={"rank": 2}), id="ppo-lora"),
        pytest.param(ppo(steps=9, panel=ENDS, ema=0.9), id="ppo-ema"),
    ],
)
def test_a_look_between_the_first_and_the_last_is_gone_back_to(tmp_path: Path, config: Any) -> None:
    figures = train(config, tmp_path / "ended", Log(), Turning(rises=2))
    assert (figures["panel"]["stopped"], figures["panel"]["left"]) == (4, 2)
    assert same(expected_at(config, 2, tmp_path / "short"), trained(tmp_path / "ended", config))


@pytest.mark.slow
@pytest.mark.parametrize("made", [rloo, ppo])
@pytest.mark.parametrize("after", [1, 2])
def test_a_resumed_training_repeats_no_look_and_loses_none(
    tmp_path: Path, made: Callable[..., Any], after: int
) -> None:
    config = made(panel=ENDS | {"stop": {**ENDS["stop"], "gap": 99.0}})
    whole, first, second = Log(), Stop(after), Log()
    train(config, tmp_path / "whole", whole)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", first)
    assert train(config, tmp_path / "parts", second)["resumed_from"] == f"checkpoint-{after}"
    assert answers(tmp_path / "parts") == answers(tmp_path / "whole")
    assert looked(tmp_path / "parts") == [0, 2, 4, 5]
    rows = {row["step"]: row["panel/gap"] for log in (first, second) for row in log.rows if "panel/gap" in row}
    assert rows == {row["step"]: row["panel/gap"] for row in whole.rows if "panel/gap" in row}


class Killed(Log):
    """A process that ends within a look: its figures are not logged any more."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def metric(self, row: dict[str, Any]) -> None:
        super().metric(row)
        if row["step"] == self._at and "panel/reward" in row:
            raise RuntimeError("killed")


@pytest.mark.slow
@pytest.mark.parametrize("made", [rloo, ppo])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_training_that_was_killed_in_a_look_forgets_those_after_its_checkpoint(
    tmp_path: Path, made: Callable[..., Any], at: int
) -> None:
    config = made(steps=9, panel=ENDS, save_every=3)
    whole = train(config, tmp_path / "whole", Log(), Turning(2))
    with pytest.raises(RuntimeError, match="killed"):
        train(config, tmp_path / "parts", Killed(at), Turning(2))
    torn = (tmp_path / "parts" / FILE).read_bytes()
    (tmp_path / "parts" / FILE).write_bytes(torn[: -len(torn) // 9] if at == 2 else torn)
    rest = Turning(2)
    rest._looks = {0: 1, 2: 1, 4: 2}[at]
    figures = train(config, tmp_path / "parts", Log(), rest)
    assert figures["resumed_from"] == {0: None, 2: None, 4: "checkpoint-3"}[at]
    assert figures["panel"] == whole["panel"] and looked(tmp_path / "parts") == [0, 2, 4]
    assert same(left(tmp_path / "whole"), left(tmp_path / "parts"))


@pytest.mark.slow
@pytest.mark.parametrize("made", [rloo, ppo])
@pytest.mark.parametrize("then", ["roll_back", "stop"])
def test_a_training_that_ended_and_was_killed_before_it_left_its_model_trains_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[..., Any], then: str
) -> None:
    """The look that ends it is a checkpoint too: that of step 4."""
    config = made(steps=9, save_every=2, panel={**ENDS, "stop": {**ENDS["stop"], "then": then}})
    whole = train(config, tmp_path / "whole", Log(), Turning(2))

    def killed(*_: Any) -> None:
        raise RuntimeError("killed")

    for room in ("ppo", "common"):
        monkeypatch.setattr(f"cai.trainers.{room}.leave_model", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train(config, tmp_path / "parts", Log(), Turning(2))
    monkeypatch.undo()
    log = Log()
    figures = train(config, tmp_path / "parts", log, Turning(2))
    assert figures["resumed_from"] == "checkpoint-4" and curve(log) == {}
    assert figures["panel"] == whole["panel"] and figures["steps"] == whole["steps"] == 4
    assert same(left(tmp_path / "whole"), left(tmp_path / "parts"))


ROUNDS: dict[str, Any] = {"steps": 3, "prompts_per_step": 3, "samples": 4, "max_tokens": 8, "batch_size": 4,
    "micro_batch": 4, "learning_rate": 3e-3, "epochs": 4, "rewards": REWARDS}  # fmt: skip


def test_best_of_n_is_looked_at_once_a_round_and_rolled_back_to_a_round(tmp_path: Path) -> None:
    config = BestOfNConfig.model_validate({**ROUNDS, "panel": {**ENDS, "every": 99}})
    figures = train(config, tmp_path / "ended", Log(), Turning(2))
    assert looked(tmp_path / "ended") == [0, 1, 2]
    assert (figures["panel"]["stopped"], figures["panel"]["left"], figures["steps"]) == (2, 1, 2)
    train(config.model_copy(update={"steps": 1, "panel": None}), tmp_path / "short", Log())
    assert same(left(tmp_path / "ended"), left(tmp_path / "short"))


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 2])
def test_best_of_n_goes_on_where_it_was_killed_in_a_look(tmp_path: Path, at: int) -> None:
    config = BestOfNConfig.model_validate({**ROUNDS, "panel": ENDS})
    whole = train(config, tmp_path / "whole", Log(), Turning(2))
    with pytest.raises(RuntimeError, match="killed"):
        train(config, tmp_path / "parts", Killed(at), Turning(2))
    rest, log = Turning(2), Log()
    rest._looks = at + 1
    assert train(config, tmp_path / "parts", log, rest) == whole
    assert answers(tmp_path / "parts") == answers(tmp_path / "whole")
    assert at in [row["step"] for row in log.rows if "panel/gap" in row], "what was not logged is logged again"
    assert same(left(tmp_path / "whole"), left(tmp_path / "parts"))


def test_one_copy_of_weights_is_kept_and_frozen_ones_are_not(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    aside = Aside(tmp_path)
    assert aside.step is None
    before = model.weight.detach().clone()
    aside.keep(model, 3)
    with torch.no_grad():
        model.weight.add_(1)
        model.bias.fill_(5)
    assert aside.step == 3 and [path.name for path in tmp_path.iterdir()] == [ASIDE]
    aside.put(model)
    assert torch.equal(model.weight, before) and model.bias.tolist() == [5, 5]
    aside.remove()
    aside.remove()
    assert not list(tmp_path.iterdir())
