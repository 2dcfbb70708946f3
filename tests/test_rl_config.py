"""The settings of stage `rl` are told apart by `algorithm`, and fit each other."""

from pathlib import Path
from typing import Any

import pytest

from cai.config import load_recipe
from cai.errors import InputError
from cai.material import Material
from cai.plan import _rl
from cai.rl_config import PpoConfig, RlooConfig
from cai.train_config import AdapterConfig

BASE = "name: test\nmodels: {assistant: tiny}\nengine: {type: scripted}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "r.yaml"


def rl(path: Path, more: str = "", *overrides: str) -> Any:
    path.write_text(BASE + more)
    return load_recipe(str(path), list(overrides)).rl


def complaint(path: Path, more: str) -> str:
    with pytest.raises(InputError) as caught:
        rl(path, more)
    return str(caught.value).removeprefix(f"{path.parent}/")


@pytest.mark.parametrize("more", ["", "rl: {}\n", "rl: {steps: 200}\n", "rl: {algorithm: rloo}\n"])
def test_no_algorithm_is_rloo(recipe: Path, more: str) -> None:
    assert rl(recipe, more) == RlooConfig()


def test_ppo_has_the_papers_numbers(recipe: Path) -> None:
    found = rl(recipe, "rl: {algorithm: ppo}\n")
    assert found == PpoConfig()
    assert (found.clip, found.discount, found.epochs, found.samples, found.max_tokens) == (0.2, 1.0, 1, 1, 128)
    assert (found.entropy, found.prompts_per_step, found.minibatch) == (0.0, 512, 64)
    assert found.adapter is None and found.ptx is None and found.ema is None


def test_groups_of_ppo_are_read(recipe: Path) -> None:
    found = rl(recipe, "rl: {algorithm: ppo, adapter: {rank: 4}, ptx: {texts: web.jsonl}}\n")
    assert isinstance(found, PpoConfig)
    assert found.adapter == AdapterConfig(rank=4)
    assert found.ptx and found.ptx.weight == 27.8


def test_another_algorithm_starts_with_its_own_settings(recipe: Path) -> None:
    more = "rl: {algorithm: rloo, steps: 4, kl: 0.3, vllm: none}\n"
    assert rl(recipe, more, "rl.algorithm=ppo", "rl.kl_target=6") == PpoConfig(kl_target=6)
    assert rl(recipe, more, "rl.algorithm=rloo").steps == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("rl: {kl_target: 6}\n", "r.yaml:4: rl.kl_target: unknown key"),
        ("rl: {algorithm: ppo, kl_targt: 6}\n", "r.yaml:4: rl.kl_targt: unknown key; did you mean 'kl_target'?"),
        ("rl: {algorithm: pppo}\n", "r.yaml:4: rl.algorithm: expected one of "),
        ("rl: {algorithm: ppo, ptx: {}}\n", "r.yaml:4: rl.ptx.texts: required and missing"),
        ("rl: {algorithm: ppo, ema: 1}\n", "r.yaml:4: rl.ema: input should be less than 1 (found 1)"),
        (
            "rl: {algorithm: ppo, prompts_per_step: 6, minibatch: 4}\n",
            "r.yaml:4: rl.ppo: minibatch 4 does not divide 6 = prompts_per_step x samples",
        ),
        (
            "rl: {algorithm: ppo, prompts_per_step: 8, minibatch: 8, micro_batch: 3}\n",
            "r.yaml:4: rl.ppo: micro_batch 3 does not divide 8, the minibatch",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(recipe: Path, more: str, message: str) -> None:
    assert complaint(recipe, more).startswith(message)


@pytest.mark.parametrize(("prompts", "samples", "micro"), [(2, 2, 16), (512, 1, 16), (3, 1, 16), (64, 2, 64)])
def test_a_small_step_needs_no_smaller_minibatch(prompts: int, samples: int, micro: int) -> None:
    assert PpoConfig(prompts_per_step=prompts, samples=samples, micro_batch=micro)


def material(recipe: Path, texts: str) -> Material:
    recipe.with_name("web.jsonl").write_text(texts)
    recipe.write_text(BASE + "rl: {algorithm: ppo, ptx: {texts: web.jsonl}}\n")
    return Material(load_recipe(str(recipe)), recipe.parent)


def test_texts_of_pretraining_are_read_and_are_part_of_the_address(recipe: Path) -> None:
    one, other = material(recipe, '{"text": "One text."}\n{"text": "Two."}\n'), None
    assert one.pretraining == ("One text.", "Two.")
    first = _rl(one)
    other = material(recipe, '{"text": "Another text."}\n')
    assert first["pretraining"] != _rl(other)["pretraining"]
    recipe.write_text(BASE)
    without = Material(load_recipe(str(recipe)), recipe.parent)
    assert without.pretraining == () and "pretraining" not in _rl(without)


def test_a_row_without_text_is_named(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"web\.jsonl:2: expected text in the column 'text', found 'body'"):
        assert material(recipe, '{"text": "One."}\n{"body": "x"}\n').pretraining


PANEL = "rl:\n  rewards: [{type: preference_model}, {type: preference_model, model: %s, weight: %s}]\n  panel:\n%s"


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "ppo", "best_of_n"])
def test_every_algorithm_can_be_watched_by_a_panel(recipe: Path, algorithm: str) -> None:
    text = PANEL % ("other", 0, "    stop: {reward: preference_model_2}\n")
    found = rl(recipe, text.replace("rl:\n", f"rl:\n  algorithm: {algorithm}\n")).panel
    assert (found.prompts, found.every) == (16, 25)
    assert (found.stop.gap, found.stop.patience, found.stop.then) == (1.0, 2, "roll_back")


@pytest.mark.parametrize(
    ("weight", "name", "message"),
    [
        (0, "other", r"'other' is none of rl.rewards, which are preference_model_1, preference_model_2"),
        (0.5, "preference_model_2", r"'preference_model_2' is learned from, with weight 0.5; give it weight: 0"),
        (0, "preference_model", r"none of rl.rewards"),
    ],
)
def test_a_watched_reward_must_be_there_and_count_nothing(recipe: Path, weight: float, name: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"r\.yaml:[67]: rl\.panel: .*{message}"):
        rl(recipe, PANEL % ("other", weight, f"    stop: {{reward: {name}}}\n"))


def test_the_panel_s_prompts_are_part_of_the_address_and_a_run_without_one_keeps_its_own(recipe: Path) -> None:
    recipe.write_text(BASE)
    plain, less, more = (
        _rl(Material(load_recipe(str(recipe), given)))
        for given in ([], ["rl.panel={prompts: 2}"], ["rl.panel={prompts: 3}"])
    )
    assert "panel" not in plain and "panel" not in plain["settings"]
    assert less["panel"] != more["panel"]
