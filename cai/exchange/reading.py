"""JSON of other projects in, checked values out; every mistake names its file, what was found and what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cai.errors import InputError
from cai.yamlfile import read_text

Form = TypeVar("Form")


class Part(BaseModel):
    """Base of what a JSON file holds: a key too many is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_json(path: Path, form: type[Form]) -> Form:
    """The file's content as `form`.

    Raises InputError where it is missing, not UTF-8, not JSON, has a key twice, holds half a surrogate pair, or is
    something else.
    """
    try:
        data = json.loads(read_text(path), object_pairs_hook=_without_twins)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except UnicodeEncodeError:
        raise InputError(f"{path}: holds half a surrogate pair, which UTF-8 cannot store; mend the file") from None
    except _Twins as error:
        raise InputError(f"{path}: the key {error.args[0]!r} stands twice in one mapping; keep one") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{path}: not JSON that can be read ({error})") from None
    try:
        return TypeAdapter(form).validate_python(data)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        raise InputError("\n".join(dict.fromkeys(_explained(path, one) for one in mistakes))) from None


def unwrapped(text: str, before: str, after: str, where: str) -> str:
    """What stands between `before` and `after`, without the space around it. Raises InputError for anything else."""
    inside = text.removeprefix(before).removesuffix(after).strip()
    if not (text.startswith(before) and text.endswith(after) and inside):
        raise InputError(f"{where}: expected text between {before!r} and {after!r}, found {short(text)}")
    return inside


def as_ids(names: Iterable[str], where: str) -> list[str]:
    """Names as ids of ours: lower case, anything but letters, digits, '.', '_' and '-' a '-'.

    Raises InputError where nothing is left of a name, or two come to the same.
    """
    ids: dict[str, str] = {}
    for name in names:
        found = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-")
        if not found:
            raise InputError(f"{where}: the name {name!r} makes no id; give it a letter or digit")
        if found in ids:
            raise InputError(f"{where}: the names {ids[found]!r} and {name!r} both make the id {found!r}; rename one")
        ids[found] = name
    return list(ids)


def short(value: Any) -> str:
    """A value in an error's words, cut where it is long."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


class _Twins(Exception):
    """A key stands twice in one mapping."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, value in pairs:
        if key in built:
            raise _Twins(key)
        built[key] = value
    return built


def _explained(path: Path, mistake: Any) -> str:
    where = ".".join(str(part) for part in mistake["loc"])
    message = mistake["msg"].removeprefix("Value error, ")
    found = "" if mistake["type"] == "missing" else f" (found {short(mistake['input'])})"
    return f"{path}: {where + ': ' if where else ''}{message[:1].lower()}{message[1:]}{found}"
