"""What vLLM is started with: engine arguments, and the surroundings it reads from the environment."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cai.engine_config import VllmEngine
from cai.engines.memory import free_memory
from cai.errors import InputError
from cai.weights import resolve_adapter

_LONGEST_ON_CPU = 8192
"""Tokens. On a CPU a prompt is read in one step, which must end before the engine's own time-out of 300 s."""
_CACHE_SHARE = 0.25
_CACHE_MOST = 8e9
"""Bytes of key-value cache on a CPU, at most: 90,000 tokens a GB for a small model are plenty."""
_PATIENCE = 30.0
"""Seconds for vLLM's processes to end by themselves."""
_QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "TQDM_DISABLE": "1"}


def engine_arguments(config: VllmEngine, path: str, adapter: str | None, share: float, on_cpu: bool) -> dict[str, Any]:
    """Arguments of vLLM's engine by name; the recipe's own `args` come last and win.

    Raises InputError where vLLM knows no argument of a name.
    """
    given: dict[str, Any] = {
        "model": path,
        "dtype": "float32" if config.dtype == "auto" and on_cpu else config.dtype,
        "quantization": config.quantization,
        "tensor_parallel_size": config.tensor_parallel_size,
        "data_parallel_size": config.data_parallel_size,
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.concurrency,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    given |= _on_cpu(config, path, share) if on_cpu else _on_gpu(config, share)
    if adapter:
        given |= {"enable_lora": True, "max_lora_rank": _rank(adapter)}
    _check_names(config.args)
    return given | config.args


def _on_gpu(config: VllmEngine, share: float) -> dict[str, Any]:
    return {"gpu_memory_utilization": config.gpu_memory_utilization or 0.9 * share}


def _on_cpu(config: VllmEngine, path: str, share: float) -> dict[str, Any]:
    """A prompt is never split there: vLLM 0.32 dies of a seeded request whose prompt is.

    Blocks are the smallest that the CPU kernels are made for: a prefix is found again in whole blocks.
    """
    longest = config.max_model_len or min(_context(path), _LONGEST_ON_CPU)
    cache = config.kv_cache_gb * 1e9 if config.kv_cache_gb else min(_CACHE_SHARE * free_memory(), _CACHE_MOST) * share
    return {
        "max_model_len": longest,
        "max_num_batched_tokens": longest,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": int(cache),
        "block_size": 32,
        "enforce_eager": True,
    }


def _context(path: str) -> int:
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(path, trust_remote_code=False)
    return getattr(config.get_text_config(), "max_position_embeddings", None) or _LONGEST_ON_CPU


def _rank(adapter: str) -> int:
    """Of a LoRA adapter, rounded up to what vLLM has kernels for."""
    file = Path(adapter) / "adapter_config.json"
    if not file.is_file():
        raise InputError(f"adapter {adapter}: holds no adapter_config.json; expected a folder that peft wrote")
    resolve_adapter(adapter)
    rank = json.loads(file.read_text("utf-8"))["r"]
    return next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank)


def _check_names(args: dict[str, Any]) -> None:
    from vllm import AsyncEngineArgs

    known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    for name in args:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"engine.args.{name}: vLLM has no engine argument of that name{hint}")


@contextmanager
def environment(on_cpu: bool) -> Iterator[None]:
    """The settings with which vLLM's processes start; put back afterwards, since vLLM writes into it too."""
    before = dict(os.environ)
    wanted = dict(_QUIET)
    if on_cpu:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        bound = ",".join(map(str, cores))
        wanted |= {"VLLM_CPU_OMP_THREADS_BIND": bound, "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def messages_into(log: Path) -> Iterator[None]:
    """Processes that start in here write their messages to `log`, for as long as they live."""
    sys.stderr.flush()
    kept, into = os.dup(2), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(into, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(into)


@contextmanager
def insistent_interrupt() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt in here, and once more at the end where a library caught it and went on.

    Python drops what is raised while it collects garbage or runs a callback, and a start has plenty of both. Does
    nothing outside the main thread, where no signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = threading.Event()

    def remember(number: int, frame: Any) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        raise KeyboardInterrupt


def children() -> set[psutil.Process]:
    """The processes that this one has started, and theirs."""
    return set(psutil.Process().children(recursive=True))


def wait_for(processes: set[psutil.Process]) -> None:
    """Returns once they have ended and their memory is free; kills what is left after half a minute."""
    _, alive = psutil.wait_procs(processes, timeout=_PATIENCE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_PATIENCE)
