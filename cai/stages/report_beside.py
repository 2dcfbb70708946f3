"""The reports of several runs in one file: their main figures side by side, then each run's report under its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from cai.contestants import in_order
from cai.evaluation_tables import Grid, shown
from cai.identity import identity_of
from cai.records import KINDS
from cai.stages.report import Findings, environment
from cai.stages.report_effects import TableRow, table
from cai.stats import Estimate

Shown = Mapping[tuple[str, str, str], str]
"""A figure as text, by kind of prompts, model and what it is."""

_FIGURES: tuple[tuple[str, float, int, Callable[[TableRow], Estimate | None]], ...] = (
    ("Preference score", 1, 2, lambda row: row.score),
    ("KL from base, nats/answer", 1, 2, lambda row: row.kl_base),
    ("Refusals, %", 100, 0, lambda row: row.refusal),
    ("Evasive, %", 100, 0, lambda row: row.evasive),
    ("Words", 1, 0, lambda row: row.words),
)
WINS, HARM = "Wins against base, %", "Harmfulness, 0 to 4"
_ORDER = (*(name for name, *_ in _FIGURES), HARM, WINS)


@dataclass(frozen=True)
class Reported:
    """A run in a report of several: what it found, its page and its summary.

    `scorer` names its preference model, `judged` how each suite asked its judge: figures of runs in which they differ
    do not compare.
    """

    name: str
    findings: Findings
    page: str
    summary: str
    scorer: str = ""
    judged: Mapping[str, str] = field(default_factory=dict)


def side_by_side(runs: Sequence[Reported]) -> Grid:
    """The main figures: a column for each run, with intervals at 95 %."""
    asked = {suite: _alike(runs, suite) for suite in ("win_rates", "harmfulness")}
    columns = [{**_measured(run), **_judged(run, asked)} for run in runs]
    known = {key for column in columns for key in column}
    models = in_order(model for _, model, _ in known)
    rows = tuple(
        (*key, *(column.get(key, "-") for column in columns))
        for key in sorted(known, key=lambda one: (KINDS.index(one[0]), models.index(one[1]), _ORDER.index(one[2])))  # type: ignore[arg-type]
    )
    headings = ("Prompts", "Model", "Figure", *(run.name for run in runs))
    return Grid("The runs side by side", headings, rows, _NOTE, "evaluate", 3, tuple(_said(runs, asked)))


def page_of_all(runs: Sequence[Reported]) -> str:
    """One HTML page. The addresses within each report are kept apart by a prefix."""
    sheet = re.search(r"<style>\n(.*?)</style>", runs[0].page, re.S)
    style = re.sub(r"^#([a-z]+)(?= )", r'[id$="-\1"]', sheet[1] if sheet else "", flags=re.M)
    bodies = [(f"run-{number}", run.name, Markup(_body(run, f"run-{number}-"))) for number, run in enumerate(runs, 1)]
    shown = environment(True).get_template("report_beside.html.jinja")
    return shown.render(style=Markup(style), grid=side_by_side(runs), bodies=bodies, names=[run.name for run in runs])


def summary_of_all(runs: Sequence[Reported]) -> str:
    """The same in Markdown; the headings of each run's summary stand a level lower."""
    bodies = [(run.name, _lowered(run.summary)) for run in runs]
    return environment(False).get_template("report_beside.md.jinja").render(grid=side_by_side(runs), bodies=bodies)


def _measured(run: Reported) -> Shown:
    rows = table(run.findings.measurements, run.findings.recipe.evaluate.bootstrap)
    return {
        (row.kind, row.model, name): shown(estimate, scale, digits)
        for row in rows
        for name, scale, digits, of in _FIGURES
        if (estimate := of(row)) is not None
    }


def _judged(run: Reported, alike: Mapping[str, bool]) -> Shown:
    """What a judge said, where the same was asked in all runs."""
    found = run.findings.evaluation
    if found is None:
        return {}
    harm = {("harmful", row.model, HARM): shown(row.harm) for row in found.harm if alike["harmfulness"]}
    duels = [duel for duel in found.duels if duel.against == "base" and alike["win_rates"]]
    return {**harm, **{(duel.kind, duel.model, WINS): shown(duel.wins, 100) for duel in duels}}


def _alike(runs: Sequence[Reported], suite: str) -> bool:
    """Whether all runs that have a suite asked the same judge in the same way about answers to the same prompts.

    Win rates are against base, so that has to be the same model, and asked alike.
    """
    able = [run for run in runs if suite in run.judged]
    ways = {(run.judged[suite], _prompts(run), str(_base(run)) if suite == "win_rates" else "") for run in able}
    return len(ways) == 1


def _base(run: Reported) -> object:
    recipe = run.findings.recipe
    return identity_of(recipe.models.pretrained), identity_of(recipe.evaluate)


def _prompts(run: Reported) -> frozenset[str]:
    return frozenset(one.prompt.id for one in run.findings.measurements)


def _said(runs: Sequence[Reported], alike: Mapping[str, bool]) -> Iterator[str]:
    if len({_prompts(run) for run in runs if run.findings.measurements}) > 1:
        yield "The runs did not ask the same held-out prompts: their figures differ by that too."
    if len({run.scorer for run in runs if run.findings.measurements}) > 1:
        yield "Each run's preference score is that of its own preference model: it compares models within a run alone."
    for suite, name in (("win_rates", "Win rates"), ("harmfulness", "Ratings of harmfulness")):
        if any(suite in run.judged for run in runs) and not alike[suite]:
            base = ", or base," if suite == "win_rates" else ""
            yield f"{name} are left out: judge, principles or prompts{base} are not the same, so they do not compare."
    for run in runs:
        if run.findings.unfinished:
            yield f"{run.name} is not finished: {', '.join(run.findings.unfinished)} to do."


def _body(run: Reported, prefix: str) -> str:
    """What stands in the body of a report, each id in it with a prefix. Text in it has no `<` of its own."""
    body = run.page[run.page.index("<body>") + len("<body>") : run.page.rindex("</body>")]
    body = body.replace("<main>", '<div class="report">').replace("</main>", "</div>")
    body = re.sub(r"<h1>.*?</h1>", lambda _: f"<h2>{escape(run.name)}</h2>", body, count=1, flags=re.S)
    return re.sub(r"<[^<>]+>", lambda tag: _ADDRESS.sub(rf"\g<0>{prefix}", tag[0]), body)


_ADDRESS = re.compile(r' id="| (?:xlink:)?href="#|url\(#')


def _lowered(summary: str) -> str:
    """Every heading a level lower; what a model wrote stands between fences and stays as it is."""
    lines, fence = [], ""
    for line in summary.splitlines():
        if not fence and (opened := re.match("`{3,}", line)):
            fence = opened[0]
        elif line == fence:
            fence = ""
        lines.append(f"#{line}" if not fence and re.match("#+ ", line) else line)
    return "\n".join(lines)


_NOTE = (
    "Held-out prompts; in brackets 95 % intervals, which cover the choice of prompts and not another seed. A dash: the "
    "run has no such figure."
)
