"""Generation and scoring with vLLM in this process: one request a call, batched by its scheduler.

Prompts that begin alike share their keys and values (prefix caching), so few-shot examples are computed once. A label
is scored by one step of the engine, which returns the log-probabilities of just the tokens asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import psutil

from cai.engine_config import VllmEngine
from cai.engines.base import Request
from cai.engines.codec import Codec
from cai.engines.labels import Question
from cai.engines.vllm_setup import children, engine_arguments, environment, insistent_interrupt, messages_into, wait_for
from cai.errors import EngineError, ItemFailed, MissingExtra, first_line
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.quiet import hush
from cai.records import Completion
from cai.weights import resolve


class VllmBackend:
    """One model in an engine of its own, whose processes end with `close`."""

    def __init__(self, config: VllmEngine, model: ModelConfig, share: float) -> None:
        self._log = Path(tempfile.mkdtemp(prefix="cai-vllm-")) / "messages.txt"
        self._engine: Any = None
        before = children()
        try:
            with messages_into(self._log), insistent_interrupt():
                self._engine = _start(config, model, share, self._log)
        except KeyboardInterrupt:
            self._processes = _new(before)
            self.close()
            raise
        self._processes = _new(before)
        settings = self._engine.model_config
        self._codec = Codec(self._engine.get_tokenizer(), model, settings.max_model_len)
        splits = self._engine.scheduler_config.enable_chunked_prefill
        self._seeded = config.seeds and not (splits and self._engine.vllm_config.device_config.device_type == "cpu")
        self._adapter = model.adapter
        self._numbers = itertools.count()
        self.concurrency = config.concurrency

    async def generate(self, request: Request) -> Completion:
        """One reply; `seeded` says whether the engine could be given the seed."""
        from vllm import SamplingParams

        ids, stop = self._codec.prompt(request), list(request.prompt.stop)
        wanted = SamplingParams(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed if self._seeded and request.temperature else None,
            stop=stop,
            detokenize=bool(stop),
            structured_outputs=_one_of(request.choices),
            output_kind=_final(),
        )
        output = await self._ask(ids, wanted)
        reply = output.outputs[0]
        if reply.finish_reason not in ("stop", "length"):
            raise ItemFailed(f"vLLM ended a reply with {reply.finish_reason!r}; expected 'stop' or 'length'")
        tokens = list(reply.token_ids)
        if reply.finish_reason == "stop" and not isinstance(reply.stop_reason, str):
            tokens.pop()  # the end-of-turn token
        return self._codec.completion(
            request, ids, tokens, reply.finish_reason, seeded=self._seeded, cached=output.num_cached_tokens or 0
        )

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log-probabilities: of labels that differ in one token in one step, of longer ones by reading each."""
        question = self._codec.question(prompt, labels)
        if question.single:
            return await self._score_tokens(question)
        return await asyncio.gather(*(self._score_tail(question.ids, tail) for tail in question.tails))

    def close(self) -> None:
        """Ends the engine's processes, which gives their memory back; closing twice does no harm."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()
            wait_for(self._processes)
            shutil.rmtree(self._log.parent, ignore_errors=True)

    async def _score_tokens(self, question: Question) -> list[float]:
        from vllm import SamplingParams

        tokens = [tail[0] for tail in question.tails]
        wanted = SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=tokens, detokenize=False, output_kind=_final()
        )
        found = (await self._ask(question.ids, wanted)).outputs[0].logprobs[0]
        return [found[token].logprob for token in tokens]

    async def _score_tail(self, ids: Sequence[int], tail: Sequence[int]) -> float:
        from vllm import SamplingParams

        wanted = SamplingParams(
            max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False, output_kind=_final()
        )
        found = (await self._ask([*ids, *tail], wanted)).prompt_logprobs[len(ids) :]
        return sum(at[token].logprob for at, token in zip(found, tail, strict=True))

    async def _ask(self, ids: Sequence[int], wanted: Any) -> Any:
        """The final output of one request; the caller's cancellation ends it in the engine too."""
        if self._engine is None:
            raise EngineError("the engine is closed")
        from vllm.inputs.engine import tokens_input

        output = None
        try:
            async for output in self._engine.generate(  # noqa: B007 - the last one is wanted
                tokens_input(list(ids)), wanted, str(next(self._numbers)), lora_request=self._lora()
            ):
                pass
        except Exception as error:  # noqa: BLE001 - `_explain` tells a bad request from a dead engine
            self._explain(error)
        if output is None:
            raise EngineError("the engine was closed while it was replying")
        return output

    def _explain(self, error: Exception) -> NoReturn:
        """A request that vLLM will not take fails alone; an engine that died stops the run."""
        from vllm.v1.engine.exceptions import EngineDeadError

        if isinstance(error, EngineDeadError):
            raise EngineError(f"vLLM's engine died, most often of too little memory; see {self._log}") from error
        raise ItemFailed(f"vLLM refused a request: {first_line(error)}") from error

    def _lora(self) -> Any:
        if not self._adapter:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", 1, self._adapter)


def _start(config: VllmEngine, model: ModelConfig, share: float, log: Path) -> Any:
    """VLLM's engine, in processes of its own."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # read while vLLM is imported
    try:
        from vllm import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "vllm", "vllm") from None
    hush()
    path, on_cpu = resolve(model.model), current_platform.is_cpu()
    arguments = engine_arguments(config, path, model.adapter, share, on_cpu)
    try:
        with environment(on_cpu):
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"vLLM could not start {model.model}: {first_line(error)}\n  its own messages: {log}"
        ) from error


def _new(before: set[psutil.Process]) -> set[psutil.Process]:
    """The processes that were started since; Python's own helper ends with this process."""
    return {process for process in children() - before if "resource_tracker" not in _command(process)}


def _command(process: psutil.Process) -> str:
    """Empty where it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _one_of(choices: tuple[str, ...]) -> Any:
    """Holds a reply to one of these; None: it is free."""
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(choice=list(choices)) if choices else None


def _final() -> Any:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.FINAL_ONLY
