"""Engines are named here and opened where they are asked; templates travel as their texts."""

import pickle
import shutil
from pathlib import Path

import pytest

from cai.engine_config import EngineConfig, OpenAIEngine, ScriptedEngine, TransformersEngine, VllmEngine
from cai.engines.pool import Pool
from cai.engines.scripted import ScriptedBackend
from cai.executors.deferred import deferred, own_pool
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.records import Message
from cai.resources import shipped

MODEL = ModelConfig(model="tiny-random")


def test_nothing_is_opened_until_it_is_asked_or_sent() -> None:
    opened: list[str] = []
    with Pool(opened.append) as pool:
        one, other = deferred([(ScriptedEngine(), MODEL), (ScriptedEngine(latency=0.01), MODEL)], 0, pool)
        assert opened == []
        there = pickle.loads(pickle.dumps([one, other, one]))
        assert opened == []  # the other process opened them, not this pool
        assert pool.run(
            one.score(Templates("chat").render("respond", messages=(Message(role="user", content="Why?"),)), ("a",))
        )
        assert len(opened) == 2
    assert all(isinstance(engine, ScriptedBackend) for engine in there)
    assert there[0] is there[2] is not there[1]
    own_pool().close()


@pytest.mark.parametrize(
    ("config", "in_flight", "gpus"),
    [
        (ScriptedEngine(concurrency=7), 7, 0),
        (OpenAIEngine(base_url="http://localhost:1/v1", concurrency=9), 9, 0),
        (TransformersEngine(batch_size=5), 10, 1),
        (VllmEngine(concurrency=11, tensor_parallel_size=2, data_parallel_size=2), 11, 4),
    ],
)
def test_what_it_needs_is_told_by_its_settings(config: EngineConfig, in_flight: int, gpus: int) -> None:
    with Pool(print) as pool:
        (one,) = deferred([(config, MODEL)], 0, pool)
        assert one.concurrency == in_flight
        assert one.gpus == gpus  # pyright: ignore


def test_folders_travel_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    with Pool(print) as pool:
        wanted = [(ScriptedEngine(cache="replies.sqlite"), ModelConfig(model="model", adapter="owner/adapter"))]
        (one,) = deferred(wanted, 0, pool)
        _, sent = one.__reduce__()
        assert isinstance(sent, tuple) and isinstance(sent[0], list)
        ((config, model),) = sent[0]
    assert (config.cache, model.model, model.adapter) == (
        str(tmp_path / "replies.sqlite"),
        str(tmp_path / "model"),
        "owner/adapter",
    )


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_templates_render_the_same_where_their_folder_is_not(tmp_path: Path, dialect: str) -> None:
    own = tmp_path / dialect
    shutil.copytree(shipped("prompts") / "templates" / dialect, own)
    (own / "respond.jinja").write_text("{# mine #}" + (own / "respond.jinja").read_text("utf-8"), "utf-8")
    here = Templates(dialect, tmp_path, "Be kind.")
    sent = pickle.dumps(here)
    shutil.rmtree(tmp_path)
    there, asked = pickle.loads(sent), (Message(role="user", content="Why? \u2028 {{ x }}"),)
    assert there.render("respond", messages=asked) == here.render("respond", messages=asked)
    assert there.digest("respond", "critique") == here.digest("respond", "critique")
    assert pickle.loads(pickle.dumps(there)).digest("revise") == here.digest("revise")
