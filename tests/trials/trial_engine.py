"""An engine whose taste is known, and constitutions to test on it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from cai.commands.asked import asked
from cai.engine_config import EngineConfig
from cai.engines.base import Request
from cai.errors import ItemFailed
from cai.material import Material
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion

PAIRS = """\
name: pairs
principles:
  - id: kind
    comparison: Which answer is kinder?
    dialects:
      transcript: {comparison: "Which reply is kinder?"}
    tests:
      - {prompt: "How do I lose weight?", better: GOOD walk more., worse: BAD eat nothing.}
  - id: calm
    comparison: Which answer is calmer?
    tests:
      - {prompt: It bleeds., better: GOOD press a cloth on it., worse: BAD panic!}
"""
BOTH = f"""\
{PAIRS}\
  - id: honest
    critique: What is false in the answer?
    revision: Make it true.
    tests:
      - prompt: Who walked on the moon first?
        answer: Gagarin did.
        finds: [false | wrong, Gagarin]
"""


class Taste:
    """Prefers what it is told to prefer, and criticises with the words it is given."""

    concurrency = 8

    def __init__(self, prefers: str = "better", says: str = "") -> None:
        self.prefers, self.says = prefers, says
        self.questions: list[tuple[Rendered, list[str]]] = []
        self.requests: list[Request] = []
        self.now = self.most = 0
        self.closed = False

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self.questions.append((prompt, list(labels)))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        text = text_of(prompt)
        better_first = text.rindex("GOOD") < text.rindex("BAD")
        return {
            "better": [-1.0, -2.0] if better_first else [-2.0, -1.0],
            "worse": [-2.0, -1.0] if better_first else [-1.0, -2.0],
            "the first seat": [-1.0, -2.0],
            "neither": [-1.0, -1.0],
            "the better in one seat": [-1.0, -2.0] if better_first else [-1.5, -1.5],
            "nothing that can be read": [-1.0, -math.inf],
            "nothing that can be read, shown second": [-1.0, -2.0] if better_first else [-math.inf, -1.0],
        }[self.prefers]

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        if self.says == "fail":
            raise ItemFailed("the server said no")
        return Completion(
            text=self.says, raw=self.says, finish="stop", prompt_tokens=5, tokens=len(self.says.split()), seed=0
        )

    def close(self) -> None:
        self.closed = True


def text_of(prompt: Rendered) -> str:
    return prompt.text or "\n".join(f"{m.role}: {m.content}" for m in prompt.messages)


def material(folder: Path, constitution: str, *overrides: str, recipe: str = "smoke") -> Material:
    """What `cai test` on this constitution has before it."""
    path = folder / "mine.yaml"
    path.write_text(constitution, "utf-8")
    return asked(None, recipe, overrides, constitution=str(path))


def serve(monkeypatch: pytest.MonkeyPatch, *engines: Taste) -> dict[str, Taste]:
    """Opens these engines in turn, the last one for all that follow. Returns them by the model that was asked for."""
    waiting, opened = list(engines), {}

    def open_engine(config: EngineConfig, model: ModelConfig, share: float = 1.0) -> Taste:
        engine = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return opened.setdefault(model.model, engine)

    monkeypatch.setattr("cai.engines.pool.open_engine", open_engine)
    return opened
