"""Few-shot generation: our engine, which shares the prefix, against plain `generate` on the same batch."""

import asyncio
import time
from typing import Any

import torch

from cai.engine_config import TransformersEngine
from cai.engines.base import Request, open_engine
from cai.few_shot import revision_examples
from cai.models import ModelConfig
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.weights import resolve

ROWS, NEW = 16, 32


def _prompts() -> list[Rendered]:
    templates = Templates("chat")
    shown: dict[str, Any] = {
        "few_shot": revision_examples("few_shot/critique_revision", 5),
        "response": "I can't help with that.",
        "principle": {"critique": "Say how the answer could be kinder and more useful."},
    }
    asked = [(Message(role="user", content=f"What would you do with {i} spare hours?"),) for i in range(ROWS)]
    return [templates.render("critique", messages=messages, **shown) for messages in asked]


def _ours(prompts: list[Rendered]) -> tuple[float, int]:
    engine = open_engine(TransformersEngine(batch_size=ROWS), ModelConfig(model="smollm2-135m"))

    async def all_at_once() -> int:
        replies = await asyncio.gather(*(engine.generate(Request(p, NEW, 1.0, 1.0, i)) for i, p in enumerate(prompts)))
        return sum(reply.tokens for reply in replies)

    start = time.perf_counter()
    tokens = asyncio.run(all_at_once())
    seconds = time.perf_counter() - start
    engine.close()
    return seconds, tokens


def _plain(prompts: list[Rendered]) -> tuple[float, int, int]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve("smollm2-135m")
    tokenizer: Any = AutoTokenizer.from_pretrained(path, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    turns = [[message.model_dump() for message in prompt.messages] for prompt in prompts]
    texts = [tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True) for t in turns]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    start = time.perf_counter()
    made = model.generate(**batch, max_new_tokens=NEW, do_sample=True, top_k=0)
    width = batch["input_ids"].shape[1]
    tokens = int((made[:, width:] != tokenizer.pad_token_id).sum())
    return time.perf_counter() - start, tokens, width


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    prompts = _prompts()
    ours, our_tokens = _ours(prompts)
    plain, plain_tokens, width = _plain(prompts)
    ratio = (our_tokens / ours) / (plain_tokens / plain)
    rates = f"{our_tokens / ours:.1f} against {plain_tokens / plain:.1f} tokens/s"
    detail = f"{ROWS} prompts of {width} tokens, up to {NEW} new: {rates}"
    return [{"name": "prefix_reuse", "value": ratio, "reach": 10, "reached": ratio >= 10, "unit": "times",
             "command": "python -m benchmarks", "detail": detail}]  # fmt: skip
