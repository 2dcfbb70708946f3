"""Keys and tokens: what looks like one in a recipe, and texts without them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

SHORTEST = 8
"""Characters of a secret at the least: servers without keys are given words such as `EMPTY`."""

_NAMES = re.compile(
    r"(?:^|_)(?:api_?keys?"
    r"|(?:access|secret|private|auth|subscription|account|master|signing|encryption|shared|license|service|openai"
    r"|anthropic|azure|mistral|groq|google|aws|hf|wandb|gh|github)_?keys?"
    r"|secrets?|pass(?:word|wd|phrase|code)s?|pwds?|authorization|bearer|auth|credentials?|creds|cookie"
    r"|(?:access|api|auth|bearer|hf|hub|refresh|session)_?tokens|(?:access|api|auth|hf)token"
    r"|(?:(?P<kind>[a-z0-9]+)_)?token)"
    r"(?:_(?:value|string|text|header))?$"
)
"""Settings that hold a secret by their name in snake case."""
_OF_MODELS = {
    "bos", "eos", "eot", "eom", "pad", "unk", "sep", "cls", "mask", "stop", "start", "end", "max", "min", "per",
    "image", "audio", "video", "think", "thinking", "first", "last", "next", "special", "added", "by", "answer",
    "label", "reward", "score", "step", "yes", "no", "prefix", "suffix", "middle", "separator", "newline", "extra",
    "each",
}  # fmt: skip
"""`eos_token` and its kin are words of a model."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-.\s]+")
_VARIABLES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|gsk_\w{20,}|gh[pousr]_\w{30,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}|xox[abp]-[\w-]{16,})|(?<=Bearer )[\w.~+/=-]{16,}"
)
"""What well-known services' keys look like."""
_IN_ADDRESS = re.compile(
    r"(?<=://)[^/\s@'\":]+:(?!\d{1,5}(?:[/?#,;)]|$))[^\s@'\"]+(?=@)|(?:(?<=http://)|(?<=https://))[^/\s@'\"]+(?=@)"
)
"""`user:password` before a host, which may hold a slash where a number is no port; before a web page, any user."""
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.]{0,19}://[^\s'\"<>]+")
_PARAMETER = re.compile(r"(?<=[?&#;])([\w.-]+)=([^&#;]+)")
_SIGNS = ("key", "sig", "signature", "x-amz-signature", "x-goog-signature")
_FIELD = re.compile(r"-{0,2}([\w-]{1,60})\s*[:=]\s*\S{3,}")
_ASSIGNED = re.compile(
    r"(?i)((?:key|token|secret|password|passwd|pwd|passphrase|authorization|auth|credentials?|cookie)s?[\"']?\s*[:=]\s*)"
    r"(?!\s)(?:\[[^\]]*|\{[^}]*|\"[^\"]*|'[^']*|[^\s,}\]'\"]+)"
)


def names_a_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: `hf_token`, `X-Api-Key`, `openaiApiKey`."""
    found = _NAMES.search(_HUMP.sub("_", name).lower())
    return found is not None and found["kind"] not in _OF_MODELS


def looks_secret(text: str) -> bool:
    """Whether a text holds what looks like a key, an address with a user or a secret, or is `X-Api-Key: ...`."""
    if _SHAPES.search(text) or _IN_ADDRESS.search(text) or _without_parameters(text) != text:
        return True
    field = _FIELD.fullmatch(text)
    return field is not None and names_a_secret(field[1])


def secrets_in(value: Any, at: tuple[str | int, ...] = (), below: bool = False) -> Iterator[tuple[str | int, ...]]:
    """Where secrets stand in plain data, as paths of keys; a key that is one itself is called `[key]`.

    `below`: whether a name above says that all of this is secret. A switch is none, nor a variable's name (`..._env`).
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if looks_secret(str(key)):
                yield (*at, "[key]")
            else:
                yield from secrets_in(inner, (*at, key), below or names_a_secret(str(key)))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from secrets_in(inner, (*at, place), below)
    elif at and _is_secret(value, below and not str(at[-1]).endswith("_env")):
        yield at


def _is_secret(value: Any, named: bool) -> bool:
    if value is None or value == "" or isinstance(value, bool):
        return False
    return named or looks_secret(str(value))


def _without_parameters(text: str) -> str:
    """Without the values in addresses' queries and fragments that are secret by their name."""
    return _ADDRESS.sub(lambda address: _PARAMETER.sub(_hidden_parameter, address[0]), text) if "://" in text else text


def _hidden_parameter(found: re.Match[str]) -> str:
    secret = names_a_secret(found[1]) or found[1].lower() in _SIGNS
    return f"{found[1]}=[hidden]" if secret else found[0]


def spellings(secret: str) -> re.Pattern[str]:
    """What matches a secret as JSON may spell it, in text within text too, and as an address does."""
    return re.compile("".join(map(_spellings, secret)), re.IGNORECASE)


def _spellings(character: str) -> str:
    ways = [rf"\\*{re.escape(character)}", rf"\\+u{ord(character):04x}"]
    return f"(?:{'|'.join([*ways, f'%{ord(character):02x}'] if character.isascii() else ways)})"


def hidden(text: str) -> str:
    """A text without keys, without passwords in addresses, and without what the environment's secrets hold."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and value in text and _VARIABLES.search(name):
            text = text.replace(value, f"[{name}]")
    return _IN_ADDRESS.sub("[hidden]", _SHAPES.sub("[key]", _without_parameters(text)))


def hidden_values(setting: str) -> str:
    """An override such as `engine.api_key=...` without the value of a secret."""
    path, equals, _ = setting.partition("=")
    if equals and any(map(names_a_secret, path.split("."))):
        return f"{path}=[hidden]"
    return hidden(_ASSIGNED.sub(r"\1[hidden]", setting))
