"""A model over HTTP: what is sent, what is read, and that no fault of a server loses or invents an answer."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest
from faulty_server import BODIES, FaultyServer, choice
from pydantic import ValidationError

from cai.engine_config import OpenAIEngine
from cai.engines.base import Request, open_engine
from cai.engines.http import backoff, retry_after
from cai.engines.openai import OpenAIBackend
from cai.errors import EngineError, ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Message

Result = TypeVar("Result")
KEY = "sk-planted-4711"
CHAT = Rendered(messages=(Message(role="system", content="Be kind."), Message(role="user", content="Why?")))
TRANSCRIPT = Rendered(text="\n\nHuman: Why?\n\nAssistant:", stop=("\n\nHuman:",))
LABELS = (" (A)", " (B)")


class Pauses(list[float]):
    """Notes the pauses asked for, and makes none."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def planted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def through(
    server: FaultyServer,
    use: Callable[[OpenAIBackend], Awaitable[Result]],
    pauses: Pauses | None = None,
    model: dict[str, Any] | None = None,
    **options: Any,
) -> Result:
    """What `use` makes of an engine on a running server."""

    async def main() -> Result:
        async with server.running():
            config = OpenAIEngine.model_validate({"base_url": server.base_url, **options})
            engine = OpenAIBackend(config, ModelConfig.model_validate({"model": "smol", **(model or {})}), pause)
            try:
                return await use(engine)
            finally:
                engine.close()

    pause = pauses if pauses is not None else Pauses()
    return asyncio.run(main())


def asked(prompt: Rendered = CHAT, seed: int = 5) -> Request:
    return Request(prompt, 16, 0.7, 0.9, seed)


def generate(server: FaultyServer, prompt: Rendered = CHAT, **options: Any) -> Any:
    return through(server, lambda engine: engine.generate(asked(prompt)), **options)


def score(server: FaultyServer, prompt: Rendered, labels: tuple[str, ...] = LABELS, **options: Any) -> list[float]:
    return through(server, lambda engine: engine.score(prompt, labels), **options)


SAMPLING = {"model": "smol", "max_tokens": 16, "temperature": 0.7, "top_p": 0.9, "seed": 5}
TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]


def test_a_chat_is_sent_and_read() -> None:
    server = FaultyServer()
    reply = generate(server)
    assert server.requests[0][:2] == ("chat/completions", {**SAMPLING, "messages": TURNS})
    assert (reply.text, reply.raw) == ("You asked: Why?", " You asked: Why? ")
    assert (reply.prompt_tokens, reply.tokens, reply.cached_tokens) == (7, 3, 2)
    assert (reply.finish, reply.seed, reply.seeded, reply.reasoning) == ("stop", 5, True, "")


def test_a_transcript_is_sent_and_read() -> None:
    server = FaultyServer()
    reply = generate(server, TRANSCRIPT)
    body = {**SAMPLING, "prompt": TRANSCRIPT.text, "stop": ["\n\nHuman:"]}
    assert server.requests[0][:2] == ("completions", body)
    assert reply.text == "You asked:"  # a server that passed over the stop string is corrected
    assert "Human" in reply.raw


@pytest.mark.parametrize("thinking", [None, True, False])
def test_a_forced_start_is_continued_and_leaves_no_room_for_thoughts(thinking: bool | None) -> None:
    server = FaultyServer()
    generate(server, Rendered(messages=CHAT.messages, reply_start="Because"), model={"thinking": thinking})
    more = {} if thinking is None else {"chat_template_kwargs": {"enable_thinking": False}}
    assert server.bodies[0] == {
        **SAMPLING,
        **more,
        "messages": [*TURNS, {"role": "assistant", "content": "Because"}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_and_extra_fields_are_sent_together(thinking: bool) -> None:
    server = FaultyServer()
    extra = {"min_p": 0.05, "top_p": None, "chat_template_kwargs": {"documents": []}}
    generate(server, model={"thinking": thinking}, extra=extra)
    kwargs = {"enable_thinking": thinking, "documents": []}
    assert server.bodies[0] == {**SAMPLING, **extra, "messages": TURNS, "chat_template_kwargs": kwargs}


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "Yes.", "reasoning_content": " Hm. "}, "Yes.", "Hm."),
        ({"content": "Yes.", "reasoning": "Hm."}, "Yes.", "Hm."),
        ({"content": "<think>\nHm.\n</think>\n\nYes."}, "Yes.", "Hm."),
        ({"content": "Hm.\n</think>\n\nYes."}, "Yes.", "Hm."),
        ({"content": None, "reasoning": "Hm."}, "", "Hm."),
        ({"content": ""}, "", ""),
    ],
)
def test_thoughts_are_kept_apart(message: dict[str, Any], text: str, reasoning: str) -> None:
    reply = generate(FaultyServer(reply={"choices": [{"message": message, "finish_reason": "length"}]}))
    assert (reply.text, reply.reasoning, reply.finish) == (text, reasoning, "length")
    assert reply.raw == (message["content"] or "")
    assert (reply.prompt_tokens, reply.tokens, reply.cached_tokens) == (0, 0, 0)


