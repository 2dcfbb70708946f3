"""Rows to finetune on, and a log that may press Ctrl-C."""

import os
import signal
from typing import Any

from cai.prompts import Templates
from cai.records import Message
from cai.trainers.sft import Row


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

    @property
    def curve(self) -> dict[int, float]:
        return {step: row["loss"] for step, row in self.rows.items()}


def rows(dialect: str = "chat", count: int = 12) -> list[Row]:
    templates = Templates(dialect)
    asked = [(Message(role="user", content=f"Question {i}?"),) for i in range(count)]
    return [(templates.render("respond", messages=m), f"Answer {i * i}.") for i, m in enumerate(asked)]


def uneven(count: int = 6) -> list[Row]:
    """Rows of different lengths, the longest some 200 tokens of one byte."""
    return [(prompt, "word " * (7 * i % 17 + 1)) for i, (prompt, _) in enumerate(rows(count=count))]
