"""The real vLLM engine on the real model: what it says, what it scores, what it shares, and how it ends."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from real_vllm import REAL_VLLM

from cai.engine_config import TransformersEngine, VllmEngine
from cai.engines.base import Engine, Request, open_engine
from cai.errors import EngineError, InputError, ItemFailed
from cai.few_shot import revision_examples
from cai.models import ModelConfig
from cai.prompts import Rendered, Templates
from cai.records import Completion, Message

pytestmark = REAL_VLLM
SMALL = VllmEngine(kv_cache_gb=1, max_model_len=2048)
ALIAS = ModelConfig(model="smollm2-135m")
CHAT = Templates("chat")


@dataclass
class Running:
    """Two engines of the same model, and the loop they live in."""

    vllm: Engine
    plain: Engine
    loop: asyncio.Runner

    def reply(self, *requests: Request) -> list[Completion]:
        async def main() -> list[Completion]:
            return await asyncio.gather(*map(self.vllm.generate, requests))

        return self.loop.run(main())

    def scores(self, prompt: Rendered, *labels: str) -> tuple[list[float], list[float]]:
        """By vLLM, and by transformers."""
        return self.loop.run(self.vllm.score(prompt, labels)), self.loop.run(self.plain.score(prompt, labels))


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    plain = open_engine(TransformersEngine(dtype="float32"), ALIAS)
    vllm = open_engine(SMALL, ALIAS)
    with asyncio.Runner() as loop:
        yield Running(vllm, plain, loop)
        vllm.close()
        plain.close()


def chat(text: str) -> Rendered:
    return Rendered(messages=(Message(role="user", content=text),))


def transcript(text: str, *stop: str) -> Rendered:
    return Rendered(text=f"\n\nHuman: {text}\n\nAssistant:", stop=stop)


def request(prompt: Rendered, max_tokens: int = 12, temperature: float = 0.0, seed: int = 0) -> Request:
    return Request(prompt, max_tokens, temperature, 1.0, seed)


def test_a_greedy_reply_is_that_of_transformers(running: Running) -> None:
    for prompt in (chat("What is the capital of France?"), transcript("Name three colours.", "\n\nHuman:")):
        (ours,) = running.reply(request(prompt))
        plain = running.loop.run(running.plain.generate(request(prompt)))
        assert (ours.text, ours.tokens, ours.finish) == (plain.text, plain.tokens, plain.finish)
        assert (ours.prompt_tokens, ours.seeded) == (plain.prompt_tokens, True)


def test_the_end_of_a_turn_is_no_part_of_a_reply(running: Running) -> None:
    (reply,) = running.reply(request(chat("Say hello."), max_tokens=200))
    assert reply.finish == "stop"
    assert "<|im_end|>" not in reply.raw


def test_a_stop_string_ends_a_reply(running: Running) -> None:
    (reply,) = running.reply(request(transcript("Count from one to twenty, in words.", ","), max_tokens=60))
    assert reply.finish == "stop"
    assert "," not in reply.text


@pytest.mark.parametrize("prompt", [chat("Which is better, (A) or (B)?"), transcript("Which is better, (A) or (B)?")])
def test_labels_are_scored_as_by_transformers(running: Running, prompt: Rendered) -> None:
    ours, plain = running.scores(prompt, " (A)", " (B)")
    assert ours == pytest.approx(plain, abs=1e-3)
    assert sum(map(math.exp, ours)) < 1


def test_longer_labels_and_whole_answers_are_scored_as_by_transformers(running: Running) -> None:
    for labels in (("I would never do that.",), (" Yes, of course", " No")):
        ours, plain = running.scores(chat("Would you steal a car?"), *labels)
        assert ours == pytest.approx(plain, abs=1e-3 * len(labels) * 4)


def test_the_same_seed_gives_the_same_reply_in_any_company(running: Running) -> None:
    alone = running.reply(request(chat("Tell a story."), 16, 1.0, seed=3))[0]
    crowd = running.reply(*(request(chat("Tell a story."), 16, 1.0, seed) for seed in range(6)))
    assert crowd[3].text == alone.text
    assert len({reply.text for reply in crowd}) > 3


def test_long_prompts_with_seeds_do_not_break_the_engine(running: Running) -> None:
    """vLLM 0.32 dies on a CPU of a seeded request whose prompt is read in parts."""
    prompts = [chat(f"{'Read this again. ' * 240} Number {number}?") for number in range(12)]
    replies = running.reply(*(request(prompt, 4, 1.0, seed) for seed, prompt in enumerate(prompts)))
    assert all(reply.seeded and reply.prompt_tokens > 900 for reply in replies)


def test_few_shot_prefixes_are_computed_once(running: Running) -> None:
    examples, principle = revision_examples("few_shot/critique_revision", 3), {"critique": "Say what is unkind."}
    shown: dict[str, Any] = {"few_shot": examples, "principles": (principle,), "response": "No"}
    prompts = [CHAT.render("critique", messages=chat(f"Question {n}?").messages, **shown) for n in range(8)]
    running.reply(request(prompts[0], 2))
    replies = running.reply(*(request(prompt, 2) for prompt in prompts[1:]))
    assert all(reply.cached_tokens > 0.8 * reply.prompt_tokens for reply in replies)


def test_a_prompt_that_is_too_long_fails_alone(running: Running) -> None:
    with pytest.raises(ItemFailed, match="exceed the model's 2048"):
        running.reply(request(chat("word " * 3000)))
    assert running.reply(request(chat("Hi")))


def test_a_cancelled_request_leaves_the_engine_at_work(running: Running) -> None:
    async def main() -> Completion:
        task = asyncio.create_task(running.vllm.generate(request(chat("Tell a long story."), 1500, 1.0)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await running.vllm.generate(request(chat("What is the capital of France?")))

    assert "Paris" in running.loop.run(main()).text


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"engine\.args\.enforce_eger: .* did you mean 'enforce_eager'"):
        open_engine(VllmEngine(args={"enforce_eger": True}), ALIAS)


def test_a_trained_checkpoint_with_an_adapter_loads_and_closing_gives_the_memory_back(tmp_path: Path) -> None:
    """What a training stage saves is opened as it is; a LoRA adapter on it says what peft says it does."""
    checkpoint, adapter = _trained(tmp_path)
    model = ModelConfig(model=str(checkpoint), adapter=str(adapter))
    prompt = chat("Which is better, (A) or (B)?")
    before = _resident()
    engine = open_engine(SMALL, model)
    open_ = _resident()
    with asyncio.Runner() as loop:
        found = loop.run(engine.score(prompt, (" (A)", " (B)")))
        engine.close()
        after = _resident()
        with pytest.raises(EngineError, match="closed"):
            loop.run(engine.score(prompt, (" (A)", " (B)")))
    engine.close()
    assert open_ - before > 1e9
    assert after - before < 0.25 * (open_ - before), (before, open_, after)
    expected, bare = (_by_transformers(config, prompt) for config in (model, ModelConfig(model=str(checkpoint))))
    assert found == pytest.approx(expected, abs=2e-3)
    assert abs(found[0] - bare[0]) > 0.01


def test_the_pipeline_runs_on_vllm_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    """From the command line: chains with every round, hits in the prefix cache; then a run that is interrupted."""
    command = [sys.executable, "-m", "cai", "run", "quickstart", "--runs", str(tmp_path), "prompts.limit=4",
               "engine={type: vllm, kv_cache_gb: 1, max_model_len: 2048}"]  # fmt: skip
    done = subprocess.run([*command, "--until", "revise"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("quickstart/revise-*/items.jsonl")
    assert path.read_text("utf-8").count("\n") == 4 * 3
    assert done.stderr == ""
    again = [*command, "seed=1", "--until", "revise"]
    process = subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = _descendants_at_work(process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, output + errors
    psutil.wait_procs(started, timeout=30)
    assert [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


def _descendants_at_work(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Waits until the engine's worker is there."""
    parent = psutil.Process(process.pid)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if any("Worker" in child.name() for child in parent.children(recursive=True)):
            time.sleep(5)
            return parent.children(recursive=True)
        time.sleep(0.5)
    raise AssertionError("the engine never started")


def _trained(folder: Path) -> tuple[Path, Path]:
    """A checkpoint as `sft` saves it, and a LoRA adapter with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from cai.train_config import SftConfig
    from cai.trainers.sft import train_sft

    class Silent:
        def step(self, done: int, total: int) -> None: ...

        def metric(self, row: dict[str, Any]) -> None: ...

    config = SftConfig(batch_size=1, micro_batch=1, max_length=64)
    train_sft([(chat("Hi"), "Hello there.")], ALIAS.model, folder, config, 0, Silent())
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    torch.manual_seed(0)
    tuned: Any = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(folder / "adapter")
    return folder / "model", folder / "adapter"


def _by_transformers(model: ModelConfig, prompt: Rendered) -> list[float]:
    engine = open_engine(TransformersEngine(dtype="float32"), model)
    try:
        return asyncio.run(engine.score(prompt, (" (A)", " (B)")))
    finally:
        engine.close()


def _resident() -> int:
    """Bytes that this process and its children hold."""
    processes = [psutil.Process(os.getpid()), *psutil.Process().children(recursive=True)]
    return sum(process.memory_info().rss for process in processes if process.is_running())