PASSING = ["408", "409", "425", "429", "500", "502", "503", "529", "hang", "cut", *(set(BODIES) - {"filter"})]


@pytest.mark.parametrize("fault", sorted(PASSING))
def test_a_passing_fault_is_tried_again(fault: str) -> None:
    server, pauses = FaultyServer(fault, fault), Pauses()
    reply = generate(server, pauses=pauses, timeout=0.5 if fault == "hang" else 30)
    assert reply.text == "You asked: Why?"
    assert len(server.requests) == 3 and server.bodies[0] == server.bodies[2]
    assert len(pauses) == 2 and pauses[0] <= 0.5 and pauses[1] <= 1.0


@pytest.mark.parametrize("fault", sorted(PASSING))
def test_a_lasting_fault_fails_this_item(fault: str) -> None:
    server = FaultyServer(*[fault] * 9)
    with pytest.raises(ItemFailed, match=r"\(tried 3 times\)") as caught:
        generate(server, timeout=0.1 if fault == "hang" else 30, retries=2)
    assert len(server.requests) == 3
    no_key_in(caught.value)


def test_a_server_that_is_not_there_fails_this_item() -> None:
    async def main() -> None:
        engine = OpenAIBackend(OpenAIEngine(base_url="http://127.0.0.1:9/v1"), ModelConfig(model="m"), Pauses())
        with pytest.raises(ItemFailed, match="connection failed"):
            await engine.generate(asked())
        engine.close()

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["400", "413", "422", "filter"])
def test_a_refused_request_fails_at_once(fault: str) -> None:
    server = FaultyServer(fault)
    with pytest.raises(ItemFailed, match=r"refused, and you sent Bearer \[key\]|content filter") as caught:
        generate(server)
    assert len(server.requests) == 1
    no_key_in(caught.value)


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("401", "OPENAI_API_KEY (the key that was sent)"),
        ("403", "may use 'smol'"),
        ("404", "base_url, and that the server knows the model 'smol'"),
        ("308", "elsewhere (/v2/)"),
    ],
)
def test_a_refused_client_ends_the_run_and_says_what_to_check(fault: str, advice: str) -> None:
    server = FaultyServer(fault)
    with pytest.raises(EngineError) as caught:
        generate(server)
    assert not isinstance(caught.value, ItemFailed)
    assert advice in str(caught.value) and len(server.requests) == 1
    no_key_in(caught.value)


def no_key_in(error: BaseException | None) -> None:
    while error is not None:
        assert KEY not in str(error) and KEY not in repr(error)
        error = error.__cause__ or error.__context__


def test_the_key_is_sent_and_shown_nowhere() -> None:
    server = FaultyServer()

    async def use(engine: OpenAIBackend) -> None:
        reply = await engine.generate(asked())
        assert KEY not in repr(engine) + reply.model_dump_json()

    through(server, use)
    assert server.requests[0][2]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("spelled", [r"planted\/key+abc", r"planted\u002fkey\u002Babc", "planted/key+abc"])
def test_a_key_that_a_server_spells_with_escapes_is_cut_out_all_the_same(
    monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted/key+abc")
    answer = f'{{"choices": [{{"message": {{"content": "You sent {spelled}."}}, "finish_reason": "stop"}}]}}'
    said = [answer, f'["{spelled}"]', f'cut {{"detail": "{spelled}']
    for name, body in zip(("one", "two", "three"), said, strict=True):
        monkeypatch.setitem(BODIES, name, body.encode())

    async def use(engine: OpenAIBackend) -> None:
        assert (await engine.generate(asked())).text == "You sent [key]."
        for _ in ("two", "three"):
            with pytest.raises(ItemFailed, match=r"\[key\]") as caught:
                await engine.generate(asked())
            assert spelled not in str(caught.value)

    through(FaultyServer("one", "two", "three"), use, retries=0)


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    server = FaultyServer(None, "401")
    generate(server)
    assert "Authorization" not in server.requests[0][2]
    with pytest.raises(EngineError, match="which is not set"):
        generate(server)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": f"http://user:{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://127.0.0.1/v1?api_key={KEY}"},
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "http://127.0.0.1/v1", "extra": {"api_key": KEY}},
    ],
)
def test_a_secret_in_the_recipe_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"key_env|expected an address"):
        OpenAIEngine.model_validate(options)


def test_a_server_says_how_long_to_wait() -> None:
    pauses = Pauses()
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    generate(FaultyServer("429 7", f"503 {later}", "429 9999", "429 soon"), pauses=pauses)
    assert pauses[0] == 7 and 95 < pauses[1] < 101 and pauses[2] == 300 and pauses[3] < 5


