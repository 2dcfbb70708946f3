"""`cai export RUN --to openrlhf|verl`: what their loaders read, the recipe's numbers, and the reward, which is run.

What needs one of the two projects reads its files without importing it, and is skipped where it is not installed.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import importlib.util
import io
import json
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from export_data import comparison, measurement, prompt, recipe, revision, stored
from pyarrow import parquet
from rich.console import Console
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.commands.exports import export_run
from cai.config import Recipe
from cai.errors import InputError
from cai.export.openrlhf import flags
from cai.export.rl_folder import export_rl
from cai.export.rl_settings import RlSource
from cai.export.source import open_source
from cai.identity import seed_of
from cai.material import Material
from cai.prompts import Templates
from cai.records import Message
from cai.store import RunFolder
from cai.trainers.mixing import mix
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.reward import Sample
from cai.trainers.reward_parts import length, repetition
from cai.weights import resolve

PPO = {"algorithm": "ppo", "steps": 3, "prompts_per_step": 4, "minibatch": 2, "epochs": 2, "micro_batch": 2,
       "learning_rate": 2e-6, "value_learning_rate": 7e-6, "warmup": 1, "kl": 0.03, "clip": 0.15, "gae": 0.9,
       "max_tokens": 24, "temperature": 0.8, "weight_decay": 0.1, "entropy": 0.01, "save_every": 7}  # fmt: skip
GRPO = {"algorithm": "grpo", "steps": 2, "prompts_per_step": 2, "samples": 4, "micro_batch": 4, "kl": 0.05,
        "epsilon": 0.3, "scale_rewards": "none", "max_tokens": 16}  # fmt: skip


def made(tmp_path: Path, **changes: Any) -> tuple[RunFolder, Path]:
    """A run whose SL-CAI model is the tiny one, with a preference model of the same make."""
    settings = recipe(**{"rl": {"steps": 3, "prompts_per_step": 2, "samples": 2, "micro_batch": 4}, **changes})
    asked = [prompt(f"Question {place}?", system="Be brief." if place else "") for place in range(3)]
    run = stored(
        tmp_path / "runs",
        {"revise": [revision(one, 1) for one in asked], "sft": [],
         "compare": [comparison(one, place - 1.5) for place, one in enumerate(asked)],
         "preference_model": [], "evaluate": [measurement(asked[0])]},
        settings=settings,
    )  # fmt: skip
    steps = run.steps
    torch.manual_seed(0)
    scorer: Any = AutoModelForSequenceClassification.from_pretrained(resolve("tiny-random"), num_labels=1)
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    scorer.config.pad_token_id = tokenizer.pad_token_id
    for stage, model in (("sft", None), ("preference_model", scorer)):
        folder = steps[stage].path / "model"
        tokenizer.save_pretrained(folder)
        if model is None:
            shutil.copytree(resolve("tiny-random"), folder, dirs_exist_ok=True)
        else:
            model.save_pretrained(folder)
        (steps[stage].path / "DONE").unlink()
        steps[stage].finish({"seconds": 1.0})
    return run, tmp_path / "out"


def exported(tmp_path: Path, project: Any, **changes: Any) -> tuple[RlSource, Path, tuple[str, ...]]:
    run, out = made(tmp_path, **changes)
    source = RlSource(open_source(run), tmp_path / "runs")
    return source, out, export_rl(source, project, out).notes


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def loaded(path: Path) -> Any:
    """A Python file by its path, as both projects load a reward."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}_{abs(hash(path))}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed(name: str, file: str) -> Path:
    """A file of an installed project, which is not imported: it would want a GPU."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{name} is not installed: its own loader was not asked")
    return Path(spec.submodule_search_locations[0]) / file


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> None:
    """A module with these parts, in place of one that would want a GPU; its packages are empty."""
    for parent in [".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 1)]:
        monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent) or types.ModuleType(parent))
    module = types.ModuleType(name)
    module.__dict__.update(parts)
    monkeypatch.setitem(sys.modules, name, module)


def arguments(script: Path) -> list[str]:
    """What train.sh starts Python with, its variables filled in."""
    fake = script.parent / "bin"
    fake.mkdir(exist_ok=True)
    (fake / "python3").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (fake / "python3").chmod(0o755)
    path = {"PATH": f"{fake}:/usr/bin:/bin"}
    return subprocess.run([script], env=path, capture_output=True, text=True, check=True).stdout.splitlines()


# The data.


def test_openrlhf_gets_the_prompts_of_all_steps_in_the_order_of_the_run(tmp_path: Path) -> None:
    source, out, _ = exported(tmp_path, "openrlhf")
    found = rows(out / "prompts.jsonl")
    assert len(found) == 3 * 2
    material = Material(source.source.recipe)
    wanted = mix(material.rl_prompts["harmful"], material.rl_prompts["helpful"], 0.5, 6, seed_of(0, "rl"))
    assert [row["prompt_id"] for row in found] == [one.id for one in wanted]
    for row, one in zip(found, wanted, strict=True):
        assert row["input"] == [{"role": turn.role, "content": turn.content} for turn in one.messages]
        assert json.loads(row["label"]) == {"kind": one.kind, "messages": row["input"]}
        assert row["datasource"] == f"cai_{one.kind}"


def test_verl_gets_the_fields_that_its_documents_name(tmp_path: Path) -> None:
    _, out, _ = exported(tmp_path, "verl")
    for index, row in enumerate(rows(out / "prompts.parquet")):
        assert row.keys() == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
        assert [turn.keys() for turn in row["prompt"]] == [{"role", "content"}] * len(row["prompt"])
        assert row["prompt"][-1]["role"] == "user" and row["reward_model"] == {"style": "model", "ground_truth": ""}
        assert row["extra_info"]["index"] == index
        assert json.loads(row["extra_info"]["asked"]) == {"kind": row["ability"], "messages": row["prompt"]}


def test_comparisons_go_to_openrlhf_as_chosen_and_rejected(tmp_path: Path) -> None:
    _, out, _ = exported(tmp_path, "openrlhf")
    first, *_, last = rows(out / "preferences.jsonl")
    assert first.keys() == {"prompt", "chosen", "rejected", "label"} == last.keys()
    assert first["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert [first[key][0]["content"] for key in ("chosen", "rejected")] == ["Answer b.", "Answer a."]
    assert [last[key][0]["content"] for key in ("chosen", "rejected")] == ["Answer a.", "Answer b."]
    assert last["prompt"][0] == {"role": "system", "content": "Be brief."} and 0.5 < last["label"] < 1


# Their loaders.


def test_openrlhf_s_own_preprocessing_reads_the_prompts(tmp_path: Path) -> None:
    module = loaded(installed("openrlhf", "datasets/prompts_dataset.py"))
    source, out, _ = exported(tmp_path, "openrlhf")
    template = source.tokenizer.apply_chat_template
    for row in rows(out / "prompts.jsonl"):
        text, label = module.preprocess_data(row, None, "input", "label", template)
        assert text == template(row["input"], tokenize=False, add_generation_prompt=True) and label == row["label"]


def test_openrlhf_s_own_preprocessing_reads_the_comparisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed("openrlhf", "datasets/reward_dataset.py")
    stand_in(monkeypatch, "openrlhf.datasets.utils", exist_and_not_none=lambda row, key: row.get(key) is not None)
    stand_in(monkeypatch, "openrlhf.utils.utils", zero_pad_sequences=None)
    module = loaded(file)
    source, out, _ = exported(tmp_path, "openrlhf")
    template = source.tokenizer.apply_chat_template
    for row in rows(out / "preferences.jsonl"):
        asked, chosen, rejected, margin = module.preprocess_data(row, None, "prompt", "chosen", "rejected", template)
        assert row["chosen"][0]["content"] in chosen and row["rejected"][0]["content"] in rejected
        assert row["prompt"][-1]["content"] in asked and margin == 0


def test_openrlhf_s_own_parser_takes_the_command(tmp_path: Path) -> None:
    source, out, _ = exported(tmp_path, "openrlhf", rl=PPO)
    found = arguments(out / "train.sh")
    assert found[:2] == ["-m", "openrlhf.cli.train_ppo_ray"]
    given = _parser(installed("openrlhf", "cli/train_ppo_ray.py")).parse_args(found[2:])
    told = vars(given)
    for name, value in flags(source, told["data.max_len"] - 24).items():
        assert told[name] == pytest.approx(value) if isinstance(value, int | float) else told[name] == value, name
    assert told["reward.remote_url"] == str(out / "reward.py")


def _parser(file: Path) -> argparse.ArgumentParser:
    """The parser of OpenRLHF's command, built by its own lines and without its imports."""
    main = next(one for one in ast.parse(file.read_text("utf-8")).body if isinstance(one, ast.If))
    built = [one for one in main.body if "parse_args" not in ast.dump(one)]
    end = next(n for n, one in enumerate(main.body) if "parse_args" in ast.dump(one))
    space: dict[str, Any] = {"argparse": argparse, "datetime": datetime.datetime}
    exec(compile(ast.Module(built[:end], []), str(file), "exec"), space)
    return space["parser"]


