"""The sandbox that prompt templates run in: no way into Python, and bounds on what a template can make of a few words.

Jinja2's own sandbox keeps templates from attributes that lead out of them. It does not bound work: `'a' * 10 ** 9` is
computed while the template is read, padding takes any width, and loops within loops take any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS = 100_000
"""Turns of all loops, calls and includes in one prompt: a conversation of 1,000 turns takes some thousand."""
MOST_REPEATS = 10_000
"""What a `*` may yield: items, characters, or bits of a number."""
_UNBOUNDED = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "translate"})
"""Methods of text that take any width."""
_WIDENING = frozenset({"batch", "center", "format", "slice"})
"""Filters that do."""


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that decides once for each type and attribute, which is all that its rule looks at.

    `plain` is called as it is: a function of ours, which needs no looking into.
    """

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, plain: Any, **options: Any) -> None:
        super().__init__(optimized=False, **options)  # else constants are computed while a template is read
        self._plain, self._safe, self._steps = plain, dict[tuple[type, str], bool](), MOST_STEPS
        self.filters = {name: each for name, each in self.filters.items() if name not in _WIDENING}
        self.filters |= {"indent": _indented, "_counted": self._counted}

    def begin(self) -> None:
        """A new prompt: nothing of its steps is used up."""
        self._steps = MOST_STEPS

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read `attr` of `obj`."""
        key = type(obj), attr
        if key not in self._safe:
            widens = isinstance(obj, str) and attr in _UNBOUNDED
            self._safe[key] = not widens and super().is_safe_attribute(obj, attr, value)
        return self._safe[key]

    def wrap_str_format(self, value: Any) -> Any:
        """Formats can ask for any width, so text has none of its own here."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("text.format is not allowed here; join words with ~")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls what a template names."""
        if __obj is not __self._plain:
            __self._count()
            return super().call(__context, __obj, *args, **kwargs)
        given = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
        return __self._plain(*args, **given)

    def get_template(self, *args: Any, **kwargs: Any) -> jinja2.Template:
        """A template, also one that another includes while it is rendered."""
        self._count()
        return super().get_template(*args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`*`, `**` and `%` where what they yield is of a size that a prompt can need."""
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("text % values is not allowed here; join them with ~")
        if operator != "%" and _yields(operator, left, right) > MOST_REPEATS:
            raise SecurityError(f"{operator} yields more than {MOST_REPEATS} items or bits")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The tree of a template, each loop of which counts its turns."""
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
        tree.set_environment(self)
        return tree

    def _counted(self, items: Iterable[Any]) -> Iterable[Any]:
        if not isinstance(items, Sized):
            return self._one_by_one(items)
        self._count(len(items))
        return items

    def _one_by_one(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._count()
            yield item

    def _count(self, steps: int = 1) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise SecurityError(f"takes more than {MOST_STEPS} turns of loops, calls and includes")


def _yields(operator: str, left: Any, right: Any) -> int:
    """Items, characters or bits of what comes out."""
    if operator == "**":
        return left.bit_length() * max(right, 0) if isinstance(left, int) and isinstance(right, int) else 0
    sides = [side for side in (left, right) if not isinstance(side, int)]
    if not sides:
        return left.bit_length() + right.bit_length()
    times = next((side for side in (left, right) if isinstance(side, int)), 0)
    return len(sides[0]) * max(times, 0) if isinstance(sides[0], str | bytes | list | tuple) else 0


def _indented(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja2's `indent`, up to a width that a page has."""
    if isinstance(width, int) and width > 200:
        raise SecurityError("indent: wider than 200")
    return do_indent(text, width, first, blank)
