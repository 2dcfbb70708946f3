"""What lies in a folder of weights, from its files' names and headers: refused where it is a pickle, or damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cai.errors import EngineError, first_line

ADAPTER = "adapter_model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_INSTEAD = {"adapter_model": ADAPTER, "pytorch_model": "model*.safetensors"}
"""By how a pickle's name begins, the file that libraries read rather than it; other names are read by none."""
_LONGEST = 100_000_000
"""Bytes of a header, by the format's own limit."""


def sound(folder: Path) -> Path:
    """The same folder; raises EngineError where its weights are pickles, or where a file of it is damaged.

    Reads names, JSON and headers: a file that is cut off is found, a byte that changed within a tensor is not.
    """
    if not (folder / "config.json").is_file():
        raise EngineError(f"{folder} holds no config.json; expected a folder that `save_pretrained` wrote")
    without_pickles(folder)
    _settings(folder / "config.json")
    for index in folder.glob("*.safetensors.index.json"):
        _check_shards(index)
    for file in folder.glob("*.safetensors"):
        shapes(file)
    return folder


def with_weights(folder: Path) -> Path:
    """The same folder; raises EngineError where it holds no weights at all."""
    if not any(folder.glob("*.safetensors")):
        raise EngineError(
            f"{folder} holds no weights; expected model.safetensors, or its parts beside "
            "model.safetensors.index.json, as `save_pretrained` writes them"
        )
    return folder


def sound_adapter(folder: Path) -> Path:
    """The same folder of a LoRA adapter. Raises EngineError as `sound`, and where the adapter's weights are missing.

    Without them peft would look on the hub for a model that is called as the folder is, and take a pickle.
    """
    without_pickles(folder)
    if not (folder / ADAPTER).is_file():
        raise EngineError(f"{folder} holds no {ADAPTER}; expected a folder that peft's `save_pretrained` wrote")
    shapes(folder / ADAPTER)
    return folder


def without_pickles(folder: Path) -> Path:
    """The same folder; raises EngineError where its weights are pickles alone, which can run code as they are read."""
    for path in sorted(path for pattern in _PICKLES for path in folder.glob(pattern)):
        instead = next((name for stem, name in _INSTEAD.items() if path.name.startswith(stem)), "*.safetensors")
        if not any(folder.glob(instead)):
            raise EngineError(
                f"{folder} holds its weights as a pickle ({path.name}), which can run code when it is read; expected "
                f"safetensors ({instead}): convert it with transformers, where you trust it, by from_pretrained and "
                "save_pretrained"
            )
    return folder


def shapes(file: Path) -> list[list[int]]:
    """The shape of each tensor, from the header of a safetensors file. Raises EngineError where it is none, or cut."""
    with _readable(file, "a whole safetensors file"), file.open("rb") as stream:
        size, length = file.stat().st_size, int.from_bytes(stream.read(8), "little")
        if length > min(_LONGEST, size - 8):
            raise ValueError(f"of its {size} bytes, {length} are said to be a header")
        header: dict[str, Any] = json.loads(stream.read(length))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
        if end > size:
            raise ValueError(f"it has {size} bytes of {end}")
        return [[_side(side) for side in tensor["shape"]] for tensor in tensors]


def elements(file: Path) -> int:
    """Elements of all tensors of a safetensors file. Raises EngineError as `shapes`."""
    return sum(map(math.prod, shapes(file)))


def _side(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a tensor has a side of {value!r}")
    return value


def _settings(file: Path) -> dict[str, Any]:
    with _readable(file, "a JSON object"):
        found = json.loads(file.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}")
        return found


def _check_shards(index: Path) -> None:
    """Raises EngineError where weights that are in several files miss one."""
    told = _settings(index)
    with _readable(index, "an index of safetensors files"):
        missing = sorted(name for name in set(told["weight_map"].values()) if not (index.parent / name).is_file())
    if missing:
        raise EngineError(
            f"{index.parent}: {missing[0]} is missing, which {index.name} names; fetch or copy the whole folder again"
        )


@contextmanager
def _readable(file: Path, kind: str) -> Iterator[None]:
    """Whatever the content of a file leads to, as one error that says what it should have been."""
    try:
        yield
    except EngineError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise EngineError(
            f"{file} is not {kind} ({first_line(error)}); fetch or copy the whole folder again, or name another"
        ) from None