def test_verl_s_own_configuration_knows_every_override(tmp_path: Path) -> None:
    known = yaml.safe_load(installed("verl", "trainer/config/_generated_ppo_trainer.yaml").read_text("utf-8"))
    for number, rl in enumerate((PPO, GRPO, {"steps": 2, "prompts_per_step": 2, "samples": 2, "micro_batch": 4})):
        _, out, _ = exported(tmp_path / str(number), "verl", rl=rl)
        module, *found = arguments(out / "train.sh")[1:]
        assert module == "verl.trainer.main_ppo"
        for one in found:
            place: Any = known
            for key in one.partition("=")[0].split("."):
                assert key in place, one
                place = place[key]


def test_verl_s_own_data_set_reads_the_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed("verl", "utils/dataset/rl_dataset.py")
    stand_in(monkeypatch, "omegaconf", DictConfig=dict, ListConfig=list)
    stand_in(monkeypatch, "verl.utils.import_utils", load_extern_object=None)
    plain = {"build_multimodal_processor_inputs": None, "normalize_token_ids": lambda found: found["input_ids"]}
    stand_in(monkeypatch, "verl.utils.tokenizer", **plain)
    stand_in(monkeypatch, "verl.utils.fs", copy_to_local=lambda src, **_: src)
    module = loaded(file)
    source, out, _ = exported(tmp_path, "verl")
    config = {"max_prompt_length": 10_000, "filter_overlong_prompts": True, "filter_overlong_prompts_workers": None}
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found = module.RLHFDataset(str(out / "prompts.parquet"), source.tokenizer, config)
    wanted = rows(out / "prompts.parquet")
    assert len(found) == len(wanted) == 6
    for place, row in enumerate(wanted):
        read = found[place]
        assert read["raw_prompt"] == row["prompt"] and read["index"] == place
        assert {name: read[name] for name in ("data_source", "reward_model", "extra_info")} == {
            name: row[name] for name in ("data_source", "reward_model", "extra_info")
        }


