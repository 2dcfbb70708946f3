"""The errors a user can act on: each says what was found, what was expected and what to do.

To add one: subclass `CaiError` and the standard type it resembles, choose an exit code that no other
class here uses, and say in the docstring when it is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from cai.credentials import hidden

DISTRIBUTION = "constitutional-ai"


class CaiError(Exception):
    """Base of every error that `cai` raises on purpose, without secrets; `exit_code` is what the shell sees."""

    exit_code = 1

    def __str__(self) -> str:
        return hidden(super().__str__())


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong. `place`: `file:line`, or what else it came from; `where`: its keys; "" where unknown."""

    message: str
    place: str = ""
    where: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.where, self.message) if part)


class InputError(CaiError, ValueError):
    """A recipe, constitution, template, override or prompt file is not what it must be: one mistake a line."""

    exit_code = 2

    def __init__(self, *mistakes: str | Mistake) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(one if isinstance(one, Mistake) else Mistake(one) for one in mistakes)


class MissingExtra(CaiError, ImportError):
    """A stage needs a package that is not installed; the message has the exact pip line."""

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is needed here and is not installed\n  do this: pip install {_requirement(extra)}"
        )


class StoreError(CaiError, OSError):
    """A run on disk is damaged, locked by another process, or cannot be written (a full disk)."""

    exit_code = 4


class EngineError(CaiError, RuntimeError):
    """A model could not be found, loaded or asked."""

    exit_code = 5


class ItemFailed(EngineError):
    """One call could not be answered in the end; others may be. Its item is recorded, and asked again later."""


class Interrupted(CaiError):
    """Ctrl-C, taken at a safe point: everything finished so far is stored."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """What an error says first, or its name where it says nothing: for quoting it within a message of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around late imports: a package that is absent becomes MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "cai":
            raise
        raise MissingExtra(error.name.split(".")[0], extra) from None


def _requirement(extra: str) -> str:
    """How this very installation is named to pip: a clone by its folder, a wheel by its name."""
    folder = _editable_folder()
    return f"-e '{folder}[{extra}]'" if folder else f"'{DISTRIBUTION}[{extra}]'"


def _editable_folder() -> Path | None:
    try:
        origin = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return Path(__file__).resolve().parent.parent
    details = json.loads(origin) if origin else {}
    if not details.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(details["url"]).path))
