"""Commands for writing a constitution: init and lint."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console

from cai.constitution import Constitution, check_constitution, load_constitution, read_constitution
from cai.errors import InputError, Mistake
from cai.few_shot import comparison_examples, reasoning_examples, revision_examples
from cai.lint.rules import Finding, findings, placed
from cai.resources import find, shipped
from cai.terminal import say
from cai.yamlfile import YamlFile

TEMPLATES = Path(__file__).resolve().parent.parent / "drafts"


def start(console: Console, name: str, to: Path, extends: str | None) -> None:
    """Writes a constitution and a recipe that uses it, and prints what to type next.

    Raises InputError for a name that a file or a run can't have, for a file that is there already, and for the mistakes
    of the constitution to start from.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(
            f"{name!r} can't be a name: give letters, digits, '-' and '_', and begin with one of the former"
        )
    constitution, recipe = to / f"{name}.yaml", to / f"{name}-recipe.yaml"
    texts = {
        constitution: _drafted("constitution", name=name, **_parent(extends, to)),
        recipe: _drafted("recipe", name=name),
    }
    for path in texts:
        if path.exists():
            raise InputError(f"{path} is there already and stays as it is; take another name, or a folder with --to")
    for path, text in texts.items():
        _write(path, text)
    asked = 'cai try {} "Why do people lie?"'
    lines = [
        ("cai lint {}", constitution),
        ("cai test {}", constitution),
        (asked, constitution),
        ("cai run {}", recipe),
    ]
    say(console, f"wrote {constitution} and {recipe}. Next:")
    for line, path in lines:
        say(console, "  " + line.format(shlex.quote(str(path))))


def check(console: Console, name: str, as_json: bool, strict: bool) -> int:
    """Prints what is wrong and what is doubtful in a constitution, and returns the exit code.

    Mistakes are raised as InputError. With `as_json` all is printed instead, as one object: `file`, `mistakes` (each
    with `file`, `line`, `where`, `message`) and `warnings` (each also with `rule`).
    """
    try:
        file, constitution = _read(find("constitutions", name, ".yaml"))
    except InputError as error:
        if not as_json:
            raise
        _print_json(console, name, list(map(_record, error.mistakes)), [])
        return InputError.exit_code
    found = findings(file, constitution)
    if as_json:
        _print_json(console, name, [], [dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            say(console, str(one))
        say(console, _summary(constitution, found))
    return 1 if strict and found else 0


def _read(path: Path) -> tuple[YamlFile, Constitution]:
    """A constitution and the file it comes from. Raises InputError for mistakes, worked examples included."""
    file = read_constitution(path)
    constitution = check_constitution(file)
    if mistakes := list(_unreadable(file, constitution)):
        raise InputError(*mistakes)
    return file, constitution


_READERS = {"revision": revision_examples, "comparison": comparison_examples, "reasoning": reasoning_examples}
"""What reads each kind of worked examples."""


def _unreadable(file: YamlFile, constitution: Constitution) -> Iterator[Mistake]:
    """The mistakes of worked examples that rest in files."""
    folder = Path(file.name).parent
    for part, read in _READERS.items():
        try:
            read(getattr(constitution.few_shot, part), 0, folder)
        except InputError as error:
            for one in error.mistakes:
                yield one if one.place else file.mistake(("few_shot", part), one.message)


def _record(mistake: Mistake) -> dict[str, Any]:
    file, line = placed(mistake.place)
    return {"file": file or None, "line": line, "where": mistake.where, "message": mistake.message}


def _summary(constitution: Constitution, found: Sequence[Finding]) -> str:
    counts = (
        f"{len(constitution.principles)} principles, {len(constitution.able('revision'))} for critique and revision, "
        f"{len(constitution.able('comparison'))} for comparison"
    )
    warnings = f", {len(found)} warning{'s' if len(found) > 1 else ''}" if found else ""
    return f"{constitution.name}: {counts}: no mistakes{warnings}"


def _parent(extends: str | None, to: Path) -> dict[str, Any]:
    """What the draft of a constitution says of the one it starts from, which a file in `to` must find."""
    if extends is None:
        return {"extends": None}
    path, parent = find("constitutions", extends, ".yaml"), load_constitution(extends)
    here = path if not path.is_relative_to(shipped("constitutions")) else None
    ids = [principle.id for principle in parent.principles]
    return {
        "extends": json.dumps(os.path.relpath(path.resolve(), to.resolve()) if here else path.stem),
        "extended": parent.name,
        "inherited": textwrap.wrap(", ".join(ids), 100, break_long_words=False, break_on_hyphens=False),
        "first": ids[0],
        "last": ids[-1],
    }


def _drafted(kind: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{kind}.yaml.jinja").render(values)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def _print_json(console: Console, name: str, mistakes: list[Any], warnings: list[Any]) -> None:
    console.print_json(json.dumps({"file": name, "mistakes": mistakes, "warnings": warnings}))
