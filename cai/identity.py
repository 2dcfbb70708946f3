"""What makes two things the same: canonical JSON, digests, seeds, and which config fields count.

Every config field is declared with `identity` (it changes results, so it is part of a stage's address) or
`knob` (it changes speed, memory or logging only). A field declared with neither is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_ROLE = "cai_role"


class Config(BaseModel):
    """Base of all settings: frozen; an unknown key, an infinity and a NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def identity(default: Any, description: str, **constraints: Any) -> Any:
    """A config field that changes results; `description` gives its meaning, unit and source."""
    return _field(default, description, "identity", constraints)


def knob(default: Any, description: str, **constraints: Any) -> Any:
    """A config field that changes how a stage runs and not what it yields."""
    return _field(default, description, "knob", constraints)


def _field(default: Any, description: str, role: str, constraints: dict[str, Any]) -> Any:
    if callable(default):
        constraints["default_factory"] = default
    else:
        constraints["default"] = default
    return Field(description=description, json_schema_extra={_ROLE: role}, **constraints)


def role_of(model: type[BaseModel], field: str) -> str:
    """'identity' or 'knob'. Raises TypeError for a field declared with neither."""
    extra = model.model_fields[field].json_schema_extra
    if not isinstance(extra, dict) or _ROLE not in extra:
        raise TypeError(f"{model.__name__}.{field} must be declared with identity(...) or knob(...)")
    return str(extra[_ROLE])


def identity_of(config: BaseModel) -> dict[str, Any]:
    """The fields of `config` that change results, nested configs included."""
    kept = (name for name in type(config).model_fields if role_of(type(config), name) == "identity")
    return {name: _plain(getattr(config, name)) for name in kept}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return identity_of(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""JSON with sorted keys and no spaces. Raises TypeError or ValueError on a value JSON cannot hold."""


def digest(value: Any) -> str:
    """64 hex digits that name `value`; blind to the order of keys."""
    return hashlib.sha256(_bytes(value)).hexdigest()


def digest_all(values: Iterable[Any]) -> str:
    """The digest of `list(values)`, which is never held."""
    found = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        found.update(b"," * bool(number) + _bytes(value))
    found.update(b"]")
    return found.hexdigest()


def seed_of(*parts: str | int) -> int:
    """A seed in [0, 2**63) that depends on `parts` alone, so that a resumed run draws what an unbroken one draws."""
    return int(digest(list(parts))[:16], 16) >> 1


def _bytes(value: Any) -> bytes:
    return canonical_json(value).encode("utf-8", "surrogatepass")
