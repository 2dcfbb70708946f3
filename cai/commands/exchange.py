"""Commands on constitutions of other projects: import, and export of one of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote

from rich.console import Console

from cai.constitution import check_constitution, read_constitution
from cai.errors import InputError
from cai.exchange.bundle import Bundle, Exported, Imported
from cai.exchange.llm_swarm import read_llm_swarm, write_llm_swarm
from cai.exchange.nemo import read_nemo, write_nemo
from cai.exchange.paper import read_paper, write_paper
from cai.exchange.writing import write_exported, write_imported
from cai.few_shot import comparison_examples, revision_examples
from cai.resources import find
from cai.terminal import say

FORMS: dict[str, tuple[Callable[[Path], Imported], Callable[[Bundle], Exported]]] = {
    "paper": (read_paper, write_paper),
    "llm-swarm": (read_llm_swarm, write_llm_swarm),
    "nemo": (read_nemo, write_nemo),
}
"""How each form is read and written."""


def import_constitution(console: Console, form: str, source: Path, to: Path) -> None:
    """Writes constitutions and worked examples, and prints what was written and what to try next."""
    read, _ = _form(form)
    imported = read(source)
    for path, held in write_imported(imported, form, to):
        say(console, f"wrote {path}: {held}")
    for note in imported.notes:
        say(console, f"note: {note}")
    say(console, imported.licence)
    path = quote(str(to / imported.main))
    say(console, f"next: cai lint {path}\n      cai run quickstart constitution={path}")


def export_constitution(console: Console, form: str, name: str, to: Path) -> None:
    """Writes a constitution with its worked examples in another project's form, and prints what that form drops."""
    _, write = _form(form)
    exported = write(_bundle(name))
    for path in write_exported(exported, to):
        say(console, f"wrote {path}")
    for remark in exported.lost:
        say(console, f"warning: not in this form: {remark}")


def _form(form: str) -> tuple[Callable[[Path], Imported], Callable[[Bundle], Exported]]:
    if form not in FORMS:
        raise InputError(f"no form {form!r}; expected one of {', '.join(FORMS)}")
    return FORMS[form]


def _bundle(name: str) -> Bundle:
    path = find("constitutions", name, ".yaml")
    rules = check_constitution(read_constitution(path))
    shown = rules.few_shot
    return Bundle(
        rules,
        revision_examples(shown.revision, None, path.parent),
        comparison_examples(shown.comparison, None, path.parent),
    )
