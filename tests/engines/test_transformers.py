"""The transformers engine on a tiny random model: calls in flight, labels, limits, and how it ends."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.encoding import encode, prompt_text
from cai.engine_config import TransformersEngine
from cai.engines.base import Engine, Request, open_engine
from cai.engines.decode import Decoder
from cai.engines.labels import Question, as_question
from cai.engines.transformers import _bounded
from cai.errors import EngineError, ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion, Message
from cai.weights import ALIASES, TINY, resolve


def opened(model: str = TINY, batch_size: int = 8) -> Engine:
    return open_engine(TransformersEngine(batch_size=batch_size, device="cpu"), ModelConfig(model=model))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = opened()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(resolve(TINY))


def chat(text: str, stop: tuple[str, ...] = ()) -> Rendered:
    return Rendered(messages=(Message(role="user", content=text),), stop=stop)


def transcript(text: str, stop: tuple[str, ...] = ()) -> Rendered:
    return Rendered(text=f"\n\nHuman: {text}\n\nAssistant:", stop=stop)


def request(prompt: Rendered, seed: int = 0, max_tokens: int = 24, **options: float) -> Request:
    return Request(prompt, max_tokens, options.get("temperature", 1.0), options.get("top_p", 1.0), seed)


def ask(engine: Engine, *requests: Request) -> list[Completion]:
    async def main() -> list[Completion]:
        return await asyncio.gather(*map(engine.generate, requests))

    return asyncio.run(main())


def apart_from_reuse(reply: Completion) -> Completion:
    return reply.model_copy(update={"cached_tokens": 0})


def score(engine: Engine, prompt: Rendered, *labels: str) -> list[float]:
    return asyncio.run(engine.score(prompt, labels))


def test_calls_in_flight_are_answered_each_its_own(engine: Engine) -> None:
    prompts = [chat("Hi"), transcript("Hi"), chat("Why? " * 20), transcript("x")]
    requests = [request(prompt, seed) for seed in range(5) for prompt in prompts]

    async def main() -> tuple[list[Completion], list[list[float]]]:
        replies = asyncio.gather(*map(engine.generate, requests))
        scores = asyncio.gather(*(engine.score(prompt, (" (A)", " (B)")) for prompt in prompts))
        return await replies, await scores

    replies, scores = asyncio.run(main())
    alone = [ask(engine, asked)[0] for asked in requests[:4] + requests[-4:]]
    assert [apart_from_reuse(reply) for reply in replies[:4] + replies[-4:]] == list(map(apart_from_reuse, alone))
    for prompt, found in zip(prompts, scores, strict=True):
        assert found == pytest.approx(score(engine, prompt, " (A)", " (B)"), abs=1e-4)


def test_the_same_seed_gives_the_same_reply_and_others_differ(engine: Engine) -> None:
    first, again, other = ask(engine, *(request(chat("Hi"), seed) for seed in (3, 3, 4)))
    assert first == again
    assert first.text != other.text
    assert (first.seed, other.seed, first.seeded) == (3, 4, True)


def test_what_was_not_computed_again_is_counted() -> None:
    engine = opened()
    long = "Why? " * 20
    first = ask(engine, *(request(transcript(long + end)) for end in ("a", "b", "c")))
    again = ask(engine, *(request(transcript(long + end)) for end in ("d", "e")))
    engine.close()
    begun = len(transcript(long).text.removesuffix("\n\nAssistant:"))  # one token a byte
    used = {reply.cached_tokens for reply in (*first[1:], *again)}
    assert first[0].cached_tokens == 0
    assert len(used) == 1
    assert begun - 16 < used.pop() <= begun


def test_a_greedy_reply_does_not_depend_on_the_seed(engine: Engine) -> None:
    replies = ask(engine, *(request(chat("Hi"), seed, temperature=0.0) for seed in range(3)))
    assert len({reply.text for reply in replies}) == 1


def test_a_reply_is_the_model_s_own_greedy_one(engine: Engine, tokenizer: Any) -> None:
    """From the words of the prompt to the words of the reply, against transformers."""
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=torch.float32)
    for prompt in (chat("How are you?"), transcript("How are you?")):
        ids = encode(tokenizer, prompt_text(tokenizer, prompt), prompt)
        whole = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=16, pad_token_id=0)[0, len(ids) :]
        (reply,) = ask(engine, request(prompt, max_tokens=16, temperature=0.0))
        assert reply.text == tokenizer.decode(whole, skip_special_tokens=True).strip()
        assert reply.prompt_tokens == len(ids)


def test_counts_and_ends(engine: Engine) -> None:
    replies = ask(engine, *(request(chat("Hi"), seed, max_tokens=60) for seed in range(16)))
    assert {reply.finish for reply in replies} == {"stop", "length"}
    for reply in replies:
        assert (reply.tokens == 60) is (reply.finish == "length")
        assert reply.prompt_tokens == len("<user\nHi>\n<assistant\n")  # one byte or special token each


def test_text_holds_no_special_tokens_and_raw_holds_what_was_written(engine: Engine, tokenizer: Any) -> None:
    replies = ask(engine, *(request(chat("Hi"), seed, max_tokens=60) for seed in range(16)))
    special = tokenizer.all_special_tokens
    assert any(token in reply.raw for reply in replies for token in special)
    for reply in replies:
        assert not any(token in reply.text for token in special)
        assert "<|im_end|>" not in reply.raw
        stripped = reply.raw
        for token in special:
            stripped = stripped.replace(token, "")
        assert reply.text == stripped.strip()


def test_a_reply_ends_before_any_stop_string(engine: Engine) -> None:
    """Found in a reply without stops, a piece of it is then made a stop."""
    (free,) = ask(engine, request(transcript("Hi"), 5, max_tokens=40))
    stop = next(free.raw[at : at + 2] for at in range(12, 30) if free.raw[at : at + 2].isascii())
    before = free.raw.index(stop)
    (cut,) = ask(engine, request(transcript("Hi", ("never met", stop)), 5, max_tokens=40))
    assert cut.finish == "stop"
    assert cut.text == free.raw[:before].strip()
    assert stop in cut.raw
    assert cut.tokens < free.tokens


@pytest.mark.parametrize("prompt", [chat("Which?"), transcript("Which?")], ids=["chat", "transcript"])
@pytest.mark.parametrize("labels", [(" (A)", " (B)"), (" yes", " no", " not sure"), ("A", "B", "C", "D")])
def test_scores_compare_labels_as_a_full_forward_pass_does(
    engine: Engine, tokenizer: Any, prompt: Rendered, labels: Sequence[str]
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=torch.float32)
    text = prompt_text(tokenizer, prompt)
    given, *whole = (encode(tokenizer, text + label, prompt) for label in ("", *labels))
    question = as_question(given, whole)
    exact = []
    for tail in question.tails:
        ids = [*question.ids, *tail]
        with torch.inference_mode():
            logp = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        exact.append(sum(logp[len(question.ids) + at - 1, token].item() for at, token in enumerate(tail)))
    assert score(engine, prompt, *labels) == pytest.approx(exact, abs=1e-4)


def test_the_score_of_one_label_is_its_whole_log_probability(engine: Engine, tokenizer: Any) -> None:
    answer = "Go away, please."
    whole = score(engine, transcript("Hi"), answer)[0]
    parts = [
        score(engine, Rendered(text=transcript("Hi").text + answer[:at]), answer[at])[0] for at in range(len(answer))
    ]
    assert whole == pytest.approx(sum(parts), abs=1e-3)
    assert whole < 0


def test_the_probabilities_of_all_single_bytes_are_at_most_one(engine: Engine) -> None:
    labels = [chr(code) for code in range(32, 127)]
    assert 0.05 < sum(map(math.exp, score(engine, chat("Hi"), *labels))) < 1


def test_labels_that_do_not_differ_are_an_error_of_the_engine(engine: Engine) -> None:
    for labels in ((" A", " AB"), (" A", " A"), ("",)):
        with pytest.raises(EngineError, match="a label is empty, or the beginning of another"):
            score(engine, chat("Hi"), *labels)


@pytest.mark.parametrize(("length", "max_tokens"), [(9000, 1), (8000, 500), (10, 8192)])
def test_what_exceeds_the_context_is_an_error_that_says_what_to_lower(
    engine: Engine, length: int, max_tokens: int
) -> None:
    with pytest.raises(ItemFailed, match=r"exceed the model's 8192; lower few_shot, max_tokens, or the length"):
        ask(engine, request(transcript("x" * length), max_tokens=max_tokens))


def test_a_label_that_exceeds_the_context_is_an_error(engine: Engine) -> None:
    with pytest.raises(ItemFailed, match="lower few_shot"):
        score(engine, transcript("Hi"), "x" * 9000)


def test_a_prompt_that_fills_the_context_is_answered(tmp_path: Path, tokenizer: Any) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=torch.float32)
    model.config.max_position_embeddings = 64
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    small = opened(str(tmp_path))
    prompt = transcript("x" * 30)
    room = 64 - len(prompt.text)
    assert ask(small, request(prompt, max_tokens=room))[0].tokens <= room
    with pytest.raises(ItemFailed, match="exceed the model's 64"):
        ask(small, request(prompt, max_tokens=room + 1))
    small.close()


def test_a_tokenizer_without_a_chat_template_asks_for_the_other_dialect(tmp_path: Path, tokenizer: Any) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=torch.float32)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    plain = opened(str(tmp_path))
    with pytest.raises(EngineError, match=r"has no chat template; give this model `dialect: transcript`"):
        ask(plain, request(chat("Hi")))
    assert ask(plain, request(transcript("Hi")))[0].tokens > 0
    plain.close()


@pytest.mark.parametrize("name", ["smolm", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_missing_model_is_met_by_the_aliases(name: str) -> None:
    with pytest.raises(EngineError, match=f"no model '{name}'") as caught:
        opened(name)
    assert all(alias in str(caught.value) for alias in ALIASES)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=rf"{tmp_path} holds no config\.json"):
        opened(str(tmp_path))


LONG = 8000
"""Tokens that take many seconds."""


class Watched:
    """An engine whose every step can be seen, and that never ends a reply by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps, self.begun = 0, threading.Event()
        monkeypatch.setattr(Decoder, "_extend", self.extend)
        self.engine = opened(batch_size=2)

    def extend(self, row: Any, token: int, ended: Any) -> None:
        row.tokens.append(token)
        self.steps += 1
        self.begun.set()


