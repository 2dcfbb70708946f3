"""The soft-label loss against plain twins, and the trainer against TRL's own."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from cai.config import PreferenceModelConfig
from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Message
from cai.trainers.preference import Row, SoftLabelTrainer, _pair, agreement, soft_cross_entropy, train_preference_model
from cai.trainers.scorer import PreferenceScorer
from cai.weights import resolve

margins = st.floats(-30, 30)
probabilities = st.floats(0, 1)


class Silent:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def step(self, done: int, total: int) -> None: ...

    def metric(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


def plain(margin: float, p: float) -> float:
    """-[p log s(m) + (1 - p) log s(-m)], written out."""
    log_sigmoid = -np.logaddexp(0, -margin), -np.logaddexp(0, margin)
    return float(-(p * log_sigmoid[0] + (1 - p) * log_sigmoid[1]))


@given(st.lists(st.tuples(margins, probabilities), min_size=1, max_size=8))
def test_loss_equals_the_plain_twin(pairs: list[tuple[float, float]]) -> None:
    margin, p = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    expected = sum(plain(m, q) for m, q in pairs) / len(pairs)
    assert soft_cross_entropy(margin, p).item() == pytest.approx(expected, abs=1e-9)


@given(margins, probabilities)
def test_gradient_is_sigmoid_minus_label(margin: float, p: float) -> None:
    m = torch.tensor([margin], dtype=torch.float64, requires_grad=True)
    soft_cross_entropy(m, torch.tensor([p], dtype=torch.float64)).backward()
    assert m.grad is not None
    assert m.grad.item() == pytest.approx(1 / (1 + math.exp(-margin)) - p, abs=1e-9)


@given(margins, probabilities)
def test_swapping_the_answers_changes_nothing(margin: float, p: float) -> None:
    there = soft_cross_entropy(torch.tensor([margin]), torch.tensor([p]))
    back = soft_cross_entropy(torch.tensor([-margin]), torch.tensor([1 - p]))
    assert there.item() == pytest.approx(back.item(), rel=1e-4, abs=1e-5)


def test_the_loss_is_least_where_the_margin_is_the_log_odds() -> None:
    p = torch.tensor([0.8])
    best = math.log(0.8 / 0.2)
    losses = {d: soft_cross_entropy(torch.tensor([best + d]), p).item() for d in (-0.5, 0.0, 0.5)}
    assert min(losses, key=lambda d: losses[d]) == 0.0
    assert losses[0.0] == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


@pytest.mark.parametrize(
    ("margin", "p", "expected"),
    [([1.0, -1.0], [1.0, 1.0], 0.5), ([1.0, -1.0], [0.9, 0.6], 0.8), ([1.0], [0.5], 0.5), ([-2.0], [0.0], 1.0)],
)
def test_agreement(margin: list[float], p: list[float], expected: float) -> None:
    assert agreement(torch.tensor(margin), torch.tensor(p)) == pytest.approx(expected)


def rows(count: int = 6) -> list[Row]:
    templates = Templates("chat")
    prompts = [templates.render("respond", messages=(Message(role="user", content=f"Say {i}"),)) for i in range(count)]
    return [(prompt, "aaaa", "zzzz", 0.9) for prompt in prompts]


def test_hard_labels_give_trls_own_loss(tmp_path: Path) -> None:
    from datasets import Dataset

    start = resolve("tiny-random")
    tokenizer = AutoTokenizer.from_pretrained(start)
    pairs = [_pair(tokenizer, (prompt, a, b, 1.0), "soft") for prompt, a, b, _ in rows(4)]
    args: dict[str, Any] = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": "none"}
    losses = []
    for trainer_class, columns in ((SoftLabelTrainer, ["p"]), (RewardTrainer, [])):
        torch.manual_seed(0)
        data = Dataset.from_list([{k: v for k, v in pair.items() if k != "p" or columns} for pair in pairs])
        model = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, dtype=torch.float32)
        trainer = trainer_class(model=model, args=RewardConfig(**args), train_dataset=data, processing_class=tokenizer)
        model.train()
        examples: Any = list(data)
        batch = trainer.data_collator(examples)
        if columns:
            batch["p"] = torch.tensor(data["p"])
        loss: Any = trainer.compute_loss(model, batch)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_training_learns_the_preferred_answer_and_saves_a_loadable_model(tmp_path: Path) -> None:
    config = PreferenceModelConfig(epochs=20, learning_rate=3e-3, batch_size=6, micro_batch=6)
    watch = Silent()
    summary = train_preference_model(rows(), "tiny-random", tmp_path, config, 1, watch)
    assert summary["pairs"] == 6 and summary["too_long"] == 0 and summary["steps"] == 20
    losses = [row["loss"] for row in watch.rows if "loss" in row]
    assert losses[-1] < losses[0]
    scorer = PreferenceScorer(tmp_path / "model")
    good, bad = scorer.score([(rows()[0][0], "aaaa"), (rows()[0][0], "zzzz")])
    assert good > bad
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_scores_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    config = PreferenceModelConfig(learning_rate=1e-3, batch_size=6, micro_batch=6)
    train_preference_model(rows(), "tiny-random", tmp_path, config, 1, Silent())
    asked = [(rows()[i][0], "x" * (3 * i + 1)) for i in range(5)]
    together = PreferenceScorer(tmp_path / "model", batch_size=3).score(asked)
    alone = [PreferenceScorer(tmp_path / "model").score([pair])[0] for pair in asked]
    assert together == pytest.approx(alone, abs=1e-5)


def test_pairs_too_long_are_counted_and_none_left_is_an_error(tmp_path: Path) -> None:
    long = (rows()[0][0], "a" * 500, "b", 0.5)
    config = PreferenceModelConfig(max_length=200, batch_size=4, micro_batch=4)
    assert train_preference_model([*rows(), long], "tiny-random", tmp_path, config, 1, Silent())["too_long"] == 1
    with pytest.raises(InputError, match="max_length"):
        train_preference_model([long], "tiny-random", tmp_path / "b", config, 1, Silent())


def test_hard_labels_round() -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    prompt, a, b, _ = rows()[0]
    assert [_pair(tokenizer, (prompt, a, b, p), "hard")["p"] for p in (0.2, 0.51)] == [0.0, 1.0]
    assert _pair(tokenizer, (prompt, a, b, 0.2), "soft")["p"] == 0.2