def test_waits_are_bounded() -> None:
    assert [retry_after(text) for text in (None, "", "-3", "nan", "inf", "soon")] == [0, 0, 0, 0, 300, 0]
    assert all(backoff(tries) <= 60 for tries in (1, 8, 5000))


def test_a_storm_loses_and_mixes_up_nothing() -> None:
    rng = random.Random(0)
    faults = [f for f in PASSING if f != "hang"] + ["429 0.01"]
    server = FaultyServer(*(rng.choice(faults) if rng.random() < 0.3 else None for _ in range(600)), latency=0.001)

    async def use(engine: OpenAIBackend) -> list[str]:
        prompts = [Rendered(messages=(Message(role="user", content=f"Number {i}?"),)) for i in range(200)]
        return [reply.text for reply in await asyncio.gather(*(engine.generate(asked(p)) for p in prompts))]

    assert through(server, use, concurrency=16, retries=12) == [f"You asked: Number {i}?" for i in range(200)]
    assert len(server.requests) > 220 and server.most <= 16


def test_no_more_are_in_flight_than_allowed() -> None:
    server = FaultyServer(latency=0.25)

    async def use(engine: OpenAIBackend) -> None:
        assert engine.concurrency == 5
        await asyncio.gather(*(engine.generate(asked(seed=i)) for i in range(25)))

    through(server, use, concurrency=5, timeout=1.0)  # waiting for a free slot is no waiting for the server
    assert server.most == 5 and len(server.requests) == 25


@pytest.mark.parametrize("fault", ["hang", "500"])
def test_cancelling_passes_through_at_once(fault: str) -> None:
    async def use(engine: OpenAIBackend) -> float:
        task = asyncio.ensure_future(engine.generate(asked()))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    class Sleep(Pauses):
        async def __call__(self, seconds: float) -> None:
            await asyncio.sleep(30)

    assert through(FaultyServer(fault), use, pauses=Sleep()) < 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("when", ["unused", "inside", "between", "after"])
def test_closing_leaves_nothing_open(when: str) -> None:
    server = FaultyServer()
    engine: Any = None

    async def opened() -> None:
        async with server.running():
            nonlocal engine
            engine = open_engine(OpenAIEngine(base_url=server.base_url), ModelConfig(model="m"))
            if when != "unused":
                await engine.generate(asked())
            if when == "inside":
                engine.close()

    with asyncio.Runner() as runner:
        runner.run(opened())
        if when == "between":
            engine.close()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        asyncio.run(engine.generate(asked()))
    del engine
    gc.collect()


def test_closing_ends_the_calls_that_wait() -> None:
    async def use(engine: OpenAIBackend) -> list[Any]:
        calls = [asyncio.ensure_future(engine.generate(asked(seed=i))) for i in range(4)]
        await asyncio.sleep(0.1)
        engine.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    results = through(FaultyServer(*["hang"] * 4), use, concurrency=2)
    assert all(isinstance(result, EngineError) for result in results)


def chat_tokens(*top: tuple[str, float]) -> FaultyServer:
    entries = [{"token": text, "logprob": value, "bytes": None} for text, value in top]
    content = [{"token": "A", "logprob": -1.0, "top_logprobs": entries}]
    return FaultyServer(reply={"choices": [{**choice({}, "A", "length"), "logprobs": {"content": content}}]})


def text_tokens(*top: tuple[str, float]) -> FaultyServer:
    logprobs = {"tokens": ["A"], "token_logprobs": [-1.0], "text_offset": [3], "top_logprobs": [dict(top)]}
    return FaultyServer(reply={"choices": [{**choice({"prompt": ""}, "A", "length"), "logprobs": logprobs}]})


def test_labels_of_a_chat_continue_its_forced_start() -> None:
    server = chat_tokens(("A", -1.0), ("B", -2.0))
    prompt = Rendered(messages=CHAT.messages, reply_start="The answer is:")
    assert score(server, prompt, model={"thinking": True}, extra={"min_p": 0.1}, top_logprobs=5) == [-1.0, -2.0]
    assert server.requests[0][:2] == (
        "chat/completions",
        {
            "model": "smol",
            "messages": [*TURNS, {"role": "assistant", "content": "The answer is: ("}],
            "continue_final_message": True,
            "add_generation_prompt": False,
            "chat_template_kwargs": {"enable_thinking": False},
            "max_tokens": 1,
            "temperature": 0.0,
            "min_p": 0.1,
            "logprobs": True,
            "top_logprobs": 5,
        },
    )


