"""A user's own functions, named `module:function`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cai.errors import InputError, first_line


def load_function(name: str, beside: Path | None = None) -> Callable[..., Any]:
    """The function that `module:function` names: of the working folder, then of `beside`, then where Python looks.

    Raises InputError where it can't be imported.
    """
    module, found = _module(name, beside), name.partition(":")[2]
    if not callable(function := getattr(module, found, None)):
        known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        near = difflib.get_close_matches(found, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known) or 'none'}"
        raise InputError(f"function {name!r}: {module.__file__} has no function {found!r}; {hint}")
    return function


def fingerprint_of(name: str, beside: Path | None = None) -> str:
    """What stands for a function in a digest: the text of its module. Raises InputError as `load_function` does."""
    load_function(name, beside)
    file = _module(name, beside).__file__
    return hashlib.sha256(Path(file).read_bytes() if file else name.encode()).hexdigest()[:16]


def _module(name: str, beside: Path | None) -> ModuleType:
    module = name.partition(":")[0]
    try:
        with _looked_for(Path.cwd(), *([beside] if beside else [])):
            return importlib.import_module(module)
    except (ImportError, SyntaxError) as error:
        raise InputError(
            f"function {name!r}: {module!r} cannot be imported ({first_line(error)}); expected module:function, where "
            "module is a Python file in the working folder or beside the recipe, or an installed package"
        ) from None


@contextmanager
def _looked_for(*folders: Path) -> Iterator[None]:
    """While it is open, Python looks into these folders first."""
    before = list(sys.path)
    sys.path[:0] = map(str, folders)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
