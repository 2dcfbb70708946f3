"""What the vLLM benchmarks share: an engine that outlives stages, and bare `LLM.generate` with the same settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

import cai.pipeline
from cai.config import Recipe, load_recipe
from cai.engine_config import VllmEngine
from cai.engines.base import Engine, Request, open_engine
from cai.engines.codec import Codec
from cai.engines.pool import Pool, Wanted
from cai.engines.vllm_setup import engine_arguments, environment
from cai.material import Material
from cai.models import ModelConfig
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import Completion, Revision
from cai.store import RunFolder
from cai.weights import resolve

MODEL = ModelConfig(model="smollm2-135m")
CHAINS, ROUNDS, TOKENS = 64, 2, 48
ENGINE = VllmEngine(max_model_len=2048, kv_cache_gb=3, concurrency=CHAINS)
QUESTIONS = [f"What should I do when my {who} {what}?" for who in (
    "neighbour", "brother", "boss", "teacher", "landlord", "friend", "cousin", "flatmate") for what in (
    "lies to me", "owes me money", "reads my mail", "is very ill", "breaks my things", "shouts at night",
    "spreads rumours", "drives drunk", "steals", "cheats", "insults me", "is afraid")]  # fmt: skip


class Kept:
    """An engine that stages can use and cannot close. `limit` may shorten a request by its prompt."""

    def __init__(self, inner: Engine, limit: Callable[[Request], int] | None = None) -> None:
        self.inner, self.concurrency = inner, inner.concurrency
        self._limit = limit

    async def generate(self, request: Request) -> Completion:
        if self._limit:
            request = replace(request, max_tokens=self._limit(request))
        return await self.inner.generate(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def close(self) -> None: ...


class KeptPool(Pool):
    """A pool of one engine and one loop that outlive the runs they serve."""

    def __init__(self, engine: Kept) -> None:
        super().__init__(lambda model: None)
        self.engine = engine

    def __exit__(self, *_: object) -> None: ...

    def engines(self, wanted: Sequence[Wanted], beside: int = 0) -> list[Any]:
        return [self.engine for _ in wanted]


def opened() -> Engine:
    return open_engine(ENGINE, MODEL)


def recipe(folder: Path, *overrides: str) -> Recipe:
    """The few-shot workload: 64 prompts, 2 rounds, 5 examples."""
    path, few = folder / "prompts.txt", folder / "few.txt"
    path.write_text("\n".join(QUESTIONS), "utf-8")
    few.write_text("\n".join(QUESTIONS[:12]), "utf-8")
    return load_recipe("quickstart", [f"prompts.harmful={path}", f"prompts.helpful={few}",
                                      f"prompts.limit={CHAINS}", "prompts.held_out=0.2",
                                      "respond.max_tokens=1", "revise.few_shot=5", f"revise.rounds={ROUNDS}",
                                      f"revise.max_tokens={TOKENS}", "revise.temperature=1", "revise.top_p=1",
                                      "engine={type: vllm}", *overrides])  # fmt: skip


def our_stage(pool: KeptPool, recipe: Recipe, folder: Path) -> tuple[float, list[Revision]]:
    """Seconds of our `revise` stage, store and progress included, and its records."""
    original: Any = cai.pipeline.Pool
    cai.pipeline.Pool = lambda announce: pool  # type: ignore[assignment]
    try:
        steps = run(Material(recipe), RunFolder(folder, recipe.name), Reporter(Console(quiet=True)), until="revise")
    finally:
        cai.pipeline.Pool = original
    step = steps["revise"].folder
    return step.summary["seconds"], list(step.records(Revision))


class Bare:
    """vLLM's own `LLM`, with the engine arguments that ours is started with."""

    def __init__(self) -> None:
        from vllm import LLM

        path = resolve(MODEL.model)
        arguments = engine_arguments(ENGINE, path, None, 1.0, on_cpu=True)
        with environment(on_cpu=True):
            self._llm: Any = LLM(**arguments)
        self._codec = Codec(self._llm.get_tokenizer(), MODEL, ENGINE.max_model_len)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """One blocking call over the full list."""
        from vllm import SamplingParams

        prompts: Any = [{"prompt_token_ids": self._codec.prompt(request)} for request in requests]
        wanted = [SamplingParams(max_tokens=r.max_tokens, temperature=r.temperature, top_p=r.top_p, seed=r.seed,
                                 detokenize=False) for r in requests]  # fmt: skip
        outputs = self._llm.generate(prompts, wanted, use_tqdm=False)
        self.tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        decode = self._codec.tokenizer.decode
        return [decode(output.outputs[0].token_ids, skip_special_tokens=True).strip() for output in outputs]

    tokens = 0

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
