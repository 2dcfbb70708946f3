"""The trainer against TRL's own, against itself cut otherwise, and on a task whose answer is known."""

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from preference_data import STRENGTHS, asked, bradley_terry, pairs, ranked, truth
from safetensors.torch import load_file
from sft_data import Log
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from cai.encoding import answered
from cai.errors import InputError, Interrupted
from cai.preferences import Group, Preference
from cai.stats import paired_difference
from cai.train_config import AdapterConfig, PreferenceModelConfig
from cai.trainers.common import arguments, batches, optimisation
from cai.trainers.preference import _tell_padding_from_end, train_preference_model
from cai.trainers.scorer import PreferenceScorer
from cai.weights import resolve

CONFIG = PreferenceModelConfig(batch_size=6, micro_batch=6, learning_rate=1e-3, save_every=2)
LORA = AdapterConfig(rank=4, alpha=8, dropout=0)


def config(**settings: Any) -> PreferenceModelConfig:
    return CONFIG.model_copy(update=settings)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], within: float = 1e-5) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[key], other[key], atol=within) for key in one)


def trained(folder: Path, groups: list[Group], **settings: Any) -> tuple[dict[str, Any], Log]:
    log = Log()
    return train_preference_model(groups, "tiny-random", folder, config(**settings), 1, log), log


