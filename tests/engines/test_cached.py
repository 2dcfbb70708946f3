"""A reply that was paid for once is not paid for again, and a cache never says what the engine would not have said."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.engine_config import EngineConfig, OpenAIEngine, ScriptedEngine, TransformersEngine, VllmEngine
from cai.engines.base import Request, open_engine
from cai.engines.cached import CachedEngine
from cai.errors import EngineError, ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion, Message

CHAT = Rendered(messages=(Message(role="user", content="Hi \N{SNOWMAN}"),), reply_start="Sure", stop=("\n\n",))
REQUEST = Request(CHAT, 20, 1.0, 1.0, 7)
SCRIPTED = ScriptedEngine()
MODEL = ModelConfig(model="some/model")


class Counting:
    """Replies by number; fails as often as it is told to; waits for `gate` where there is one."""

    concurrency = 3

    def __init__(self, failures: int = 0, gate: asyncio.Event | None = None, error: Exception | None = None) -> None:
        self.calls, self.closed, self.cancelled = 0, False, 0
        self._failures, self._gate, self._error = failures, gate, error or ItemFailed("no reply")

    async def generate(self, request: Request) -> Completion:
        await self._count()
        said = f"reply {self.calls}"
        return Completion(text=said, raw=said, finish="stop", prompt_tokens=3, tokens=2, seed=request.seed)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        await self._count()
        return [-math.inf, -0.1 - 0.2, -1e-320][: len(labels)]

    def close(self) -> None:
        self.closed = True

    async def _count(self) -> None:
        self.calls += 1
        try:
            await (self._gate.wait() if self._gate else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.calls <= self._failures:
            raise self._error


def cached(inner: Any, path: Path, config: EngineConfig = SCRIPTED, model: ModelConfig = MODEL) -> CachedEngine:
    return CachedEngine(inner, path / "cache" / "replies.sqlite", config, model)


def test_what_was_asked_once_is_not_asked_again_by_this_engine_or_the_next(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    for inner in (first, second):
        engine = cached(inner, tmp_path)
        replies = [asyncio.run(engine.generate(REQUEST)) for _ in range(3)]
        scores = [asyncio.run(engine.score(CHAT, (" (A)", " (B)", " (C)"))) for _ in range(3)]
        assert {reply.text for reply in replies} == {"reply 1"}
        assert scores == [[-math.inf, -0.1 - 0.2, -1e-320]] * 3
        engine.close()
    assert (first.calls, second.calls) == (2, 0)
    assert first.closed and second.closed


def test_the_whole_reply_comes_back(tmp_path: Path) -> None:
    class Thinking(Counting):
        async def generate(self, request: Request) -> Completion:
            odd = "\x00\ud7ff\U0001f600 'quoted'\r\n"
            return Completion(
                text=odd, raw=odd * 2, finish="length", prompt_tokens=9, tokens=8, seed=request.seed, seeded=False,
                reasoning="thoughts", cached_tokens=4,
            )  # fmt: skip

    direct = asyncio.run(Thinking().generate(REQUEST))
    for _ in range(2):
        engine = cached(Thinking(), tmp_path)
        assert asyncio.run(engine.generate(REQUEST)) == direct
        engine.close()


def test_a_greedy_reply_is_one_for_all_seeds_and_names_the_seed_asked_for(tmp_path: Path) -> None:
    inner = Counting()
    engine = cached(inner, tmp_path)
    greedy = replace(REQUEST, temperature=0.0)
    replies = [asyncio.run(engine.generate(replace(greedy, seed=seed))) for seed in range(4)]
    assert inner.calls == 1
    assert [reply.seed for reply in replies] == [0, 1, 2, 3]
    engine.close()


@pytest.mark.parametrize("error", [ItemFailed("no"), EngineError("gone"), RuntimeError("a bug")], ids=repr)
def test_a_failure_is_never_stored(tmp_path: Path, error: Exception) -> None:
    inner = Counting(failures=1, error=error)
    engine = cached(inner, tmp_path)
    with pytest.raises(type(error)):
        asyncio.run(engine.generate(REQUEST))
    assert asyncio.run(engine.generate(REQUEST)).text == "reply 2"
    engine.close()


def test_calls_for_the_same_key_in_flight_at_once_are_one_call(tmp_path: Path) -> None:
    async def many() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(REQUEST) for _ in range(50)))

    inner = Counting()
    engine = cached(inner, tmp_path)
    assert {reply.text for reply in asyncio.run(many())} == {"reply 1"}
    assert inner.calls == 1
    engine.close()


def test_a_cancelled_caller_does_not_break_the_others_and_the_last_one_takes_the_call_along(tmp_path: Path) -> None:
    async def scene() -> None:
        gate = asyncio.Event()
        inner = Counting(gate=gate)
        engine = cached(inner, tmp_path)
        first, second = (asyncio.create_task(engine.generate(REQUEST)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        assert first.cancelled() and inner.cancelled == 0
        second.cancel()
        await asyncio.sleep(0)
        third = asyncio.create_task(engine.generate(REQUEST))
        await asyncio.sleep(0.01)
        assert inner.cancelled == 1
        gate.set()
        assert (await third).text == "reply 2"
        engine.close()

    asyncio.run(scene())


def test_all_who_share_a_call_share_its_failure(tmp_path: Path) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(engine.generate(REQUEST) for _ in range(5)), return_exceptions=True)

    inner = Counting(failures=1)
    engine = cached(inner, tmp_path)
    assert [type(outcome) for outcome in asyncio.run(many())] == [ItemFailed] * 5
    assert asyncio.run(engine.generate(REQUEST)).text == "reply 2"
    engine.close()


TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
MESSAGES = st.lists(st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=TEXTS), max_size=3)
PROMPTS = st.builds(
    Rendered, messages=MESSAGES.map(tuple), text=TEXTS, reply_start=TEXTS, stop=st.lists(TEXTS, max_size=2).map(tuple)
)
REQUESTS = st.builds(
    Request,
    prompt=PROMPTS,
    max_tokens=st.integers(1, 4),
    temperature=st.sampled_from([0.5, 1.0, 1]),
    top_p=st.sampled_from([0.5, 1.0, 1]),
    seed=st.integers(0, 3),
)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory):
    engine = cached(Counting(), tmp_path_factory.mktemp("keys"))
    yield engine
    engine.close()


@given(one=REQUESTS, other=REQUESTS)
def test_two_requests_have_one_key_only_where_they_are_the_same(keyed: CachedEngine, one: Request, other: Request):
    assert (keyed.key(one) == keyed.key(other)) == (one == other)


@given(one=REQUESTS, other=REQUESTS, field=st.sampled_from(["prompt", "max_tokens", "temperature", "top_p", "seed"]))
def test_any_field_of_a_request_changes_the_key(keyed: CachedEngine, one: Request, other: Request, field: str) -> None:
    changed = replace(one, **{field: getattr(other, field)})
    assert (keyed.key(one) == keyed.key(changed)) == (getattr(one, field) == getattr(other, field))


LABELS = st.lists(TEXTS, max_size=3)


@given(prompts=st.tuples(PROMPTS, PROMPTS), labels=st.tuples(LABELS, LABELS), request=REQUESTS)
def test_the_prompt_and_the_labels_are_the_key_of_a_score(
    keyed: CachedEngine, prompts: tuple[Rendered, Rendered], labels: tuple[list[str], list[str]], request: Request
) -> None:
    one, other = (keyed.score_key(prompt, asked) for prompt, asked in zip(prompts, labels, strict=True))
    assert (one == other) == (prompts[0] == prompts[1] and labels[0] == labels[1])
    assert keyed.key(request) not in (one, other)


def key_of(path: Path, config: EngineConfig, model: ModelConfig = MODEL) -> str:
    engine = cached(Counting(), path, config, model)
    engine.close()
    return engine.key(REQUEST)


HTTP = OpenAIEngine(base_url="http://one:1")


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (SCRIPTED, {"latency": 1.0, "concurrency": 2, "cache": "elsewhere"}),
        (
            HTTP,
            {"base_url": "http://two", "key_env": "K", "concurrency": 1, "timeout": 1.0, "retries": 0, "cache": "c"},
        ),
        (TransformersEngine(), {"device": "cuda", "device_map": "auto", "batch_size": 1, "cache": "c"}),
        (VllmEngine(), {"max_model_len": 9, "tensor_parallel_size": 2, "kv_cache_gb": 1.0, "concurrency": 1}),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_knob_does_not_change_the_key(tmp_path: Path, config: EngineConfig, changes: dict[str, Any]) -> None:
    before = key_of(tmp_path, config)
    assert all(key_of(tmp_path, config.model_copy(update={name: value})) == before for name, value in changes.items())


def test_any_setting_that_changes_replies_changes_the_key(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    local = MODEL.model_copy(update={"model": str(weights)})
    keys = [
        key_of(tmp_path, SCRIPTED),
        key_of(tmp_path, HTTP),
        key_of(tmp_path, HTTP.model_copy(update={"extra": {"min_p": 0.1}})),
        key_of(tmp_path, TransformersEngine()),
        key_of(tmp_path, TransformersEngine(dtype="float16")),
        key_of(tmp_path, TransformersEngine(quantization="4bit")),
        key_of(tmp_path, VllmEngine()),
        key_of(tmp_path, VllmEngine(args={"enforce_eager": True})),
        *(key_of(tmp_path, SCRIPTED, MODEL.model_copy(update=change)) for change in (
            {"model": "other"}, {"adapter": "laid/on"}, {"thinking": True}, {"thinking": False},
        )),
        key_of(tmp_path, SCRIPTED, local),
    ]  # fmt: skip
    (weights / "model.safetensors").write_bytes(b"two")
    keys.append(key_of(tmp_path, SCRIPTED, local))
    assert len(set(keys)) == len(keys)
    spoken = MODEL.model_copy(update={"dialect": "transcript", "system": "Be kind."})
    assert key_of(tmp_path, SCRIPTED, spoken) == keys[0], "these are in the rendered prompt"


def hammer(path: Path, worker: int, start: Any) -> None:
    """One process of several: all want the same 300 replies, each in another order."""

    async def work() -> None:
        engine = CachedEngine(Counting(), path, SCRIPTED, MODEL)
        for number in range(300):
            await engine.generate(replace(REQUEST, seed=(number * 7 + worker * 75) % 300))
        engine.close()

    start.wait()
    asyncio.run(work())


def test_several_processes_may_write_one_file(tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    path, start = tmp_path / "new" / "shared.sqlite", spawned.Barrier(4)
    workers = [spawned.Process(target=hammer, args=(path, worker, start)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM replies").fetchone() == (300,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()
    inner = Counting()
    engine = CachedEngine(inner, path, SCRIPTED, MODEL)
    assert asyncio.run(engine.generate(replace(REQUEST, seed=299))).seed == 299
    assert inner.calls == 0
    engine.close()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE replies (key, reply)")
    file.close()


def damaged(path: Path) -> None:
    engine = CachedEngine(Counting(), path, SCRIPTED, MODEL)
    asyncio.run(engine.generate(REQUEST))
    engine.close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 5000)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_text("prompt,reply\n" * 100), "is no cache of this version, or is damaged"),
        (foreign, "an SQLite file of another program"),
        (damaged, "is damaged"),
        (lambda path: path.mkdir(), "cannot be read or written"),
    ],
    ids=["text", "foreign", "damaged", "folder"],
)
def test_a_file_that_is_no_cache_is_told_and_left_alone(tmp_path: Path, spoil: Any, told: str) -> None:
    path = tmp_path / "cache.sqlite"
    spoil(path)
    before = path.is_file() and path.read_bytes()
    inner = Counting()
    with pytest.raises(EngineError, match=told) as error:
        asyncio.run(CachedEngine(inner, path, SCRIPTED, MODEL).generate(REQUEST))
    assert str(path) in str(error.value)
    assert "delete" in str(error.value) or "engine.cache=null" in str(error.value)
    assert inner.closed or spoil is damaged
    assert (path.is_file() and path.read_bytes()) == before or spoil is damaged


def test_a_reply_of_another_version_is_told(tmp_path: Path) -> None:
    engine = cached(Counting(), tmp_path)
    asyncio.run(engine.generate(REQUEST))
    with sqlite3.connect(tmp_path / "cache" / "replies.sqlite") as file:
        file.execute("UPDATE replies SET reply = '{\"words\": 3}'")
    file.close()
    with pytest.raises(EngineError, match=r"what it holds cannot be read.*delete this one"):
        asyncio.run(engine.generate(REQUEST))
    engine.close()


def test_a_full_disk_stops_the_run_with_what_to_do(tmp_path: Path) -> None:
    engine = cached(Counting(), tmp_path)
    pages = engine._replies._file
    pages.execute(f"PRAGMA max_page_count = {pages.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(EngineError, match=r"database or disk is full.*room.*engine\.cache=null"):
        asyncio.run(engine.generate(replace(REQUEST, prompt=Rendered(text="x"))))
        for seed in range(500):
            asyncio.run(engine.generate(replace(REQUEST, seed=seed)))
    engine.close()


def test_the_file_is_closed_even_where_the_engine_does_not_close(tmp_path: Path) -> None:
    class Stuck(Counting):
        def close(self) -> None:
            raise EngineError("stuck")

    engine = cached(Stuck(), tmp_path)
    with pytest.raises(EngineError, match="stuck"):
        engine.close()
    with pytest.raises(sqlite3.ProgrammingError):
        engine._replies._file.execute("SELECT 1")


def test_a_recipe_asks_for_it_by_one_setting(tmp_path: Path) -> None:
    config = ScriptedEngine(cache=str(tmp_path / "c.sqlite"), concurrency=5)
    engine, plain = open_engine(config, MODEL), open_engine(SCRIPTED, MODEL)
    assert isinstance(engine, CachedEngine) and engine.concurrency == 5
    assert [asyncio.run(engine.generate(REQUEST)) for _ in range(2)] == [asyncio.run(plain.generate(REQUEST))] * 2
    engine.close()


def test_how_quick_a_hit_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def hits(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            await engine.generate(request)
        return count / (time.perf_counter() - started)

    engine = cached(Counting(), tmp_path)
    request = replace(REQUEST, prompt=Rendered(messages=(Message(role="user", content="word " * 400),)))
    asyncio.run(engine.generate(request))
    rate = asyncio.run(hits(3000))
    with capsys.disabled():
        print(f"\ncache: {rate:,.0f} hits/s, {1e6 / rate:.0f} us each")
    engine.close()