async def begun(watched: Watched) -> None:
    while not watched.begun.is_set():
        await asyncio.sleep(0.01)


def test_closing_ends_the_batch_that_runs_and_tells_its_callers_and_those_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch)

    async def main() -> list[Any]:
        replies = [watched.engine.generate(request(chat("Hi"), seed, max_tokens=LONG)) for seed in range(5)]
        calls = asyncio.gather(*replies, watched.engine.score(chat("Hi"), ("A", "B")), return_exceptions=True)
        await begun(watched)
        watched.engine.close()
        return await calls

    *replies, _ = asyncio.run(main())
    assert [type(reply) for reply in replies] == [EngineError] * 5
    assert {str(reply) for reply in replies} == {
        "the engine was closed while it was replying",
        "the engine is closed",
    }
    assert watched.steps < 2 * LONG


def test_a_loop_that_ends_does_not_wait_for_the_batch_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)

    async def main() -> None:
        call = asyncio.create_task(watched.engine.generate(request(chat("Hi"), max_tokens=LONG)))
        await begun(watched)
        assert not call.done()
        raise KeyError

    started = time.monotonic()
    with pytest.raises(KeyError):
        asyncio.run(main())
    assert time.monotonic() - started < 10
    assert watched.steps < LONG
    watched.engine.close()


