"""What is known of a judge, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai.judge_figures import UNREAD, JudgeFigures
from cai.stats import Estimate
from cai.terminal import printable

Row = tuple[str, str, str]


def print_figures(console: Console, name: str, found: JudgeFigures) -> None:
    """One judge: what was measured, its value with a 95 % interval, and on how many pairs."""
    table = Table("what", "value [95 %]", "n", title=Text(printable(name)))
    for row in _rows(found):
        table.add_row(*map(Text, row))
    console.print(table)
    if found.calibration and found.calibration.bins:
        console.print(_curve(found))
    console.print(Text(_verdict(found), style="bold"))


def print_agreements(console: Console, agreements: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """How far every two judges agree."""
    if not agreements:
        return
    table = Table("judge", "judge", "agree", "Cohen's kappa [95 %]", "n", title="agreement between judges")
    for one, other, told in agreements:
        kappa = _interval(told["kappa"], told["kappa_interval"], 2)
        names = Text(printable(one)), Text(printable(other))
        table.add_row(*names, _percent(told["agreement"]), kappa, str(told["n"]))
    console.print(table)


def _rows(found: JudgeFigures) -> Iterator[Row]:
    yield _row("accuracy", found.accuracy)
    if found.by_prompt:
        yield _row("  by prompt, since some share theirs", found.by_prompt)
    for name, estimate in found.baselines.items():
        yield _row(f"  baseline: {name.replace('_', ' ')}", estimate)
    yield from (_row(f"  {name}", one) for name, one in found.by_category.items())
    if len(found.by_principle) > 1:
        yield from (_row(f"  under {name}", one) for name, one in found.by_principle.items())
    yield from _biases(found)
    if found.principles:
        yield _row("agreement between principles", found.principles.share)
    yield from _probabilities(found)
    for state in UNREAD:
        yield (state, str(found.states.get(state, 0)), str(sum(found.states.values())))


def _biases(found: JudgeFigures) -> Iterator[Row]:
    if found.position:
        yield _row("position bias: prefers the same seat after a swap", found.position.same_seat)
        if found.position.first is not None:
            yield ("  of these, the first seat", _percent(found.position.first), "")
    if found.length:
        yield _row("prefers the longer answer", found.length.judge)
        yield _row("  people do", found.length.people)
        for name, one in (("longer", found.length.right_longer), ("shorter", found.length.right_shorter)):
            if one:
                yield _row(f"  accuracy where the {name} one is better", one)


def _probabilities(found: JudgeFigures) -> Iterator[Row]:
    if found.calibration:
        error = found.calibration.error
        yield ("calibration error", _interval(error.value, (error.low, error.high), 3), str(error.n))
        yield ("  of which noise would make", f"{found.calibration.noise:.3f}", "")
        yield ("Brier score (0.25 says nothing)", f"{found.calibration.brier:.3f}", "")
    for name, one in (("temperature", found.temperature), ("smoothing", found.smoothing)):
        if one:
            told = f", log loss {one.before:.3f} -> {one.after:.3f}" if one.after is not None else ""
            yield (f"{name} that fits best", f"{one.value:.2f}{told}", "")
    yield ("ties", str(found.ties), "")


def _verdict(found: JudgeFigures) -> str:
    """In words: whether the judge is worth asking."""
    told = f"This judge is {found.chance} on these pairs." if found.accuracy else f"Of these pairs, {found.chance}."
    longer = [found.baselines[name] for name in ("longer", "shorter") if name in found.baselines]
    if found.accuracy and any(one.value >= found.accuracy.value for one in longer):
        told += " Looking at length alone does as well."
    return f"{told} {_mend(found)}".rstrip()


def _mend(found: JudgeFigures) -> str:
    """What of its probabilities can be mended, as far as pairs tell that it was not fitted to."""
    if not (found.temperature and found.temperature.after is not None):
        return ""
    if found.mend is None:
        return "Neither temperature nor smoothing makes its probabilities truer on pairs that they were not fitted to."
    name, one = found.mend
    return f"Its probabilities are truest with compare.judge.calibration={{{name}: {one.value:.2f}}}."


def _curve(found: JudgeFigures) -> Table:
    assert found.calibration
    table = Table("mean P(preferred side)", "right", "n", title="calibration")
    for one in found.calibration.bins:
        table.add_row(f"{one.mean_p:.3f}", _percent(one.right), str(one.n))
    return table


def _row(name: str, one: Estimate | None) -> Row:
    if one is None:
        return (name, "not measured", "")
    return (name, f"{_percent(one.value)} [{100 * one.low:.0f}, {100 * one.high:.0f}]", str(one.n))


def _interval(value: float | None, bounds: Sequence[float] | None, digits: int) -> str:
    if value is None:
        return "not measured"
    return f"{value:.{digits}f}" + (f" [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]" if bounds else "")


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.0f} %"