# The numbers.


def test_the_recipe_s_numbers_are_in_openrlhf_s_command(tmp_path: Path) -> None:
    source, out, _ = exported(tmp_path, "openrlhf", rl=PPO)
    longest = max(source.length(row["input"]) for row in rows(out / "prompts.jsonl"))
    line = shlex.join(arguments(out / "train.sh"))
    for said in ("--rollout.batch_size 4", "--rollout.n_samples_per_prompt 1", "--train.batch_size 2",
                 "--train.max_epochs 2",
                 "--actor.adam.lr 2e-06", "--critic.adam.lr 7e-06", "--algo.kl.init_coef 0.03", "--actor.eps_clip 0.15",
                 "--algo.advantage.lambd 0.9", "--rollout.max_new_tokens 24", f"--data.max_len {longest + 24}",
                 "--rollout.temperature 0.8", "--ckpt.save_steps 7", "--algo.advantage.estimator gae"):  # fmt: skip
        assert said in line, said
    assert f"--critic.model_name_or_path {out}/preference_model" in line


def test_the_recipe_s_numbers_are_in_verl_s_command(tmp_path: Path) -> None:
    _, out, notes = exported(tmp_path, "verl", rl=GRPO)
    found = {one.partition("=")[0]: one.partition("=")[2] for one in arguments(out / "train.sh")[2:]}
    actor = "actor_rollout_ref.actor"
    for name, value in {
        "algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": "False", f"{actor}.use_kl_loss": "True",
        f"{actor}.kl_loss_coef": "0.05", f"{actor}.clip_ratio": "0.3", "actor_rollout_ref.rollout.n": "4",
        "data.train_batch_size": "2", f"{actor}.ppo_mini_batch_size": "2", "data.max_response_length": "16",
        "trainer.total_training_steps": "2", "data.shuffle": "False"}.items():  # fmt: skip
        assert found[name] == value, name
    assert "critic.model.path" not in found and notes == ()


# The reward, run as each project runs it.


