"""Templates to prompts: what a model is shown, in the chat or the transcript dialect.

A template is sandboxed Jinja2. In the chat dialect it opens turns with `{{ turn("user") }}`,
`{{ turn("assistant") }}` and `{{ turn("system") }}`, and `{{ turn("reply") }}` begins the text that the reply is
forced to start with. In the transcript dialect the template is the whole text. Text that comes from a model or a
user is inserted once, is never read again as a template, and cannot open a turn.
"""

from __future__ import annotations

import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context
from pydantic import BaseModel, ConfigDict, Field

from cai.disk import explained
from cai.errors import InputError, first_line
from cai.identity import digest
from cai.records import Message, Role
from cai.resources import shipped
from cai.sandbox import Sandbox
from cai.yamlfile import read_text, read_yaml

Step = Literal[
    "respond",
    "check",
    "critique",
    "revise",
    "direct",
    "compare",
    "compare_last",
    "reason",
    "conclude",
    "verdict",
    "rate",
    "steer",
    "more",
    "refusal",
    "evasion",
    "harm",
]

_ANSWERED = frozenset({"messages", "few_shot", "response", "principles"})
_PAIRED = frozenset({"messages", "few_shot", "principle", "opening", "a", "b"})

VARIABLES: Mapping[Step, frozenset[str]] = {
    "respond": frozenset({"messages"}),
    "check": _ANSWERED,
    "critique": _ANSWERED,
    "revise": _ANSWERED | {"critique"},
    "direct": _ANSWERED,
    "compare": _PAIRED,
    "compare_last": _PAIRED,
    "reason": _PAIRED,
    "conclude": _PAIRED | {"thoughts"},
    "verdict": _PAIRED,
    "rate": frozenset({"messages", "principle", "response"}),
    "steer": frozenset({"messages", "instruction"}),
    "more": frozenset({"examples", "kind"}),
    "refusal": frozenset({"messages", "response", "options"}),
    "evasion": frozenset({"messages", "response", "options"}),
    "harm": frozenset({"messages", "response"}),
}
"""What each template may name."""

Files = Mapping[str, Path]
"""Where each file of a dialect lies."""

_OPEN, _CLOSE = "\x1e", "\x1f"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt ready for an engine: `messages` in the chat dialect, else `text`.

    The reply continues `reply_start`, which the engine adds and which is no part of the reply. It ends before any
    of `stop`.
    """

    messages: tuple[Message, ...] = ()
    text: str = ""
    reply_start: str = ""
    stop: tuple[str, ...] = ()

    def readable(self) -> str:
        """The very prompt as one text; turns of a chat are named, and what the reply is made to begin with is last."""
        turns = [f"[{message.role}]\n{message.content}" for message in self.messages]
        begun = [f"[reply begins]\n{self.reply_start}"] if self.reply_start else []
        return self.text or "\n".join([*turns, *begun])


class DialectFile(BaseModel):
    """`dialect.yaml` beside the templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["messages", "text"] = Field(description="`messages`: turns of a chat; `text`: one transcript.")
    stop: tuple[str, ...] = Field((), description="A reply ends before any of these.")
    markers: tuple[str, ...] = Field((), description="What opens a turn; broken up where quoted text holds it.")


class _Turn(str):
    """A turn marker that the template itself wrote, told apart from text that was inserted."""


