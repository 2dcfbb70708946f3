"""What came of a constitution's tests, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai.material import Material
from cai.terminal import printable
from cai.trials.cases import Outcome, asked_models

_PROMPT, _ENTRY, _CRITIQUE = 60, 40, 160
"""Characters of a prompt, an entry of `finds` and a critique that a table shows."""


def print_outcomes(console: Console, material: Material, found: Sequence[Outcome]) -> None:
    """Prints a table for each kind of test, what could not be read, and the counts."""
    pairs, critiques = ([one for one in found if one.case.kind == kind] for kind in ("comparison", "critique"))
    if pairs:
        console.print(_pairs(pairs))
    if critiques:
        console.print(_critiques(critiques))
    for outcome in found:
        if outcome.unread:
            console.print(Text(f"{outcome.case.id}: {printable(outcome.unread)}", style="yellow"))
    passed = sum(outcome.passed for outcome in found)
    console.print(f"{passed} passed, {len(found) - passed} failed", style="bold", highlight=False)
    if pairs:
        console.print(Text(_bias(pairs, asked_models(material)["comparison"].model)))


def summary(material: Material, found: Sequence[Outcome]) -> dict[str, Any]:
    """The counts and every test. `model` is the judge, `assistant` the one who criticises."""
    models = asked_models(material)
    passed = sum(outcome.passed for outcome in found)
    return {
        "constitution": material.constitution.name,
        "model": models["comparison"].model,
        "assistant": models["critique"].model,
        "passed": passed,
        "failed": len(found) - passed,
        "flips": sum(outcome.flipped for outcome in found),
        "unparsed": sum(_unparsed(outcome) for outcome in found),
        "tests": [_told(outcome) for outcome in found],
    }


def _told(outcome: Outcome) -> dict[str, Any]:
    case, pair = outcome.case, outcome.case.kind == "comparison"
    mean = outcome.verdict.p_a if outcome.verdict else None
    return {
        "principle": case.principle.id,
        "kind": case.kind,
        "prompt": case.test.model_dump()["prompt"],
        "p_better": {"shown_first": outcome.p_better("a"), "shown_second": outcome.p_better("b"), "mean": mean}
        if pair
        else None,
        "flipped": outcome.flipped if pair else None,
        "passed": outcome.passed,
        "critique": outcome.critique.text if outcome.critique else None,
        "missing": list(outcome.missing),
        "reason": outcome.unread,
    }


def _pairs(pairs: Sequence[Outcome]) -> Table:
    table = Table(title="the better of two answers: P(better) by the seat it had", title_justify="left")
    _columns(table, "principle", "prompt")
    for heading in ("first", "second", "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for one in pairs:
        mean = one.verdict.p_a if one.verdict else None
        chances = (one.p_better("a"), one.p_better("b"), mean)
        table.add_row(*_case(one), *("-" if p is None else f"{p:.2f}" for p in chances), _result(one))
    return table


def _critiques(critiques: Sequence[Outcome]) -> Table:
    table = Table(title="what a critique finds", title_justify="left")
    _columns(table, "principle", "prompt", "missing", "critique")
    table.add_column("")
    for one in critiques:
        missing = "\n".join(_short(entry, _ENTRY) for entry in one.missing)
        said = _short(one.critique.text, _CRITIQUE) if one.critique else ""
        table.add_row(*_case(one), Text(missing), Text(said), _result(one))
    return table


def _columns(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, overflow="fold")


def _case(outcome: Outcome) -> tuple[Text, Text]:
    case = outcome.case
    return Text(case.principle.id), Text(_short(case.test.messages[-1].content, _PROMPT))


def _result(outcome: Outcome) -> Text:
    if outcome.passed:
        return Text("passed", style="green")
    unread = outcome.verdict.state if outcome.verdict and outcome.unread else ""
    why = "not answered" if outcome.error else unread or ("flips" if outcome.flipped else "")
    return Text(f"failed{f': {why}' if why else ''}", style="red")


def _unparsed(outcome: Outcome) -> bool:
    return outcome.verdict is not None and outcome.verdict.state == "unparsed"


def _bias(pairs: Sequence[Outcome], judge: str) -> str:
    """How often the seat decides: RLAIF (Lee et al. 2023, App. B) measures a judge's position bias so."""
    read = [one for one in pairs if len(one.sides) == 2]
    flips = sum(one.flipped for one in read)
    if any(one.seatless for one in pairs):
        return f"{judge} was shown each answer by itself, so it had no seat to prefer"
    if not read:
        return f"no verdict of {judge} could be read"
    told = f"{flips} of {len(read)} verdicts of {judge} flip when the answers change seats: a position bias of "
    small = "\na small model cannot judge: test with the model that is to judge your run" if flips else ""
    return f"{told}{flips / len(read):.0%}{small}"


def _short(text: str, most: int) -> str:
    """The start of a text, on one line."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
