"""`size: tiny`: a recipe cut down until all its stages take seconds, so that it can be tried out anywhere.

Models become one of random weights that answers by script, hub data becomes a sample that ships, and numbers are cut at
CAPS. What a recipe is about stays: its stages, algorithms, rewards, judge and formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAPS: Mapping[str, float] = {
    "limit": 4, "epochs": 1, "rounds": 2, "steps": 2, "samples": 2, "few_shot": 1, "max_tokens": 16,
    "batch_size": 4, "micro_batch": 2, "minibatch": 2, "prompts_per_step": 2, "sampling_batch": 8, "warmup": 1,
    "ratio": 1, "thoughts": 1, "rank": 4, "bootstrap": 200, "transcripts": 2, "prompts": 2, "every": 1,
}  # fmt: skip
"""The largest value of a setting by its name; of a list of rounds, the last that is kept."""

UNLIMITED = ("limit",)
"""Settings whose absence means all there is; they get their cap too."""

SAMPLES: Mapping[str, str] = {
    "harmful": "questions/red_team",
    "helpful": "questions/helpful",
    "prompts": "questions/helpful",
    "pairs": "pairs/rated.jsonl",
    "answers": "pairs/rated.jsonl",
    "texts": "texts/plain",
}
"""What stands in for data of the hub, by the setting that names it."""

OFF: Mapping[str, Any] = {"bits": None, "vllm": "none", "report_to": (), "cache": None, "engine": None}
"""Settings that need a GPU, a network or another model."""


def tiny(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a recipe at size `tiny`, under a name of its own."""
    cut = _cut(settings)
    models = {part: {**model, "model": "tiny-random", "adapter": None} for part, model in cut["models"].items()}
    return {**cut, "name": f"{settings['name']}-tiny", "engine": {"type": "scripted"}, "models": models}


def _cut(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: _smaller(name, value) for name, value in settings.items()}


def _smaller(name: str, value: Any) -> Any:
    if name in OFF:
        return OFF[name]
    if isinstance(value, dict):
        return _cut(value)
    if isinstance(value, tuple | list):
        return [_smaller(name, one) for one in value]
    if isinstance(value, str) and value.startswith("hf:"):
        return SAMPLES[name]
    if name not in CAPS or isinstance(value, bool | str):
        return value
    if value is None:
        return CAPS[name] if name in UNLIMITED else None
    return min(value, CAPS[name])
