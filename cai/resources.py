"""Finds what ships with cai, in a clone or in an installed wheel: constitutions, prompts, recipes."""

from __future__ import annotations

import difflib
from pathlib import Path

from cai.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder `constitutions`, `prompts` or `recipes` that ships with this version."""
    inside = _PACKAGE / "_shipped" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def find(folder: str, name: str, suffix: str, beside: Path | None = None, also: tuple[str, ...] = ()) -> Path:
    """The file `name`: a path (as given, or relative to `beside`), or the name of a shipped file.

    A shipped file with a suffix of `also` is named with it. Raises InputError that names the nearest shipped file.
    """
    home = shipped(folder)
    places = [Path(name), *([beside / name] if beside else []), home / f"{name}{suffix}", home / name]
    for place in places:
        if is_file(place):
            return place
    known = [str(path.relative_to(home).with_suffix("")) for path in home.rglob(f"*{suffix}")]
    known = sorted([*known, *(str(path.relative_to(home)) for more in also for path in home.rglob(f"*{more}"))])
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = repr(name if len(name) <= 200 else f"{name[:197]}...")
    raise InputError(f"no file {shown} and nothing of that name ships in {folder}/; {hint}shipped: {', '.join(known)}")


def leads_down(place: object) -> bool:
    """Whether a text is a path to no place but below where it begins."""
    return isinstance(place, str) and not Path(place).is_absolute() and ".." not in Path(place).parts


def is_file(path: Path) -> bool:
    """False also where the system will not say: a name too long, a folder that may not be read."""
    try:
        return path.is_file()
    except OSError:
        return False
