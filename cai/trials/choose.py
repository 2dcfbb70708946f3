"""Principles by the ids that a user types."""

from __future__ import annotations

import difflib

from cai.constitution import Constitution, Principle
from cai.errors import InputError


def named(constitution: Constitution, name: str) -> Principle:
    """The principle of that id. Raises InputError with the nearest id where there is none."""
    known = {principle.id: principle for principle in constitution.principles}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}"
    raise InputError(f"constitution {constitution.name!r} has no principle {name!r}; {hint}")
