"""DPO on probabilities: the loss against a plain twin, TRL's own as the special case, and what training does."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from sft_data import Log
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from cai.encoding import answered
from cai.errors import InputError, Interrupted
from cai.preferences import Group, Preference
from cai.prompts import Templates
from cai.records import Message
from cai.train_config import AdapterConfig, DpoConfig
from cai.trainers.dpo import soft_dpo_loss, train_dpo
from cai.weights import resolve

CONFIG = DpoConfig(batch_size=2, micro_batch=2, learning_rate=1e-3, save_every=2, max_length=256)
TINY = "tiny-random"


def group(number: int, p: float = 1.0, more: tuple[Preference, ...] = ()) -> Group:
    messages = (Message(role="user", content=f"Question {number}?"),)
    answers = (f"A kind answer {number}.", "No.", "Perhaps so.")
    return Group(Templates("chat").render("respond", messages=messages), answers, (Preference(0, 1, p), *more), "test")


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


@given(st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0.01, 2))
def test_loss_equals_a_plain_twin(pairs: list[tuple[float, float]], beta: float) -> None:
    lead, p = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    plain = [-(q * log_sigmoid(beta * d) + (1 - q) * log_sigmoid(-beta * d)) for d, q in pairs]
    assert soft_dpo_loss(lead, p, beta).item() == pytest.approx(sum(plain) / len(plain), abs=1e-9)


@given(st.floats(-20, 20), st.floats(0, 1))
def test_naming_the_answers_the_other_way_round_changes_nothing(lead: float, p: float) -> None:
    there = soft_dpo_loss(torch.tensor([lead], dtype=torch.float64), torch.tensor([p], dtype=torch.float64), 0.1)
    back = soft_dpo_loss(torch.tensor([-lead], dtype=torch.float64), torch.tensor([1 - p], dtype=torch.float64), 0.1)
    assert there.item() == pytest.approx(back.item(), abs=1e-9)


def losses(log: Log) -> list[float]:
    return [row["loss"] for _, row in sorted(log.rows.items()) if "loss" in row]


def log_probability(folder: str | Path, one: Group, place: int) -> float:
    """Nats of a whole answer, token by token."""
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(TINY))
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    ids, given_ = answered(tokenizer, one.prompt, one.answers[place])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logits[at - 1, ids[at]]) for at in range(given_, len(ids)))


def lead(folder: str | Path, one: Group) -> float:
    return log_probability(folder, one, 0) - log_probability(folder, one, 1)


def gain(folder: Path, one: Group) -> float:
    """By how many nats the lead of the first answer grew."""
    return lead(folder, one) - lead(resolve(TINY), one)


@pytest.mark.parametrize("adapter", [None, AdapterConfig(rank=2, dropout=0.0)])
def test_a_reference_of_its_own_is_what_the_first_step_is_measured_against(
    tmp_path: Path, adapter: AdapterConfig | None
) -> None:
    """By hand: at the first step the model is where it starts, which leads the reference by so much."""
    lessons = [group(0, 0.9), group(1, 0.2)]
    train_dpo(
        lessons, TINY, tmp_path / "first", CONFIG.model_copy(update={"epochs": 4, "learning_rate": 1e-2}), 0, Log()
    )
    start, log = str(tmp_path / "first" / "model"), Log()
    one_step = CONFIG.model_copy(update={"beta": 0.5, "adapter": adapter})
    train_dpo(lessons, start, tmp_path / "second", one_step, 0, log, TINY)
    expected = 0.0
    for one in lessons:
        ahead, p = 0.5 * (lead(start, one) - lead(resolve(TINY), one)), one.pairs[0].p
        expected -= (p * log_sigmoid(ahead) + (1 - p) * log_sigmoid(-ahead)) / len(lessons)
    assert abs(expected - math.log(2)) > 0.01
    assert losses(log)[0] == pytest.approx(expected, abs=1e-4)


def test_the_first_step_has_the_loss_of_a_coin_and_the_reference_stays_put(tmp_path: Path) -> None:
    log = Log()
    train_dpo([group(0), group(1)], TINY, tmp_path, CONFIG, 0, log)
    assert losses(log)[0] == pytest.approx(math.log(2), abs=1e-4)


def test_training_moves_the_model_to_the_better_answers(tmp_path: Path) -> None:
    groups = [group(number) for number in range(4)]
    figures = train_dpo(groups, TINY, tmp_path, CONFIG.model_copy(update={"epochs": 3}), 0, Log())
    assert all(gain(tmp_path / "model", one) > 1 for one in groups)
    assert (figures["pairs"], figures["steps"]) == (4, 6)


def test_an_even_label_keeps_it_where_it_is_and_a_low_one_turns_it_round(tmp_path: Path) -> None:
    longer = CONFIG.model_copy(update={"epochs": 3})
    train_dpo([group(0, 0.5), group(1, 0.5)], TINY, tmp_path / "even", longer, 0, Log())
    train_dpo([group(0, 0.0), group(1, 0.0)], TINY, tmp_path / "low", longer, 0, Log())
    assert abs(gain(tmp_path / "even" / "model", group(0))) < 0.2
    assert gain(tmp_path / "low" / "model", group(0)) < -1


def test_hard_labels_round_and_leave_even_ones_out(tmp_path: Path) -> None:
    hard = CONFIG.model_copy(update={"labels": "hard"})
    figures = train_dpo([group(0, 0.9), group(1, 0.5)], TINY, tmp_path, hard, 0, Log())
    assert figures["pairs"] == 1 and figures["left_out"] == {"test": {"no winner": 1}}


def test_hard_labels_are_trls_own_loss(tmp_path: Path) -> None:
    """The same rows, order and seed: every step's loss is TRL's."""
    log, groups = Log(), [group(number) for number in range(4)]
    train_dpo(groups, TINY, tmp_path / "ours", CONFIG, 0, log)
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(TINY))
    trainer: Any = Bare(
        model=resolve(TINY),
        args=DPOConfig(
            output_dir=str(tmp_path / "theirs"),
            per_device_train_batch_size=2,
            num_train_epochs=1,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            seed=0,
            data_seed=0,
            use_cpu=True,
            bf16=False,
            max_length=None,
            logging_steps=1,
            report_to="none",
            gradient_checkpointing=False,
            save_strategy="no",
            disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list([plain_row(tokenizer, one) for one in groups]),
        processing_class=tokenizer,
    )
    trainer.train()
    ours = losses(log)
    theirs = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert ours == pytest.approx(theirs, abs=1e-4) and len(ours) == 2


class Bare(DPOTrainer):
    """TRL's own, on rows that are tokens already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def plain_row(tokenizer: Any, one: Group) -> dict[str, list[int]]:
    (a, given_a), (b, given_b) = (answered(tokenizer, one.prompt, text) for text in one.answers[:2])
    assert a[:given_a] == b[:given_b]
    return {"prompt_ids": a[:given_a], "chosen_ids": a[given_a:], "rejected_ids": b[given_b:]}


