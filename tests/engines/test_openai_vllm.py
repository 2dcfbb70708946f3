"""The HTTP engine against a real server: vLLM's with the real model, compared with the transformers engine."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from real_vllm import REAL_VLLM

from cai.engine_config import OpenAIEngine, TransformersEngine
from cai.engines.base import Engine, Request, open_engine
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion, Message
from cai.weights import resolve

pytestmark = REAL_VLLM
QUESTION = "Which is hotter?\nOptions:\n (A) fire\n (B) ice"
CHAT = Rendered(messages=(Message(role="user", content=QUESTION),), reply_start="The answer is:")
TRANSCRIPT = Rendered(text=f"\n\nHuman: {QUESTION}\n\nAssistant: The answer is:")
LABELS = (" (A)", " (B)")
# A seeded prompt whose prefill is split kills the CPU engine of vLLM 0.32: no prefill is split here.
SERVE = [
    "--served-model-name", "smol", "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048",
    "--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048", "--host", "127.0.0.1", "--port",
]  # fmt: skip
SMALL = {
    "VLLM_CPU_OMP_THREADS_BIND": "0-1",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # Not `vllm serve`: it looks up the version of a package named vllm, and fails where vllm-cpu is installed.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", resolve("smollm2-135m"), *SERVE]
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with log.open("wb") as out, stopped([*command, str(port)], out) as server:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def stopped(command: list[str], out: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards, whatever happens."""
    server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **SMALL})
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the server did not come up:\n{log.read_text('utf-8', 'replace')[-3000:]}")


class Asked:
    """An engine, and the loop that it lives in."""

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        self.engine, self.run = engine, runner.run

    def generate(self, prompt: Rendered, tokens: int = 12) -> Completion:
        return self.run(self.engine.generate(Request(prompt, tokens, 0.0, 1.0, 0)))

    def score(self, prompt: Rendered, *labels: str) -> list[float]:
        return self.run(self.engine.score(prompt, labels))


@pytest.fixture(scope="module")
def remote(served: str) -> Iterator[Asked]:
    engine = open_engine(OpenAIEngine(base_url=served), ModelConfig(model="smol"))
    with asyncio.Runner() as runner:
        yield Asked(engine, runner)
        engine.close()


@pytest.fixture(scope="module")
def local() -> Iterator[Asked]:
    engine = open_engine(TransformersEngine(dtype="float32"), ModelConfig(model="smollm2-135m"))
    with asyncio.Runner() as runner:
        yield Asked(engine, runner)
        engine.close()


def of_first(scores: list[float]) -> float:
    first, second = map(math.exp, scores)
    return first / (first + second)


def test_a_chat_knows_what_the_model_knows(remote: Asked) -> None:
    reply = remote.generate(Rendered(messages=(Message(role="user", content="What is the capital of France?"),)))
    assert "Paris" in reply.text and reply.tokens > 0 and reply.prompt_tokens > 10


def test_a_transcript_ends_before_its_stop(remote: Asked, local: Asked) -> None:
    prompt = Rendered(text="One, two, three, four, five, six,", stop=(" nine",))
    reply = remote.generate(prompt, 24)
    assert "eight" in reply.text and "nine" not in reply.text and reply.finish == "stop"
    assert reply.text == local.generate(prompt, 24).text


def test_a_forced_start_is_continued(remote: Asked, local: Asked) -> None:
    question = Message(role="user", content="What is the capital of France?")
    prompt = Rendered(messages=(question,), reply_start="The city that you ask for is called")
    reply = remote.generate(prompt)
    assert "Paris" in reply.text and reply.text == local.generate(prompt).text


@pytest.mark.parametrize("prompt", [CHAT, TRANSCRIPT], ids=["chat", "transcript"])
def test_labels_are_scored_as_transformers_scores_them(remote: Asked, local: Asked, prompt: Rendered) -> None:
    ours, theirs = remote.score(prompt, *LABELS), local.score(prompt, *LABELS)
    assert of_first(ours) == pytest.approx(of_first(theirs), abs=1e-3)


def test_an_answer_is_scored_as_transformers_scores_it(remote: Asked, local: Asked) -> None:
    answer = " Paris is the capital of France, and “déjà vu” is French."
    prompt = Rendered(text="\n\nHuman: What is the capital of France?\n\nAssistant:")
    assert remote.score(prompt, answer) == pytest.approx(local.score(prompt, answer), abs=1e-2)
