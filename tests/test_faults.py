"""A run whose server fails in every way: all is done or recorded, and only what failed is asked again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.faults import STAGES, survived
from benchmarks.faulty_server import FAULTS, HARMLESS, TIMEOUT, FaultyServer
from benchmarks.pages import faulty
from cai.engine_config import OpenAIEngine
from cai.engines.base import Request
from cai.engines.openai import OpenAIBackend
from cai.errors import EngineError, ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Message

CHAT = Rendered(messages=(Message(role="user", content="Is item-7 safe?"),))
ROOT = Path(__file__).resolve().parent.parent
LABELS = (" (A)", " (B)")


def asked(server: FaultyServer, scored: bool, retries: int = 0) -> object:
    """What comes of one call."""

    async def call() -> object:
        config = OpenAIEngine(base_url=server.base_url, timeout=TIMEOUT, retries=retries)
        engine = OpenAIBackend(config, ModelConfig(model="served"), pause=lambda seconds: asyncio.sleep(0))
        try:
            return await (engine.score(CHAT, LABELS) if scored else engine.generate(Request(CHAT, 8, 1.0, 1.0, 1)))
        finally:
            engine.close()

    with server.running():
        return asyncio.run(call())


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in HARMLESS])
def test_a_lasting_fault_is_tried_again_and_is_no_answer(fault: str) -> None:
    server = FaultyServer(1.0, only=fault)
    with pytest.raises(ItemFailed) as caught:
        asked(server, scored=True, retries=1)
    assert str(caught.value).endswith("(tried 2 times)")
    assert [call.fault for call in server.calls] == [fault] * 2


@pytest.mark.parametrize("fault", HARMLESS)
def test_an_odd_answer_is_kept_as_it_is(fault: str) -> None:
    server = FaultyServer(1.0, only=fault)
    reply = asked(server, scored=False)
    assert len(server.calls) == 1
    text = {"empty text": "", "NUL in the text": "An \0 answer."}.get(fault, "Here is a kind and careful answer.")
    assert getattr(reply, "text", None) == text


def test_a_server_that_never_sends_log_probabilities_ends_the_run_at_the_third_reply() -> None:
    server = FaultyServer(1.0, only="no log-probabilities")
    with pytest.raises(EngineError, match=r"sends no log-probabilities; give models\.feedback"):
        asked(server, scored=True, retries=9)
    assert len(server.calls) == 3


@pytest.mark.slow
def test_a_run_at_30_percent_faults_loses_nothing_and_asks_again_only_what_failed(tmp_path: Path) -> None:
    server = FaultyServer(0.3, seed=1)
    with server.running():
        outcome = survived(tmp_path, server, prompts=32, retries=1)
    assert all(server.of(fault) for fault in FAULTS)
    assert outcome.failed and outcome.lost == {}
    assert outcome.again and all(again == failed for failed, again in outcome.again)
    held_out = outcome.by_stage["guests"][0]
    assert {stage: done for stage, (done, _) in outcome.by_stage.items()} == {
        "respond": 32, "revise": 32, "compare": 32, "guests": held_out, "win_rates": held_out,
        "harmfulness": held_out, "refusals": 2 * held_out,
    }  # fmt: skip


def test_the_fault_table_of_the_docs_is_what_was_measured() -> None:
    rows = json.loads((ROOT / "benchmarks" / "faults.json").read_text("utf-8"))
    shown = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    assert "\n".join(faulty(rows)) in shown
    assert {row["name"] for row in rows if "lost" in row} == {
        *(f"faults in {stage}" for stage in STAGES), *(f"fault {fault}" for fault in FAULTS)
    }  # fmt: skip
    assert all(row["reached"] and not row.get("lost") for row in rows)
