"""The stand-in for a model: the same question always gets the same answer."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.engine_config import ScriptedEngine
from cai.engines.base import Request, Speaker, open_engine
from cai.models import ModelConfig
from cai.prompts import Rendered, Templates
from cai.records import Completion, Message
from cai.sampling import Sampling

CHAT = Rendered(messages=(Message(role="user", content="Hi there"),))
TRANSCRIPT = Rendered(text="\n\nHuman: Hi there\n\nAssistant:")


def engine(**options: float):
    return open_engine(ScriptedEngine.model_validate(options), ModelConfig(model="none"))


def reply(prompt: Rendered, seed: int = 0, max_tokens: int = 100, temperature: float = 1.0) -> Completion:
    return asyncio.run(engine().generate(Request(prompt, max_tokens, temperature, 1.0, seed)))


def score(prompt: Rendered, *labels: str) -> list[float]:
    return asyncio.run(engine().score(prompt, labels))


@pytest.mark.parametrize("prompt", [CHAT, TRANSCRIPT], ids=["chat", "transcript"])
def test_the_same_question_and_seed_get_the_same_reply(prompt: Rendered) -> None:
    assert reply(prompt, 3) == reply(prompt, 3)
    assert len({reply(prompt, seed).text for seed in range(20)}) == 20


@pytest.mark.parametrize(
    "other",
    [
        replace(CHAT, messages=(Message(role="user", content="Hi"),)),
        replace(CHAT, messages=(Message(role="system", content="Hi there"),)),
        replace(CHAT, reply_start="Sure"),
        TRANSCRIPT,
    ],
    ids=["content", "role", "start", "dialect"],
)
def test_another_question_gets_another_reply(other: Rendered) -> None:
    assert reply(CHAT).text != reply(other).text
    assert score(CHAT, " (A)", " (B)") != score(other, " (A)", " (B)")


def test_a_greedy_reply_does_not_depend_on_the_seed() -> None:
    replies = [reply(CHAT, seed, temperature=0.0) for seed in range(10)]
    assert len({completion.text for completion in replies}) == 1
    assert [completion.seed for completion in replies] == list(range(10))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**63 - 1), st.integers(1, 40))
def test_a_reply_keeps_to_its_limit_and_counts_its_words(seed: int, limit: int) -> None:
    completion = reply(CHAT, seed, limit)
    assert 1 <= completion.tokens <= limit
    assert len(completion.text.split()) == completion.tokens
    assert completion.prompt_tokens == 2
    assert (completion.finish == "stop") is completion.text.endswith(".")
    assert completion.raw == completion.text


def test_some_replies_are_cut_off_and_most_are_not() -> None:
    cut = sum(reply(CHAT, seed).finish == "length" for seed in range(200))
    assert 5 < cut < 60


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=5), st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True))
def test_log_probabilities_are_those_of_parts_of_a_whole(text: str, labels: list[str]) -> None:
    scores = score(Rendered(text=text), *labels)
    assert len(scores) == len(labels)
    assert all(value < 0 and math.isfinite(value) for value in scores)
    assert sum(map(math.exp, scores)) < 1
    assert scores == score(Rendered(text=text), *labels)


def test_a_judge_without_a_model_still_judges_both_ways() -> None:
    questions = [Rendered(text=str(index)) for index in range(40)]
    first, second = zip(*(score(question, " (A)", " (B)") for question in questions), strict=True)
    assert 8 < sum(a > b for a, b in zip(first, second, strict=True)) < 32


def test_latency_is_spent_by_as_many_at_once_as_there_are_slots() -> None:
    async def main() -> float:
        slow = engine(latency=0.1, concurrency=4)
        assert slow.concurrency == 4
        started = time.monotonic()
        await asyncio.gather(*(slow.generate(Request(CHAT, 5, 1.0, 1.0, seed)) for seed in range(8)))
        return time.monotonic() - started

    assert 0.2 <= asyncio.run(main()) < 0.6


def test_a_speaker_asks_in_its_dialect() -> None:
    async def main() -> list[Completion]:
        speakers = [Speaker(engine(), Templates(dialect)) for dialect in ("chat", "transcript")]
        sampling = Sampling(max_tokens=7, temperature=0.0)
        return [await speaker.reply("respond", sampling, 5, messages=CHAT.messages) for speaker in speakers]

    chat, transcript = asyncio.run(main())
    assert chat == reply(CHAT, 5, 7, 0.0)
    assert transcript.text == reply(TRANSCRIPT, 5, 7, 0.0).text
