"""Few-shot generation: our engine, which shares the prefix, against plain `generate` and against vLLM.

All write greedily for the same prompts under the same limits, and only tokens that were written count. The engines
run one after another, each on its own; of an engine the second pass and the third count, over questions it has not
seen, so that what it keeps is the examples and no more.
"""

import asyncio
import time
from importlib.util import find_spec
from typing import Any

import torch

from cai.engine_config import EngineConfig, TransformersEngine, VllmEngine
from cai.engines.base import Engine, Request, open_engine
from cai.few_shot import revision_examples
from cai.models import ModelConfig
from cai.prompts import Rendered, Templates
from cai.records import Completion, Message
from cai.weights import resolve

MODEL, ROWS, NEW, EXAMPLES = "smollm2-135m", 32, 64, 5


def _prompts(first: int) -> list[Rendered]:
    """Critiques of answers to questions that only these prompts ask."""
    templates = Templates("chat")
    shown: dict[str, Any] = {
        "few_shot": revision_examples("few_shot/critique_revision", EXAMPLES),
        "response": "I can't help with that.",
        "principles": ({"critique": "Say how the answer could be kinder and more useful."},),
    }
    asked = [
        (Message(role="user", content=f"{i}: what to do with some spare hours?"),) for i in range(first, first + ROWS)
    ]
    return [templates.render("critique", messages=messages, **shown) for messages in asked]


async def _pass(engine: Engine, first: int) -> tuple[float, list[Completion]]:
    """Tokens a second over one batch, and the replies."""
    requests = [Request(prompt, NEW, 0.0, 1.0, index) for index, prompt in enumerate(_prompts(first))]
    start = time.perf_counter()
    replies = await asyncio.gather(*map(engine.generate, requests))
    return sum(reply.tokens for reply in replies) / (time.perf_counter() - start), replies


async def _rates(config: EngineConfig) -> tuple[float, float, list[Completion]]:
    """Tokens a second of the first pass, and the better of two later ones."""
    engine = open_engine(config, ModelConfig(model=MODEL))
    try:
        passes = [await _pass(engine, 100 + ROWS * number) for number in range(3)]
    finally:
        engine.close()
    return passes[0][0], max(rate for rate, _ in passes[1:]), passes[0][1]


def _plain() -> float:
    """Tokens a second of transformers' own `generate`, which keeps nothing from pass to pass."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve(MODEL)
    tokenizer: Any = AutoTokenizer.from_pretrained(path, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    turns = [[message.model_dump() for message in prompt.messages] for prompt in _prompts(100)]
    texts = [tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True) for t in turns]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    start = time.perf_counter()
    made = model.generate(**batch, max_new_tokens=NEW, do_sample=False)
    ends = (made[:, batch["input_ids"].shape[1] :, None] == torch.tensor([0, tokenizer.eos_token_id])).any(-1)
    tokens = int((ends.cumsum(-1) == 0).sum())
    return tokens / (time.perf_counter() - start)


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    first, ours, replies = asyncio.run(_rates(TransformersEngine(batch_size=ROWS)))
    plain = _plain()
    width, shared = replies[-1].prompt_tokens, replies[-1].cached_tokens
    work = f"{ROWS} prompts of {width} tokens, {shared} shared, up to {NEW} new, {torch.get_num_threads()} threads"
    rates = f"{ours:.1f} against {plain:.1f} tokens/s ({first:.1f} with the examples read for the first time)"
    rows = [_row("prefix_reuse", ours / plain, 10, f"{work}: {rates}")]
    if find_spec("vllm"):
        _, vllm, _ = asyncio.run(_rates(VllmEngine()))
        rows.append(_row("transformers_vs_vllm", ours / vllm, 0.5, f"{work}: {ours:.1f} against {vllm:.1f} tokens/s"))
    return rows


def _row(name: str, value: float, reach: float, detail: str) -> dict[str, Any]:
    return {"name": name, "value": value, "reach": reach, "reached": value >= reach, "unit": "times",
            "command": "python -m benchmarks", "detail": detail}  # fmt: skip
