"""The models of a run: the parts they play, and how each is spoken to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from cai.engine_config import EngineConfig, settled
from cai.identity import Config, identity

Dialect = Literal["chat", "transcript"]


class ModelConfig(Config):
    """One model of the run, and how it is spoken to."""

    model: str = identity(
        "", "An alias (`cai config --models` lists them), a hub name, a folder, or a server's name for it."
    )
    dialect: Dialect = identity(
        "chat", "`chat`: the tokenizer's chat template. `transcript`: raw Human:/Assistant: text."
    )
    engine: EngineConfig | None = identity(None, "An engine of its own; none: the recipe's.")
    adapter: str | None = identity(None, "A LoRA adapter to lay on the model: a folder or a hub name.")
    system: str | None = identity(None, "A system prompt before every conversation; a transcript begins with it.")
    thinking: bool | None = identity(
        None,
        "Whether a model that can think aloud does; none: as its chat template has it. Thoughts stay in the record.",
    )

    _settled = field_validator("engine")(settled)


class ModelsConfig(Config):
    """The parts that models play (Bai et al. 2022, section 1.2). `{use: assistant}` names another part."""

    assistant: ModelConfig = identity(
        ModelConfig, "The helpful-only start: answers, critiques and revises (section 3.1)."
    )
    helpful: ModelConfig = identity(ModelConfig, "Answers the helpful prompts; default: the assistant (section 3.2).")
    feedback: ModelConfig = identity(ModelConfig, "Judges pairs; default: the assistant (section 4.1).")
    pretrained: ModelConfig = identity(
        ModelConfig, "The model that SL-CAI finetunes; default: the assistant (section 3.2)."
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "assistant" not in data:
            raise ValueError("the part 'assistant' is required: an alias, a hub name or a folder")
        parts = {name: _as_mapping(value) for name, value in data.items()}
        for name in ("helpful", "feedback", "pretrained"):
            parts.setdefault(name, {"use": "assistant"})
        return {name: _follow(name, value, parts) for name, value in parts.items()}


def _as_mapping(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


def _follow(name: str, value: Any, parts: dict[str, Any], via: tuple[str, ...] = ()) -> Any:
    """Replaces `{use: part, ...}` by that part's settings with this part's own on top."""
    if not isinstance(value, dict) or "use" not in value:
        if isinstance(value, dict) and not value.get("model"):
            raise ValueError(f"the part {name!r} names no model")
        return value
    used = str(value["use"])
    if used not in parts:
        others = ", ".join(sorted(set(parts) - {name}))
        raise ValueError(f"the part {name!r} uses {value['use']!r}; expected one of {others}")
    if used in (name, *via):
        raise ValueError(f"the parts {' -> '.join((*via, name, used))} use each other; let one of them name a model")
    target = _follow(used, parts[used], parts, (*via, name))
    if not isinstance(target, dict):
        raise ValueError(f"the part {name!r} uses {used!r}, which names no model")
    return {**target, **{key: setting for key, setting in value.items() if key != "use"}}