def test_labels_of_a_chat_without_a_start_begin_the_reply() -> None:
    server = chat_tokens(("A", -1.0), ("B", -2.0))
    score(server, CHAT)
    assert server.bodies[0]["messages"][-1] == {"role": "assistant", "content": "("}
    server = chat_tokens(("yes", -1.0), ("no", -2.0))
    assert score(server, CHAT, (" yes", " no"), model={"thinking": True}) == [-1.0, -2.0]
    assert server.bodies[0]["messages"] == TURNS and "continue_final_message" not in server.bodies[0]
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_labels_of_a_transcript_follow_its_text() -> None:
    server = text_tokens(("A", -1.0), ("B", -2.0))
    assert score(server, TRANSCRIPT) == [-1.0, -2.0]
    body = {"model": "smol", "prompt": TRANSCRIPT.text + " (", "max_tokens": 1, "temperature": 0.0, "logprobs": 20}
    assert server.requests[0][:2] == ("completions", body)


@pytest.mark.parametrize("tokens", [chat_tokens, text_tokens])
def test_a_label_is_the_sum_of_its_spellings(tokens: Callable[..., FaultyServer]) -> None:
    top = [("A", math.log(0.3)), ("A)", math.log(0.2)), ("A).", math.log(0.1)), ("An", -1.0), (" A", -1.0), ("", -1.0)]
    a, b = score(tokens(*top, ("B", -9999.0), ("a", -1.0)), CHAT if tokens is chat_tokens else TRANSCRIPT)
    assert a == pytest.approx(math.log(0.6)) and b == -math.inf


def test_a_token_that_begins_two_labels_tells_nothing() -> None:
    top = [("1", -1.0), ("10", -2.0), ("12", -3.0), ("10)", -4.0)]
    scores = score(text_tokens(*top), TRANSCRIPT, (" (10)", " (12)", " (7)"))
    assert scores == [pytest.approx(math.log(math.exp(-2) + math.exp(-4))), -3.0, -math.inf]
    scores = score(text_tokens((" yes", -1.0), (" no", -2.0), ("yes", -3.0)), TRANSCRIPT, (" yes", " no"))
    assert scores == [-1.0, -2.0]


@pytest.mark.parametrize("labels", [(" (A)", " (A)"), (" yes", " yesterday"), ("", "a")])
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[str, str]) -> None:
    with pytest.raises(EngineError, match="expected labels that differ"):
        score(FaultyServer(), CHAT, labels)


@pytest.mark.parametrize("logprobs", [{"content": []}, {"content": None}, {"top_logprobs": []}])
def test_no_token_is_no_label(logprobs: dict[str, Any]) -> None:
    server = FaultyServer(reply={"choices": [{**choice({}, ""), "logprobs": logprobs}]})
    assert score(server, CHAT) == [-math.inf, -math.inf]


def test_a_server_without_log_probabilities_is_named() -> None:
    with pytest.raises(EngineError, match="no log-probabilities"):
        score(FaultyServer(), CHAT)
    with pytest.raises(ItemFailed, match="content filter"):
        score(FaultyServer("filter"), CHAT)


def echoed(tokens: list[str], values: list[float | None]) -> FaultyServer:
    logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": [0] * len(tokens), "top_logprobs": None}
    return FaultyServer(reply={"choices": [{"text": "".join(tokens), "finish_reason": "length", "logprobs": logprobs}]})


@pytest.mark.parametrize(
    "tokens", [["<s>", "Why", "?", " Be", "cause", " so"], ["<s>", "Wh", "y", "? Be", "cause", "."]]
)
def test_an_answer_is_scored_by_its_own_tokens(tokens: list[str]) -> None:
    server = echoed(tokens, [None, -4.0, -2.0, -1.0, -0.5, -8.0])
    assert score(server, Rendered(text="Why?"), (" Because",)) == [-1.5]
    assert server.bodies[0] == {
        "model": "smol", "prompt": "Why? Because", "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1,
    }  # fmt: skip


def test_an_answer_that_the_tokens_do_not_spell_is_not_scored() -> None:
    with pytest.raises(ItemFailed, match="do not spell"):
        score(echoed(["Why", "?", "Because", "."], [None, -1.0, -1.0, -1.0]), Rendered(text="Why?"), (" Because",))
    with pytest.raises(EngineError, match="type vllm or transformers"):
        score(FaultyServer(), CHAT, ("Because",))


def test_what_json_cannot_hold_is_not_sent() -> None:
    with pytest.raises(ItemFailed, match="cannot be written as JSON"):
        generate(FaultyServer(), Rendered(text="half a pair: \ud83d"))


def test_the_environments_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from cai.engines.http import _proxy

    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    monkeypatch.setenv("no_proxy", "inside.invalid")
    assert _proxy("http://there.invalid/v1") == "http://proxy.invalid:1"
    assert _proxy("http://inside.invalid/v1") is None
    assert generate(FaultyServer()).text == "You asked: Why?"
