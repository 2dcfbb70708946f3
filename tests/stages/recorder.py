"""An engine that writes down what it is asked, for the tests of the data stages."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cai.constitution import Constitution
from cai.engines.base import Request, Speaker
from cai.feedback_config import CompareConfig, SampledAnswers
from cai.judge.asked import Example
from cai.judge.judge import Judge
from cai.prompts import Rendered, Templates
from cai.records import Completion, Message, Prompt
from cai.stages.compare import Compare
from cai.stages.pairs import Samples

PROMPT = Prompt.of((Message(role="user", content="QUESTION"),), "harmful", "test")


class Recorder:
    """Answers `reply 1`, `reply 2`, ...; scores labels as told, or by length."""

    concurrency = 4

    def __init__(self, scores: list[list[float]] | None = None, replies: list[str] | None = None) -> None:
        self.requests: list[Request] = []
        self.questions: list[tuple[Rendered, list[str]]] = []
        self.scores, self.replies = scores, replies

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        number = len(self.requests)
        text = self.replies[number - 1] if self.replies else f"reply {number}"
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=2, seed=request.seed)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self.questions.append((prompt, list(labels)))
        return self.scores.pop(0) if self.scores else [-float(len(label)) for label in labels]

    def close(self) -> None: ...


def judging(
    judge: Recorder, rules: Constitution, config: CompareConfig, dialect: str, shown: Sequence[Example], seed: int
) -> Judge:
    """The judge that a recipe with these settings has."""
    return Judge(Speaker(judge, Templates(dialect)), rules, tuple(shown), config.judge, config.tags, seed)


def comparing(
    policy: Recorder,
    judge: Recorder,
    rules: Constitution,
    config: CompareConfig,
    dialect: str = "chat",
    shown: Sequence[Example] = (),
    seed: int = 5,
) -> Compare:
    """The stage on samples of one model."""
    asked = judging(judge, rules, config, dialect, shown, seed)
    assert isinstance(config.answers, SampledAnswers)
    return Compare(Samples(Speaker(policy, Templates(dialect)), asked, config.answers, config, seed), asked)


def text_of(prompt: Rendered) -> str:
    return prompt.text or "\n".join(f"{m.role}: {m.content}" for m in prompt.messages)


def collect(stage: Any, item: Any, done: Sequence[Any] = ()) -> list[Any]:
    async def walk() -> list[Any]:
        return [record async for record in stage(item, done)]

    return asyncio.run(walk())