class Templates:
    """The templates of one dialect. `system` opens every conversation: a turn of its own, or a transcript's start.

    A `folder` of one's own may hold some of the files; the others are those that ship. Raises InputError with
    `file:line:` for a template that is not valid or names an unknown variable.
    """

    def __init__(self, dialect: str, folder: Path | None = None, system: str | None = None) -> None:
        homes = _homes(dialect, folder)
        files = {path.name: path for home in reversed(homes) for path in sorted(home.iterdir()) if path.is_file()}
        self.dialect = read_yaml(files["dialect.yaml"]).check(DialectFile)
        environment = Sandbox(
            _turn,
            loader=jinja2.FileSystemLoader(homes),
            undefined=jinja2.StrictUndefined,
            finalize=self._insert,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # a run is shown one text throughout, and no file is looked at again for each prompt
        )
        environment.globals = {"turn": _turn} if self.dialect.form == "messages" else {}
        self._environment = environment
        self._templates = {step: _load(environment, files, step) for step in VARIABLES}
        for name in sorted(files):
            if name.endswith(".jinja") and Path(name).stem not in VARIABLES:
                _load_part(environment, files, name)
        self._sources = {name: read_text(path) for name, path in sorted(files.items())}
        self._system, self._name = system, dialect

    def __reduce__(self) -> tuple[Callable[..., Templates], tuple[object, ...]]:
        """Sent to another machine as the texts they were read from: the folder may not be there."""
        return _sent, (self._name, self._sources, self._system)

    def digest(self, *steps: Step) -> str:
        """Names all that these steps are rendered from: their templates, what those include, and the dialect."""
        names, waiting = {"dialect.yaml"}, [f"{step}.jinja" for step in steps]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += self._included(name)
        return digest({name: self._sources[name] for name in names})

    def render(self, step: Step, **variables: Any) -> Rendered:
        """The prompt of one step. Raises InputError where the template fails on these values."""
        self._environment.begin()
        try:
            text = self._templates[step].render(variables)
        except (jinja2.TemplateError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
            raise InputError(f"{_where(error)}: {error}") from None
        if self.dialect.form == "text":
            return Rendered(text=self._opened(text), stop=self.dialect.stop)
        messages, reply_start = _turns(text, step)
        return Rendered(messages=self._led(messages), reply_start=reply_start, stop=self.dialect.stop)

    def _included(self, name: str) -> list[str]:
        """What a template includes; where a name is computed, it may be any file."""
        found = list(meta.find_referenced_templates(self._environment.parse(self._sources[name])))
        if None in found:
            return [one for one in self._sources if one.endswith(".jinja")]
        return [one for one in found if one]

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


def _sent(dialect: str, sources: Mapping[str, str], system: str | None) -> Templates:
    """Templates from their texts. The folder that they are written to lives as long as they do."""
    with explained("the folder for temporary files ($TMPDIR)"), ExitStack() as undo:
        folder = tempfile.TemporaryDirectory(prefix="cai-templates-", ignore_cleanup_errors=True)
        undo.callback(folder.cleanup)
        home = Path(folder.name) / dialect
        home.mkdir()
        for name, text in sources.items():
            (home / name).write_text(text, "utf-8")
        undo.pop_all()
    templates = Templates(dialect, Path(folder.name), system)
    weakref.finalize(templates, folder.cleanup)
    return templates


def neutralise(text: str, markers: tuple[str, ...] | list[str]) -> str:
    """Breaks every marker that `text` holds by a space before its last visible character."""
    for marker in markers:
        broken = f"{marker[:-1]} {marker[-1]}"
        while marker in text and marker not in broken:  # again, since breaking "[[[[[[" leaves a "[[[" in the middle
            text = text.replace(marker, broken)
    return text


def _turn(role: str) -> _Turn:
    return _Turn(f"{_OPEN}{role}{_CLOSE}")


def _turns(text: str, step: str) -> tuple[tuple[Message, ...], str]:
    """Cuts rendered text at its turn markers into messages and what a last turn `reply` begins with."""
    before, *parts = text.split(_OPEN)
    if before.strip() or not parts:
        raise InputError(f"template {step}.jinja: must start with a turn, such as {{{{ turn('user') }}}}")
    reply_start = ""
    if len(parts) > 1 and parts[-1].startswith(f"reply{_CLOSE}"):
        reply_start = parts.pop().split(_CLOSE, 1)[1].strip()
    try:
        return tuple(map(_message, parts)), reply_start
    except _UnknownRole as error:
        known = ", ".join(get_args(Role))
        role = error.args[0]
        raise InputError(
            f"template {step}.jinja: turn({role!r}): expected one of {known}, or a last turn 'reply'"
        ) from None


class _UnknownRole(Exception):
    """A template opened a turn of nobody."""


@lru_cache(maxsize=1024)
def _message(part: str) -> Message:
    """One turn; the space around it is the template's layout. Worked examples come again in every prompt."""
    role, content = part.split(_CLOSE, 1)
    if role not in get_args(Role):
        raise _UnknownRole(role)
    return Message.model_validate({"role": role, "content": content.strip()})


def _where(error: BaseException) -> str:
    """`file:line` of the innermost template that an error came through."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next((f"{file}:{line}" for file, line in reversed(frames) if file.endswith(".jinja")), "template")


def _homes(dialect: str, folder: Path | None) -> list[Path]:
    """Where templates are looked for, first place first. Raises InputError where the user's own folder has none."""
    home = shipped("prompts") / "templates" / dialect
    if folder is None:
        return [home]
    if not (folder / dialect).is_dir():
        raise InputError(f"templates: {folder / dialect} is missing; put your {dialect} templates there")
    return [folder / dialect, home]


def _load(environment: jinja2.Environment, files: Files, step: Step) -> jinja2.Template:
    path = files[f"{step}.jinja"]
    unknown = meta.find_undeclared_variables(_parse(environment, files, path)) - VARIABLES[step]
    unknown -= set(environment.globals)
    if unknown:
        known = ", ".join(sorted(VARIABLES[step]))
        raise InputError(f"{path}: names {', '.join(sorted(unknown))}; a {step} template may name: {known}")
    return _compiled(environment, path)


def _compiled(environment: jinja2.Environment, path: Path) -> jinja2.Template:
    """A template, its globals in a plain dict: Jinja copies them for every prompt, and its own kind slowly."""
    try:
        template = environment.get_template(path.name)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    template.globals = dict(environment.globals)
    return template


_UNREADABLE = (RecursionError, MemoryError, SyntaxError, ValueError)
"""What Python says of a template that is nested too deeply, and of a number that is too long."""


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: cannot be read as a template ({first_line(error)}); nest less in it")


def _load_part(environment: jinja2.Environment, files: Files, name: str) -> None:
    """Checks a template that others include. One that shows the worked examples alone is rendered once for them."""
    tree = _parse(environment, files, files[name])
    part = _compiled(environment, files[name])
    named = meta.find_undeclared_variables(tree) - set(environment.globals)
    if named == {"few_shot"} and not any(meta.find_referenced_templates(tree)):
        part.root_render_func = _once(part.root_render_func)


def _once(render: Callable[[Context], Iterator[str]]) -> Callable[[Context], Iterator[str]]:
    """Remembers what was rendered for the last worked examples: a stage shows the same ones in every prompt."""
    known: tuple[object, str] = (None, "")

    def rendered(context: Context) -> Iterator[str]:
        nonlocal known
        examples = context.resolve_or_missing("few_shot")
        if known[0] is not examples:
            known = examples, "".join(render(context))
        yield known[1]

    return rendered


def _parse(environment: jinja2.Environment, files: Files, path: Path) -> nodes.Template:
    """Raises InputError with `file:line:` where a template is not valid, or where one that it includes is missing."""
    source = read_text(path)
    try:
        tree = environment.parse(source)
        environment.compile(tree, raw=True)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: {error.message}") from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    for name in meta.find_referenced_templates(tree):
        if name and name not in files:
            raise InputError(f"{path}: includes {path.parent / name}, which is missing")
    return tree
