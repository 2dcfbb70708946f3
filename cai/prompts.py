"""Templates to prompts: what a model is shown, in the chat or the transcript dialect.

A template is sandboxed Jinja2. In the chat dialect it opens turns with `{{ turn("user") }}`,
`{{ turn("assistant") }}` and `{{ turn("system") }}`, and `{{ turn("reply") }}` begins the text that the reply is
forced to start with. In the transcript dialect the template is the whole text. Text that comes from a model or a
user is inserted once, is never read again as a template, and cannot open a turn.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field

from cai.errors import InputError
from cai.identity import digest
from cai.records import Message, Role
from cai.resources import shipped
from cai.yamlfile import read_text, read_yaml

Step = Literal["respond", "critique", "revise", "compare"]

VARIABLES: Mapping[Step, frozenset[str]] = {
    "respond": frozenset({"messages"}),
    "critique": frozenset({"messages", "few_shot", "response", "principle"}),
    "revise": frozenset({"messages", "few_shot", "response", "principle", "critique"}),
    "compare": frozenset({"messages", "few_shot", "principle", "a", "b"}),
}
"""What each template may name."""

_OPEN, _CLOSE = "\x1e", "\x1f"


class Rendered(BaseModel):
    """A prompt ready for an engine: `messages` in the chat dialect, else `text`.

    The reply continues `reply_start`, which the engine adds and which is no part of the reply. It ends before any
    of `stop`.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = ()
    text: str = ""
    reply_start: str = ""
    stop: tuple[str, ...] = ()


class DialectFile(BaseModel):
    """`dialect.yaml` beside the templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["messages", "text"] = Field(description="`messages`: turns of a chat; `text`: one transcript.")
    stop: tuple[str, ...] = Field((), description="A reply ends before any of these.")
    markers: tuple[str, ...] = Field((), description="What opens a turn; broken up where quoted text holds it.")


class _Turn(str):
    """A turn marker that the template itself wrote, told apart from text that was inserted."""


class Templates:
    """The four templates of one dialect. `system` opens every conversation: a turn of its own, or a transcript's start.

    Raises InputError with `file:line:` for a template that is missing, not valid, or names an unknown variable.
    """

    def __init__(self, dialect: str, folder: Path | None = None, system: str | None = None) -> None:
        home = (folder or shipped("prompts") / "templates") / dialect
        self.dialect = read_yaml(home / "dialect.yaml").check(DialectFile)
        environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(home),
            undefined=jinja2.StrictUndefined,
            finalize=self._insert,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals = {"turn": _turn} if self.dialect.form == "messages" else {}
        self._templates = {step: _load(environment, home, step) for step in VARIABLES}
        for path in sorted(home.glob("*.jinja")):
            if path.stem not in VARIABLES:
                _parse(environment, path)
        sources = {path.name: read_text(path) for path in sorted(home.iterdir()) if path.is_file()}
        self.digest = digest(sources)
        self._system = system

    def render(self, step: Step, **variables: Any) -> Rendered:
        """The prompt of one step. Raises InputError where the template fails on these values."""
        try:
            text = self._templates[step].render(variables)
        except (jinja2.TemplateError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
            raise InputError(f"{_where(error)}: {error}") from None
        if self.dialect.form == "text":
            return Rendered(text=self._opened(text), stop=self.dialect.stop)
        turns = _turns(text, step)
        reply_start = turns.pop()[1] if turns[-1][0] == "reply" else ""
        messages = tuple(Message.model_validate({"role": role, "content": content}) for role, content in turns)
        return Rendered(messages=self._led(messages), reply_start=reply_start, stop=self.dialect.stop)

    def _opened(self, text: str) -> str:
        """A transcript that begins with the system prompt."""
        return f"{self._system}{text}" if self._system else text

    def _led(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """A conversation that begins with the system prompt; a system turn of its own follows in the same turn."""
        if not self._system:
            return messages
        own = messages and messages[0].role == "system"
        content = f"{self._system}\n\n{messages[0].content}" if own else self._system
        return (Message(role="system", content=content), *messages[1 if own else 0 :])

    def _insert(self, value: Any) -> Any:
        if isinstance(value, _Turn) or not isinstance(value, str):
            return value
        return neutralise(value.replace(_OPEN, "").replace(_CLOSE, ""), self.dialect.markers)


def neutralise(text: str, markers: tuple[str, ...] | list[str]) -> str:
    """Breaks every marker that `text` holds by a space before its last visible character."""
    for marker in markers:
        broken = f"{marker[:-1]} {marker[-1]}"
        while marker in text and marker not in broken:  # again, since breaking "[[[[[[" leaves a "[[[" in the middle
            text = text.replace(marker, broken)
    return text


def _turn(role: str) -> _Turn:
    return _Turn(f"{_OPEN}{role}{_CLOSE}")


def _turns(text: str, step: str) -> list[tuple[str, str]]:
    """Splits rendered text at its turn markers; the space around each turn is the template's layout."""
    before, *parts = text.split(_OPEN)
    if before.strip() or not parts:
        raise InputError(f"template {step}.jinja: must start with a turn, such as {{{{ turn('user') }}}}")
    turns = [(role, content.strip()) for role, content in (part.split(_CLOSE, 1) for part in parts)]
    for index, (role, _) in enumerate(turns):
        if role not in get_args(Role) and not (role == "reply" and 0 < index == len(turns) - 1):
            known = ", ".join(get_args(Role))
            raise InputError(f"template {step}.jinja: turn({role!r}): expected one of {known}, or a last turn 'reply'")
    return turns


def _where(error: BaseException) -> str:
    """`file:line` of the innermost template that an error came through."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next((f"{file}:{line}" for file, line in reversed(frames) if file.endswith(".jinja")), "template")


def _load(environment: jinja2.Environment, home: Path, step: Step) -> jinja2.Template:
    path = home / f"{step}.jinja"
    unknown = meta.find_undeclared_variables(_parse(environment, path)) - VARIABLES[step] - set(environment.globals)
    if unknown:
        known = ", ".join(sorted(VARIABLES[step]))
        raise InputError(f"{path}: names {', '.join(sorted(unknown))}; a {step} template may name: {known}")
    return environment.get_template(path.name)


def _parse(environment: jinja2.Environment, path: Path) -> nodes.Template:
    """Raises InputError with `file:line:` where a template is not valid, or where one that it includes is missing."""
    source = read_text(path)
    try:
        tree = environment.parse(source)
        environment.compile(tree, raw=True)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: {error.message}") from None
    for name in meta.find_referenced_templates(tree):
        if name and not (path.parent / name).is_file():
            raise InputError(f"{path}: includes {path.parent / name}, which is missing")
    return tree