def test_a_closed_engine_says_so_however_often_it_is_closed() -> None:
    engine = opened()
    for _ in range(2):
        engine.close()
        with pytest.raises(EngineError, match="the engine is closed"):
            ask(engine, request(chat("Hi")))
        with pytest.raises(EngineError, match="the engine is closed"):
            score(engine, chat("Hi"), "A", "B")


def test_an_error_in_one_call_leaves_the_others_alone(engine: Engine) -> None:
    async def main() -> list[Any]:
        calls = [request(chat("Hi"), 1), request(transcript("x" * 9000)), request(chat("Hi"), 2)]
        return await asyncio.gather(*map(engine.generate, calls), return_exceptions=True)

    first, failed, last = asyncio.run(main())
    assert isinstance(failed, ItemFailed)
    assert [first, last] == ask(engine, request(chat("Hi"), 1), request(chat("Hi"), 2))


def test_one_engine_serves_one_event_loop_after_another(engine: Engine) -> None:
    assert ask(engine, request(chat("Hi"), 1)) == ask(engine, request(chat("Hi"), 1))


def test_it_asks_for_more_calls_in_flight_than_one_batch_holds() -> None:
    engine = opened(batch_size=5)
    assert engine.concurrency > 5
    engine.close()


@pytest.mark.parametrize("rounds", [4])
def test_a_model_runs_one_batch_at_a_time(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """Replies and scores come in threads of their own; the model's attention is set for the batch that runs."""
    under_way, most = 0, 0

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            time.sleep(0.02)
            try:
                return method(*arguments)
            finally:
                under_way -= 1

        return call

    for name in ("sample", "score"):
        monkeypatch.setattr(Decoder, name, watched(getattr(Decoder, name)))
    prompt = Rendered(messages=(Message(role="user", content="Hi"),), reply_start="The answer is:")

    async def mixed() -> None:
        for _ in range(rounds):
            await asyncio.gather(
                engine.score(prompt, (" (A)", " (B)")), engine.generate(Request(prompt, 2, 0.0, 1.0, 0))
            )

    engine = open_engine(TransformersEngine(), ModelConfig(model=TINY))
    asyncio.run(mixed())
    engine.close()
    assert most == 1


def test_prompts_that_are_copied_for_labels_of_several_tokens_are_bounded() -> None:
    """Ten ratings after a long prompt are ten copies of its keys and values."""
    ratings = [[n, 5, 6] for n in range(10)]
    questions = [Question([7] * length, ratings) for length in (300, 300, 900, 900, 900, 40, 40)]
    parts = _bounded(questions)
    assert [question for part in parts for question in part] == questions
    assert [len(part) for part in parts] == [2, 1, 1, 1, 2]
    assert _bounded([Question([7] * 900, [[1], [2]])] * 50) == [[Question([7] * 900, [[1], [2]])] * 50]