def test_all_pairs_of_a_prompt_are_learned(tmp_path: Path) -> None:
    several = group(0, 1.0, (Preference(0, 2, 0.7), Preference(2, 1, 0.6)))
    assert train_dpo([several], TINY, tmp_path, CONFIG, 0, Log())["pairs"] == 3


def test_pairs_that_are_too_long_are_counted_and_none_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no pair is left.*'too long': 1.*raise max_length 8"):
        train_dpo([group(0)], TINY, tmp_path, CONFIG.model_copy(update={"max_length": 8}), 0, Log())


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    groups = [group(number, 0.8) for number in range(6)]
    train_dpo(groups, TINY, tmp_path / "whole", CONFIG, 0, Log())
    with pytest.raises(Interrupted):
        train_dpo(groups, TINY, tmp_path / "broken", CONFIG, 0, Log(interrupt_at=1))
    figures = train_dpo(groups, TINY, tmp_path / "broken", CONFIG, 0, Log())
    whole, broken = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "broken"))
    assert figures["resumed_from"] == "checkpoint-1"
    assert all(torch.allclose(whole[key], broken[key], atol=1e-6) for key in whole)


def test_an_adapter_is_trained_against_the_model_without_it(tmp_path: Path) -> None:
    wide = CONFIG.model_copy(update={"adapter": AdapterConfig(rank=4, dropout=0.0), "epochs": 3, "learning_rate": 1e-2})
    log = Log()
    train_dpo([group(0), group(1)], TINY, tmp_path, wide, 0, log)
    assert losses(log)[0] == pytest.approx(math.log(2), abs=1e-4)
    assert gain(tmp_path / "model", group(0)) > 0.5 and (tmp_path / "adapter" / "adapter_config.json").is_file()
