"""Models are loaded once, kept while they fit, and gone when the memory is needed."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cai.engine_config import EngineConfig, OpenAIEngine, ScriptedEngine, TransformersEngine, VllmEngine
from cai.engines import pool as pools
from cai.engines.memory import free_memory
from cai.engines.pool import Pool
from cai.errors import EngineError
from cai.models import ModelConfig

TORCH, VLLM, HTTP = TransformersEngine(), VllmEngine(), OpenAIEngine(base_url="http://h")
SMALL = 1_000_000
BYTES = round(SMALL * 4 * 1.2)


class Fake:
    """An engine that takes memory of the machine."""

    def __init__(self, machine: Machine, config: EngineConfig, model: ModelConfig, share: float) -> None:
        self.name, self.share, self._machine = model.model, share, machine
        self._takes = pools.size(config, model) or 0
        machine.free -= self._takes

    def close(self) -> None:
        self._machine.free += self._takes
        self._machine.closed.append(self.name)
        if self.name in self._machine.stuck:
            raise EngineError(f"{self.name} is stuck")


class Machine:
    """What there is room for, and what was opened and closed, in order."""

    def __init__(self) -> None:
        self.free, self.missing, self.stuck = 10 * BYTES, set[str](), set[str]()
        self.opened, self.closed = list[str](), list[str]()

    def open(self, config: EngineConfig, model: ModelConfig, share: float = 1.0) -> Any:
        if model.model in self.missing:
            raise EngineError(f"no model {model.model}")
        self.opened.append(model.model)
        return Fake(self, config, model, share)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(pools, "open_engine", made.open)
    monkeypatch.setattr(pools, "parameters", lambda name: None if name.startswith("unknown") else SMALL)
    return made


@pytest.fixture
def pool(machine: Machine):
    with Pool(lambda name: None, lambda: machine.free) as made:
        yield made


def names(*wanted: str, config: EngineConfig = TORCH) -> list[Any]:
    return [(config, ModelConfig(model=name)) for name in wanted]


def test_what_is_asked_for_twice_is_loaded_once(pool: Pool, machine: Machine) -> None:
    one, other, again = pool.engines(names("a", "b", "a"))
    assert one is again and one is not other
    assert pool.engines(names("b")) == [other]
    assert machine.opened == ["a", "b"]


def test_dialect_and_system_prompt_need_no_model_of_their_own(pool: Pool, machine: Machine) -> None:
    spoken = ModelConfig(model="a", dialect="transcript", system="Be kind.")
    one, other = pool.engines([*names("a"), (TORCH, spoken)])
    assert one is other


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (TransformersEngine(batch_size=1), ModelConfig(model="a")),
        (TransformersEngine(cache="c.sqlite"), ModelConfig(model="a")),
        (TORCH, ModelConfig(model="a", adapter="b")),
        (TORCH, ModelConfig(model="a", thinking=False)),
    ],
    ids=["knob", "cache", "adapter", "thinking"],
)
def test_other_settings_are_another_engine(
    pool: Pool, machine: Machine, config: EngineConfig, model: ModelConfig
) -> None:
    one, other = pool.engines([*names("a"), (config, model)])
    assert one is not other


def test_a_model_is_kept_while_it_fits(pool: Pool, machine: Machine) -> None:
    pool.engines(names("a"))
    pool.engines(names("b"))
    pool.engines(names("a"))
    assert machine.opened == ["a", "b"] and machine.closed == []


def test_the_oldest_that_is_not_needed_goes_first_and_no_more_than_must(pool: Pool, machine: Machine) -> None:
    machine.free = 3 * BYTES + 1
    pool.engines(names("a", "b", "c"))
    pool.engines(names("a", "d"))
    assert machine.closed == ["b"]
    pool.engines(names("e"))
    assert machine.closed == ["b", "a"]


def test_a_model_of_unknown_size_gets_all_the_room_there_is(pool: Pool, machine: Machine) -> None:
    pool.engines([*names("a", "b"), *names("far", config=HTTP)])
    pool.engines(names("unknown", "b"))
    assert machine.closed == ["a"]
    pool.engines(names("c"))
    assert machine.closed == ["a"], "there is room beside it"


@pytest.mark.parametrize("config", [HTTP, ScriptedEngine()], ids=["openai", "scripted"])
def test_what_runs_elsewhere_needs_no_room_and_is_not_closed_for_it(
    pool: Pool, machine: Machine, config: EngineConfig
) -> None:
    machine.free = BYTES + 1
    pool.engines(names("unknown far", config=config))
    pool.engines(names("a"))
    pool.engines(names("unknown farther", config=config))
    assert machine.closed == []
    pool.engines(names("b"))
    assert machine.closed == ["a"]


def shares(engines: Any) -> list[float]:
    return [engine.share for engine in engines]


def test_two_that_plan_their_memory_share_it(pool: Pool) -> None:
    assert shares(pool.engines(names("a", "b", "a", config=VLLM))) == [0.5, 0.5, 0.5]


def test_one_that_planned_all_the_memory_makes_room_for_a_second(pool: Pool, machine: Machine) -> None:
    assert shares(pool.engines(names("a", config=VLLM))) == [1.0]
    assert shares(pool.engines(names("a", "b", config=VLLM))) == [0.5, 0.5]
    assert machine.closed == ["a"] and machine.opened == ["a", "a", "b"]
    assert shares(pool.engines(names("b", config=VLLM))) == [0.5], "it is open, and needs no more"
    assert machine.closed == ["a"]


def test_room_is_left_for_models_that_are_loaded_beside_them(pool: Pool) -> None:
    assert shares(pool.engines(names("a", "b", config=VLLM), beside=2)) == [0.25, 0.25]


def test_one_not_wanted_gives_its_share_back(pool: Pool, machine: Machine) -> None:
    pool.engines(names("a", "b", config=VLLM))
    assert shares(pool.engines(names("b", "c", config=VLLM))) == [0.5, 0.5]
    assert machine.closed == ["a"]


def test_one_that_plans_leaves_room_for_one_that_does_not(pool: Pool, machine: Machine) -> None:
    (planned,) = pool.engines(names("judge", config=VLLM))
    assert shares([planned]) == [1.0]
    judge, _, _ = pool.engines([*names("judge", config=VLLM), *names("policy"), *names("far", config=HTTP)])
    assert shares([judge]) == [0.5] and machine.closed == ["judge"]


def test_a_server_takes_no_share(pool: Pool, machine: Machine) -> None:
    pool.engines(names("a", config=VLLM))
    judge, _ = pool.engines([*names("a", config=VLLM), *names("far", config=HTTP)])
    assert shares([judge]) == [1.0] and machine.closed == []


def test_an_opening_that_fails_leaves_the_rest_as_it_was(pool: Pool, machine: Machine) -> None:
    machine.missing = {"b"}
    (before,) = pool.engines(names("a"))
    with pytest.raises(EngineError, match="no model b"):
        pool.engines(names("a", "c", "b"))
    machine.missing = set()
    one, *_ = pool.engines(names("a", "b", "c"))
    assert one is before and machine.opened == ["a", "c", "b"]
    assert machine.closed == []


def test_every_engine_is_closed_even_where_one_cannot_be(pool: Pool, machine: Machine) -> None:
    pool.engines(names("a", "b", "c"))
    machine.stuck = {"b"}
    with pytest.raises(EngineError, match="b is stuck"):
        pool.close()
    assert machine.closed == ["a", "b", "c"]
    pool.close()
    assert machine.closed == ["a", "b", "c"], "none is closed twice"


def test_the_end_of_the_pool_closes_all_and_each_load_is_announced(machine: Machine) -> None:
    told: list[str] = []
    with Pool(told.append, lambda: machine.free) as pool:
        pool.engines(names("a"))
        pool.engines(names("a", "b"))
    assert told == ["a", "b"] and machine.closed == ["a", "b"]


def test_all_work_is_done_in_one_loop(pool: Pool) -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert pool.run(loop()) is pool.run(loop())


def test_a_half_wide_number_takes_half_the_room(machine: Machine) -> None:
    model = ModelConfig(model="a")
    assert [pools.size(TransformersEngine(dtype=dtype), model) for dtype in ("auto", "float32")] == [BYTES] * 2
    assert pools.size(VllmEngine(dtype="bfloat16"), model) == BYTES // 2
    assert pools.size(TORCH, ModelConfig(model="unknown")) is None
    assert pools.size(HTTP, model) == 0


def test_free_memory_is_what_is_left_of_this_machines() -> None:
    import psutil

    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_free_memory_is_the_gpus_where_this_process_uses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, mem_get_info=lambda: (123, 456))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert free_memory() == 123
