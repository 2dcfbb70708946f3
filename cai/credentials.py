"""Keys and tokens: what looks like one in a recipe, and texts without them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

SHORTEST = 8
"""Characters of a secret at the least: servers without keys are given words such as `EMPTY`."""

_NAMES = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|(?:access|secret|private)[_-]?key|secret|password|passwd|authorization|bearer"
    r"|(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)(?<!stop_)token)$",
    re.IGNORECASE,
)
"""Settings that hold a secret by their name; `eos_token` and its kin are words of a model."""
_VARIABLES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|gsk_\w{20,}|gh[pousr]_\w{30,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}|xox[abp]-[\w-]{16,})|(?<=Bearer )[\w.~+/=-]{16,}"
)
"""What well-known services' keys look like."""
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+:[^/\s@'\"]+(?=@)")
_ASSIGNED = re.compile(
    r"(?i)((?:key|token|secret|password|passwd|authorization)[\"']?\s*[:=]\s*)(?![\s{\[])[\"']?[^\s,}\]'\"]+"
)


def names_a_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret."""
    return _NAMES.search(name) is not None


def looks_secret(text: str) -> bool:
    """Whether a text holds what looks like a key, or an address with a password."""
    return bool(_SHAPES.search(text) or _IN_ADDRESS.search(text))


def secrets_in(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where secrets stand in plain data, as paths of keys."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from secrets_in(inner, (*at, key))
    elif isinstance(value, str) and value and at and (looks_secret(value) or names_a_secret(str(at[-1]))):
        yield at


def hidden(text: str) -> str:
    """A text without keys, without passwords in addresses, and without what the environment's secrets hold."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and value in text and _VARIABLES.search(name):
            text = text.replace(value, f"[{name}]")
    return _IN_ADDRESS.sub("[hidden]", _SHAPES.sub("[key]", text))


def hidden_values(setting: str) -> str:
    """An override such as `engine.api_key=...` without the value of a secret."""
    return hidden(_ASSIGNED.sub(r"\1[hidden]", setting))
