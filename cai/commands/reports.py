"""The command report: of one run, or of several side by side, from what is stored of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cai.config import stored_recipe
from cai.errors import InputError
from cai.findings import findings
from cai.identity import digest
from cai.material import Material
from cai.plan import Step
from cai.stages.report import rendered
from cai.stages.report_beside import Reported, page_of_all, summary_of_all
from cai.store import RunFolder, write_text
from cai.terminal import say

_FORMS = {".html": False, ".htm": False, ".md": True}
"""Whether a file of this ending holds Markdown."""


def report(console: Console, names: Sequence[str], runs: Path, to: Path | None, markdown: bool) -> None:
    """Writes the report of runs and prints its path. One that a run has made of itself is not made again.

    Raises InputError, StoreError, and MissingExtra where matplotlib is not installed.
    """
    markdown = _is_markdown(to, markdown)
    folders = [RunFolder(runs, name) for name in dict.fromkeys(names)]
    steps = folders[0].steps
    if to is None and len(folders) == 1 and "report" in steps and steps["report"].done:
        say(console, str(steps["report"].path / _name(markdown)))
        return
    path = to or (folders[0].path if len(folders) == 1 else runs) / _name(markdown)
    text = _text([_reported(folder) for folder in folders], markdown)
    _folder(path.parent)
    write_text(path, text)
    say(console, str(path))


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: can't be made ({error.strerror}); give another place by --to") from None


def _is_markdown(to: Path | None, markdown: bool) -> bool:
    """Raises InputError for a file that can't hold a report."""
    if to is None:
        return markdown
    if to.is_dir():
        raise InputError(f"--to {to}: is a folder; give a file, such as {to / _name(markdown)}")
    ending = to.suffix.lower()
    if ending not in _FORMS and not markdown:
        raise InputError(f"--to {to}: expected a name that ends in .html or .md, or --markdown")
    if markdown and _FORMS.get(ending) is False:
        raise InputError(f"--to {to}: ends as HTML does, and --markdown asks for Markdown; leave out one of them")
    return markdown or _FORMS[ending]


def _name(markdown: bool) -> str:
    return "report.md" if markdown else "report.html"


def _text(runs: Sequence[Reported], markdown: bool) -> str:
    if len(runs) == 1:
        return runs[0].summary if markdown else runs[0].page
    return summary_of_all(runs) if markdown else page_of_all(runs)


def _reported(folder: RunFolder) -> Reported:
    """What is stored of a run by now; a stage that is going on counts as far as it got."""
    recipe, stored = stored_recipe(folder.recipe, folder.name), folder.steps
    stored.pop("report", None)
    steps = {
        stage: Step(stage, (), step.spec.get("identity", {}), step.spec.get("digest", ""), step)
        for stage, step in stored.items()
    }
    waiting = tuple(stage for stage, step in stored.items() if not step.done)
    found = findings(Material(recipe, None, folder.root), steps)
    found = replace(found, date=_date(steps.values()), unfinished=waiting)
    page, summary = rendered(found)
    judged = {stage: _asked(steps[stage]) for stage in ("win_rates", "harmfulness") if _done(steps, stage)}
    scorer = steps["preference_model"].digest if _done(steps, "preference_model") else ""
    return Reported(folder.name, found, page, summary, scorer, judged)


def _asked(step: Step) -> str:
    """Names how a suite asks its judge; the seed of its draws aside."""
    return digest({name: value for name, value in step.identity.items() if name != "seed"})


def _done(steps: dict[str, Step], stage: str) -> bool:
    return stage in steps and steps[stage].folder.done


def _date(steps: Iterable[Step]) -> datetime.date | None:
    """The day on which the last stage that is done was; None where none is."""
    ended = [(step.folder.path / "DONE").stat().st_mtime for step in steps if step.folder.done]
    return datetime.date.fromtimestamp(max(ended)) if ended else None