def bare_trl(folder: Path, groups: list[Group], **settings: Any) -> Log:
    """TRL's own trainer on the same pairs."""
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    _tell_padding_from_end(tokenizer)
    rows = []
    for group in groups:
        for pair in group.pairs:
            a, b = (answered(tokenizer, group.prompt, group.answers[place])[0] for place in (pair.a, pair.b))
            rows.append({"chosen_ids": a, "rejected_ids": b, "margin": pair.margin})
    log, made = Log(), config(**settings)
    trainer = RewardTrainer(
        model=resolve("tiny-random"),
        args=RewardConfig(
            **arguments(folder, 1, made.save_every, False),
            **batches(made.batch_size, made.micro_batch),
            **optimisation(made),
            center_rewards_coefficient=made.center,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    for row in trainer.state.log_history:
        log.metric(row)
    trainer.save_model(str(folder / "model"))
    return log


@pytest.mark.parametrize("shared", [False, True])
def test_hard_labels_margins_and_centring_train_as_trl_does(tmp_path: Path, shared: bool) -> None:
    told = [Preference(0, 1, 1.0, margin=i / 3) for i in range(6)]
    groups = [Group(one.prompt, one.answers, (pair,), "") for one, pair in zip(pairs(), told, strict=True)]
    settings: dict[str, Any] = {"epochs": 5, "center": 0.05, "share_prompts": shared}
    figures, ours = trained(tmp_path / "ours", groups, **settings)
    theirs = bare_trl(tmp_path / "theirs", groups, **settings)
    assert figures["shared_prompts"] == shared
    assert ours.curve == pytest.approx(theirs.curve, abs=1e-5)
    for name in ("margin", "min_reward", "mean_reward", "max_reward", "accuracy", "num_tokens", "grad_norm"):
        here, there = ([row[name] for row in log.rows.values()] for log in (ours, theirs))
        assert here == pytest.approx(there, abs=1e-4), name
    assert same(weights(tmp_path / "ours"), weights(tmp_path / "theirs"))


CUTS: dict[str, dict[str, Any]] = {
    "as one": {},
    "by one": {"micro_batch": 1},
    "unevenly": {"micro_batch": 2},
    "apart": {"share_prompts": False},
    "apart by three": {"share_prompts": False, "micro_batch": 3},
    "again when needed": {"gradient_checkpointing": True},
}


def test_how_a_step_is_cut_changes_nothing(tmp_path: Path) -> None:
    """Nine prompts in steps of six, so the last step of a pass is smaller, and in its last forward pass uneven."""
    found = {}
    for name, cut in CUTS.items():
        figures, log = trained(tmp_path / name, ranked(9), epochs=3, center=0.01, **cut)
        found[name] = [(row["loss"], row["grad_norm"]) for row in log.rows.values()]
        assert figures["steps"] == len(found[name]) == 6
        assert figures["shared_prompts"] == cut.get("share_prompts", True)
    for name, curve in found.items():
        assert [*map(list, curve)] == [pytest.approx(point, abs=1e-4) for point in found["as one"]], name
        assert same(weights(tmp_path / name), weights(tmp_path / "as one"), 1e-4), name


def test_the_first_loss_is_the_pairs_done_one_by_one(tmp_path: Path) -> None:
    """All pairs of a prompt in one element, averaged within it and then over prompts, against the scorer's rewards."""
    groups = ranked(6)
    start, log = trained(tmp_path / "start", groups, learning_rate=1e-30)
    scorer, losses = PreferenceScorer(tmp_path / "start" / "model"), []
    for group in groups:
        rewards = [scorer.score([(group.prompt, answer)])[0] for answer in group.answers]
        terms = []
        for pair in group.pairs:
            d = rewards[pair.a] - rewards[pair.b]
            terms.append(pair.p * math.log1p(math.exp(-d)) + (1 - pair.p) * math.log1p(math.exp(d)))
        losses.append(sum(terms) / len(terms))
    assert log.curve[1] == pytest.approx(sum(losses) / len(losses), abs=1e-5) == start["loss"]


def test_what_is_counted(tmp_path: Path) -> None:
    groups = [*ranked(6), Group(asked("x"), ("a", "b" * 300), (Preference(0, 1, 1.0),), "hh")]
    figures, log = trained(tmp_path, groups, epochs=2, max_length=200, micro_batch=2)
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    tokens = sum(len(answered(tokenizer, one.prompt, answer)[0]) for one in groups[:6] for answer in one.answers)
    assert figures["prompts"] == 6 and figures["pairs"] == 2 * (1 + 3 + 6) and figures["steps"] == 2
    assert figures["too_long"] == 1 and figures["left_out"] == {"hh": {"too long": 1}} and figures["truncated"] == {}
    assert figures["tokens"] == log.rows[2]["num_tokens"] == 2 * tokens
    assert figures["trainable_parameters"] == 26_880 + 32
    whole = trained(tmp_path / "b", groups, max_length=200, too_long="truncate")[0]
    assert whole["left_out"] == {"hh": {"answer too long": 1}}


def test_no_pair_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no pair is left .*'ai': \{'too long': 6\}.*raise max_length 20"):
        trained(tmp_path, pairs(), max_length=20)
    with pytest.raises(InputError, match="no pair is left to learn from, of 0 prompts"):
        trained(tmp_path, [])


def test_training_learns_and_others_open_what_it_leaves(tmp_path: Path) -> None:
    _, log = trained(tmp_path, pairs(), epochs=20, learning_rate=3e-3)
    assert log.curve[20] < log.curve[1] - 0.1
    good, bad = PreferenceScorer(tmp_path / "model").score([(pairs()[0].prompt, answer) for answer in ("aaaa", "zz")])
    assert good > bad
    start = load_file(Path(resolve("tiny-random")) / "model.safetensors").keys()
    assert weights(tmp_path).keys() == (start - {"lm_head.weight"}) | {"score.weight"}
    kind: Any = AutoModelForSequenceClassification
    plain, told = kind.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(told.values()) and plain.config.num_labels == 1 and plain.config.use_cache is True
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert plain.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    ids = torch.tensor([answered(tokenizer, pairs()[0].prompt, "aaaa")[0]])
    assert plain(ids).logits[0, 0].item() == pytest.approx(good, abs=1e-5)
    again = RewardTrainer(
        model=str(tmp_path / "model"),
        args=RewardConfig(output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none"),
        train_dataset=Dataset.from_list([{"chosen_ids": ids[0].tolist(), "rejected_ids": ids[0].tolist()[:-1]}]),
    )
    taken: Any = again.model
    assert same({name: weight.cpu() for name, weight in taken.state_dict().items()}, weights(tmp_path), 0)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "apart": {"share_prompts": False},
    "lora": {"adapter": LORA},
    "frozen": {"freeze": 1},
}


@pytest.mark.parametrize(("kind", "step"), [("plain", 2), ("plain", 5), ("apart", 5), ("lora", 5), ("frozen", 2)])
def test_interrupted_and_resumed_equals_unbroken(tmp_path: Path, kind: str, step: int) -> None:
    """In the first pass over eight prompts, or in the second."""
    sizes: dict[str, Any] = {"batch_size": 2, "micro_batch": 1, "epochs": 2, "schedule": "cosine", "warmup": 0.2}
    settings = config(**sizes, **KINDS[kind])
    whole, first, second = Log(), Log(interrupt_at=step), Log()
    train_preference_model(ranked(8), "tiny-random", tmp_path / "whole", settings, 7, whole)
    with pytest.raises(Interrupted):
        train_preference_model(ranked(8), "tiny-random", tmp_path / "parts", settings, 7, first)
    assert not (tmp_path / "parts" / "model").exists()
    summary = train_preference_model(ranked(8), "tiny-random", tmp_path / "parts", settings, 7, second)
    assert summary["resumed_from"] == f"checkpoint-{step}" and summary["steps"] == 8
    assert set(first.rows) == set(range(1, step + 1)) and min(second.rows) == step + 1
    assert first.curve | second.curve == pytest.approx(whole.curve, abs=1e-5)
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"), 1e-6)
    tokens = [{step: row["num_tokens"] for step, row in log.rows.items()} for log in (whole, first, second)]
    assert tokens[1] | tokens[2] == tokens[0]


def test_scores_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    trained(tmp_path, pairs())
    groups = ranked(6)
    told = [(group.prompt, answer) for group in groups for answer in group.answers]
    told = told[::2] + told[1::2]
    alone = [PreferenceScorer(tmp_path / "model").score([one])[0] for one in told]
    for size in (1, 2, 3, 16):
        assert PreferenceScorer(tmp_path / "model", batch_size=size).score(told) == pytest.approx(alone, abs=1e-5)
    assert PreferenceScorer(tmp_path / "model").score([]) == []


def test_a_scorer_without_a_padding_token_says_so(tmp_path: Path) -> None:
    trained(tmp_path, pairs())
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="model: its tokenizer names no padding token"):
        PreferenceScorer(tmp_path / "model")


def test_lora_is_merged_into_a_plain_model(tmp_path: Path) -> None:
    figures, log = trained(tmp_path, pairs(), epochs=20, learning_rate=1e-2, adapter=LORA)
    assert log.curve[20] < log.curve[1] - 0.1
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert figures["trainable_parameters"] == sum(tensor.numel() for tensor in adapter.values())
    after, before = weights(tmp_path), load_file(Path(resolve("tiny-random")) / "model.safetensors")
    assert after.keys() == (before.keys() - {"lm_head.weight"}) | {"score.weight"}
    assert torch.equal(after.pop("score.weight"), adapter["base_model.model.score.weight"])
    for name, weight in after.items():
        layer, update = f"base_model.model.{name.removesuffix('.weight')}", torch.tensor(0.0)
        if f"{layer}.lora_A.weight" in adapter:
            update = 8 / 4 * adapter[f"{layer}.lora_B.weight"] @ adapter[f"{layer}.lora_A.weight"]
        assert torch.allclose(weight, before[name] + update, atol=1e-6), name
    good, bad = PreferenceScorer(tmp_path / "model").score([(pairs()[0].prompt, answer) for answer in ("aaaa", "zz")])
    assert good > bad + 0.1
    with pytest.raises(InputError, match=r"adapter.targets \['nope'\]"):
        trained(tmp_path / "b", pairs(), adapter=LORA.model_copy(update={"targets": ("nope",)}))


@pytest.mark.parametrize(("count", "adapter"), [(0, None), (1, None), (2, None), (1, LORA)])
def test_frozen_layers_stay_as_they_are_and_the_others_learn(tmp_path: Path, count: int, adapter: Any) -> None:
    figures, log = trained(tmp_path, pairs(), epochs=10, learning_rate=3e-3, freeze=count, adapter=adapter)
    after, before = weights(tmp_path), load_file(Path(resolve("tiny-random")) / "model.safetensors")
    changed = {name for name in before.keys() & after.keys() if not torch.equal(after[name], before[name])}
    layers = {name.split(".")[2] for name in changed if ".layers." in name}
    assert layers == {"0", "1"} - set(map(str, range(count)))
    assert ("model.embed_tokens.weight" in changed) == (count == 0)
    if adapter is None:
        assert figures["trainable_parameters"] == 32 + sum(before[name].numel() for name in changed)
    assert log.curve[10] < log.curve[1]


def test_more_frozen_layers_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preference_model.freeze: found 3; this model has 2 layers"):
        trained(tmp_path, pairs(), freeze=3)


def test_lora_in_four_bits_learns(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    figures, log = trained(
        tmp_path, pairs(), epochs=10, learning_rate=1e-2, adapter=LORA.model_copy(update={"bits": 4})
    )
    assert log.curve[10] < log.curve[1] - 0.1 and figures["steps"] == 10
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float32}


def learned(folder: Path, labels: str) -> dict[tuple[str, str], float]:
    """P(x is better than y) of every two answers, on prompts that were not learned from."""
    trained(folder, bradley_terry(64), labels=labels, batch_size=16, micro_batch=16, epochs=25, learning_rate=3e-3)
    scorer, letters = PreferenceScorer(folder / "model"), list(STRENGTHS)
    prompts = [asked(f"{i}?") for i in range(100, 110)]
    rewards = iter(scorer.score([(prompt, letter) for prompt in prompts for letter in letters]))
    table = [{letter: next(rewards) for letter in letters} for _ in prompts]
    means = {letter: sum(row[letter] for row in table) / len(table) for letter in letters}
    return {(x, y): 1 / (1 + math.exp(means[y] - means[x])) for x, y in combinations(letters, 2)}


@pytest.mark.slow
def test_known_strengths_are_recovered_and_better_from_soft_labels_than_from_hard_ones(tmp_path: Path) -> None:
    errors = {}
    for labels in ("soft", "hard"):
        found = learned(tmp_path / labels, labels)
        assert all((found[pair] > 0.5) == (truth(*pair) > 0.5) for pair in found)
        errors[labels] = [abs(found[pair] - truth(*pair)) for pair in found]
    assert max(errors["soft"]) < 0.05
    assert paired_difference(errors["soft"], errors["hard"]).high < -0.05