def test_the_reward_is_the_preference_model_s_own_score(tmp_path: Path) -> None:
    source, out, _ = exported(tmp_path, "openrlhf")
    reward, scorer = loaded(out / "reward.py"), PreferenceReward(out / "preference_model")
    row, answer = rows(out / "prompts.jsonl")[0], "No, and <|im_end|> here is why."
    templates = Templates("chat")
    asked = templates.render("respond", messages=tuple(Message(**turn) for turn in row["input"]))
    wanted = scorer([Sample(asked, answer, "harmful", 4, True, {})]).total[0]
    by_verl = reward.compute_score("cai_harmful", f" {answer}\n", "", {"asked": row["label"], "num_turns": 2})
    assert by_verl == {"score": pytest.approx(wanted, abs=1e-5), "preference_model": pytest.approx(wanted, abs=1e-5)}
    plain = "No, and here is why."
    text = source.tokenizer.apply_chat_template(row["input"], tokenize=False, add_generation_prompt=True)
    told = reward.reward_func([f"{text}{plain}{source.tokenizer.eos_token}\n"], [text], [row["label"]])
    wanted = scorer([Sample(asked, plain, "harmful", 4, True, {})]).total[0]
    assert told["rewards"].tolist() == told["scores"].tolist() == [pytest.approx(wanted, abs=1e-5)]
    assert told["extra_logs"]["preference_model"].tolist() == [pytest.approx(wanted, abs=1e-5)]
    scorer.close()


def test_parts_are_weighed_and_what_cannot_go_is_told(tmp_path: Path) -> None:
    rewards = [{"type": "length", "target": 3, "per": "word", "weight": 0.5}, {"type": "repetition", "words": 2},
               {"type": "llama2", "helpfulness": "preference_model", "weight": 2.0}, {"type": "judge"}]  # fmt: skip
    rl = {"steps": 2, "prompts_per_step": 2, "samples": 2, "micro_batch": 4, "rewards": rewards}
    source, out, notes = exported(tmp_path, "verl", rl=rl)
    assert any("'judge' is not exported" in note for note in notes) and any("not whitened" in note for note in notes)
    assert "'judge' is not exported" in (out / "README.md").read_text("utf-8")
    reward, answer = loaded(out / "reward.py"), "no no no no and no no"
    asked = rows(out / "prompts.parquet")[0]["extra_info"]["asked"]
    told = reward.compute_score("cai_harmful", answer, "", {"asked": asked})
    asked_now = Templates("chat").render("respond", messages=(Message(role="user", content="?"),))
    sample = Sample(asked_now, answer, "harmful", 7, True, {})
    by_words, by_runs = (one([sample]).total[0] for one in map(_opened, source.config.rewards[:2]))
    assert (told["length"], told["repetition"]) == (by_words, by_runs) == (-4.0, by_runs)
    assert told["score"] == pytest.approx(0.5 * -4.0 + by_runs + 2.0 * told["llama2"])


def _opened(config: Any) -> Any:
    return {"length": length, "repetition": repetition}[config.type](config)


# What is refused, and the command line.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rl": {"algorithm": "best_of_n"}}, "best_of_n has no counterpart there; expected rloo, grpo or ppo"),
        ({"rl": {"rewards": [{"type": "judge"}]}}, "none of judge can be exported"),
        ({"models": {"assistant": {"model": "tiny-random", "dialect": "transcript"}}}, "expected dialect: chat"),
    ],
)
def test_what_has_no_counterpart_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        exported(tmp_path, "verl", **changes)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    run, out = made(tmp_path)
    (out / "kept").mkdir(parents=True)
    with pytest.raises(InputError, match="holds something"):
        export_rl(RlSource(open_source(run), tmp_path / "runs"), "verl", out)
    assert [path.name for path in out.iterdir()] == ["kept"]


def test_a_run_without_a_preference_model_says_what_to_run(tmp_path: Path) -> None:
    run, out = made(tmp_path)
    (run.steps["preference_model"].path / "DONE").unlink()
    with pytest.raises(InputError, match="has no model of preference_model yet; `cai run RECIPE --until"):
        export_rl(RlSource(open_source(run), tmp_path / "runs"), "verl", out)
    assert not out.exists()


def test_the_command_writes_to_a_folder_named_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    export_run(Console(file=said, width=160), "made", "openrlhf", True, Path("runs"))
    assert (tmp_path / "made-openrlhf" / "train.sh").is_file() and "prompts.jsonl: 6 rows" in said.getvalue()
    export_run(Console(file=said, width=160), "made", "verl:elsewhere", True, Path("runs"))
    assert (tmp_path / "elsewhere" / "prompts.parquet").is_file()


def test_the_settings_of_this_test_are_those_of_a_recipe() -> None:
    assert isinstance(recipe(rl=PPO), Recipe) and isinstance(recipe(rl=GRPO), Recipe)
