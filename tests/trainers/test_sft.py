"""The loss is on the answer alone; rows too long are counted; a resumed run equals an unbroken one."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.config import SftConfig
from cai.encoding import answered
from cai.errors import InputError, Interrupted
from cai.prompts import Templates
from cai.records import Message
from cai.trainers.common import latest_checkpoint
from cai.trainers.sft import Row, train_sft
from cai.weights import resolve

CONFIG = SftConfig(batch_size=2, micro_batch=2, learning_rate=1e-3, save_every=2)


class Log:
    def __init__(self, interrupt_at: int | None = None) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.interrupt_at = interrupt_at

    def step(self, done: int, total: int) -> None:
        if done == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    def metric(self, row: dict[str, Any]) -> None:
        if "loss" in row:
            self.rows[row["step"]] = row


def rows(dialect: str = "chat", count: int = 12) -> list[Row]:
    templates = Templates(dialect)
    asked = [(Message(role="user", content=f"Question {i}?"),) for i in range(count)]
    return [(templates.render("respond", messages=m), f"Answer {i * i}.") for i, m in enumerate(asked)]


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_first_loss_is_the_mean_over_answer_tokens(tmp_path: Path, dialect: str) -> None:
    two = rows(dialect, 2)
    log = Log()
    train_sft(two, "tiny-random", tmp_path, CONFIG, 0, log)
    tokenizer = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    model: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    losses = []
    for prompt, answer in two:
        ids, given = answered(tokenizer, prompt, answer)
        logp = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-logp[i - 1, ids[i]].item() for i in range(given, len(ids))]
    assert log.rows[1]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-3)


def test_rows_too_long_are_counted_and_none_left_is_an_error(tmp_path: Path) -> None:
    config = SftConfig(batch_size=2, micro_batch=2, max_length=150)
    long = (rows()[0][0], "x" * 500)
    assert train_sft([*rows(count=2), long], "tiny-random", tmp_path, config, 0, Log())["too_long"] == 1
    with pytest.raises(InputError, match="max_length 150"):
        train_sft([long], "tiny-random", tmp_path / "other", config, 0, Log())


def test_interrupted_and_resumed_equals_unbroken(tmp_path: Path) -> None:
    whole = Log()
    train_sft(rows(), "tiny-random", tmp_path / "whole", CONFIG, 7, whole)
    first, second = Log(interrupt_at=3), Log()
    with pytest.raises(Interrupted):
        train_sft(rows(), "tiny-random", tmp_path / "parts", CONFIG, 7, first)
    assert not (tmp_path / "parts" / "model").exists()
    summary = train_sft(rows(), "tiny-random", tmp_path / "parts", CONFIG, 7, second)
    assert summary["resumed_from"] == "checkpoint-3"
    curve = {step: row["loss"] for step, row in (first.rows | second.rows).items()}
    assert curve == pytest.approx({step: row["loss"] for step, row in whole.rows.items()}, abs=1e-5)
    ours, theirs = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("parts", "whole"))
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in theirs)
    assert not (tmp_path / "parts" / "checkpoints").exists()


def test_a_torn_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "COMPLETE").touch()
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-10"
    assert not (tmp_path / "checkpoint-12").exists()
    assert latest_checkpoint(tmp_path / "nothing") is None


def test_the_saved_model_generates_with_its_cache(tmp_path: Path) -> None:
    train_sft(rows(count=2), "tiny-random", tmp_path, CONFIG, 0, Log())
    saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert saved.config.use_cache is True
