"""An engine that scores and replies by what it is shown and writes down what it is asked, and judges that ask it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from cai.constitution import Constitution
from cai.engines.base import Request, Speaker
from cai.feedback_config import CompareConfig
from cai.judge.asked import Example
from cai.judge.judge import Judge
from cai.prompts import Rendered, Templates
from cai.records import Comparison, Completion, Message, Prompt, Verdict
from cai.sampling import Sampling
from cai.stages.compare import Compare
from cai.stages.pairs import Answers

PROMPT = Prompt.of((Message(role="user", content="QUESTION"),), "harmful", "test")
A, B = "ANSWER ONE", "TWO"
DIALECTS = ("chat", "transcript")
MODES: dict[str, dict[str, Any]] = {
    "logprob": {},
    "principle_last": {"mode": "logprob", "layout": "principle_last"},
    "cot": {"mode": "cot", "thoughts": 2, "temperature": 1.0},
    "contrast": {"mode": "contrast"},
    "nothing": {"mode": "contrast", "against": "nothing"},
    "score": {"mode": "score"},
    "verdict": {"mode": "verdict"},
}
"""Every mode, and what it can be set to that changes its prompts."""

Scoring = Callable[[str, str], float]
"""Log p(label) after the text that was shown."""


@cache
def templates(dialect: str) -> Templates:
    """Those that ship, read once."""
    return Templates(dialect)


def rules(*names: str) -> Constitution:
    """A constitution whose principles are worded by their names: COMPARE KIND, BE KIND, BE NO KIND."""
    return Constitution.model_validate(
        {
            "name": "test",
            "principles": [
                {
                    "id": name,
                    "comparison": f"COMPARE {name.upper()}",
                    "instruction": f"BE {name.upper()}",
                    "opposite": f"BE NO {name.upper()}",
                    "tags": [name],
                }
                for name in names
            ],
        }
    )


def text_of(prompt: Rendered) -> str:
    """All that a model is shown, the start of its reply included."""
    turns = [f"{message.role}: {message.content}" for message in prompt.messages]
    return prompt.text or "\n".join([*turns, *([prompt.reply_start] if prompt.reply_start else [])])


class Engine:
    """`score`: log p of a label after a text; `reply`: what is written in answer to a request."""

    concurrency = 4

    def __init__(
        self, score: Scoring | None = None, reply: Callable[[Request], str] | None = None, tokens: int = 2
    ) -> None:
        self.requests: list[Request] = []
        self.questions: list[tuple[Rendered, tuple[str, ...]]] = []
        self._score, self._reply, self._tokens = score, reply, tokens

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        text = self._reply(request) if self._reply else f"reply {request.seed}"
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=self._tokens, seed=request.seed)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self.questions.append((prompt, tuple(labels)))
        return [self._score(text_of(prompt), label) if self._score else -float(len(label)) for label in labels]

    def close(self) -> None: ...

    @property
    def shown(self) -> list[str]:
        """The texts that were scored after."""
        return [text_of(prompt) for prompt, _ in self.questions]


def judge_with(
    engine: Engine,
    *names: str,
    dialect: str = "chat",
    examples: Sequence[Example] = (),
    constitution: Constitution | None = None,
    tags: tuple[str, ...] = (),
    seed: int = 5,
    **settings: Any,
) -> Judge:
    """A judge with these settings, under the principles of these names."""
    config = CompareConfig.model_validate({"judge": settings}).judge
    found = constitution or rules(*(names or ("kind",)))
    return Judge(Speaker(engine, templates(dialect)), found, tuple(examples), config, tags, seed)


def verdict_of(judge: Judge, a: str = A, b: str = B, key: str = "key", prompt: Prompt = PROMPT) -> Verdict:
    """What the judge says of a pair."""
    return asyncio.run(judge.verdict(key, prompt, a, b))[1]


def compared(judge: Judge, a: str = A, b: str = B, key: str = "key") -> Comparison:
    """The same as a record."""
    by, verdict = asyncio.run(judge.verdict(key, PROMPT, a, b))
    answers = [Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=0) for text in (a, b)]
    names = tuple(one.id for one in by)
    return Comparison(id=key, prompt=PROMPT, principles=names, a=answers[0], b=answers[1], verdict=verdict)


def labels(first: float, second: float) -> Scoring:
    """P of the label (A), and P of the label (B), whatever is shown."""
    return lambda text, label: math.log(first if "A" in label else second)


def first_shown(text: str) -> str:
    """Which answer sits as (A): "a" or "b"."""
    return "a" if text.rindex(f"[[[{A}]]]") < text.rindex(f"[[[{B}]]]") else "b"


def prompts(count: int) -> list[Prompt]:
    """So many different ones."""
    return [Prompt.of((Message(role="user", content=f"Q{n}"),), "harmful", "test") for n in range(count)]


SAMPLING = Sampling(max_tokens=7, temperature=0.5, top_p=0.9)


def speaker(engine: Engine, dialect: str = "chat") -> Speaker:
    """The engine in a dialect."""
    return Speaker(engine, templates(dialect))


def made(
    answers: Answers, judge: Judge, done: Sequence[Comparison] = (), prompt: Prompt = PROMPT, certain: bool = False
) -> list[Comparison]:
    """The comparisons of a prompt that are not done."""

    async def walk() -> list[Comparison]:
        return [one async for one in Compare(answers, judge, certain)(prompt, done)]

    return asyncio.run(walk())


def numbers(found: Sequence[Comparison]) -> list[str]:
    """What stands after the prompt's id in each comparison's."""
    assert all(one.id.startswith(f"{one.prompt.id}/") for one in found)
    return [one.id.split("/")[1] for one in found]
