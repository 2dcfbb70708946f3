"""What a run's stages took, beside what was planned for them."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from cai.estimate import Work, estimate
from cai.findings import timing
from cai.material import Material
from cai.plan import Step, plan
from cai.stages.report import StageTiming
from cai.store import RunFolder

SPENT = ("seconds", "tokens/s", "prefix cache")
"""The columns of `cells`."""


def estimates(material: Material, run: RunFolder) -> dict[str, Work]:
    """What is planned for each stage that is not done."""
    material.load()
    steps = plan(material, run)
    return {stage: estimate(step, material, run.root) for stage, step in steps.items() if not step.folder.done}


def cells(spent: StageTiming) -> tuple[str, str, str]:
    """Seconds, tokens a second, and the share of the prompts' tokens that the engine had computed before."""
    rate = f"{spent.tokens_per_second:,.0f}" if spent.tokens_per_second else ""
    cached = f"{spent.cached:.0%}" if spent.cached is not None else ""
    return f"{spent.seconds:,.1f}", rate, cached


def timings(steps: Mapping[str, Step], planned: Mapping[str, Work]) -> Table:
    """A row a stage that is done; those that this command ran stand beside their plan."""
    columns = ("stage", "seconds", "items", "tokens", "tokens/s", "prefix cache", "planned", "off by")
    table = Table(*columns, title="where the time went")
    spent = _spent(steps)
    for stage, took in spent.items():
        seconds, rate, cached = cells(took)
        counts = str(took.items or ""), str(took.tokens or "")
        table.add_row(stage, seconds, *counts, rate, cached, *_beside(planned.get(stage), took.seconds))
    table.add_section()
    table.add_row("all", f"{sum(took.seconds for took in spent.values()):,.1f}")
    return table


def hindsight(steps: Mapping[str, Step], planned: Mapping[str, Work]) -> str:
    """How far off the plan was for the stages that were run since, in a sentence or two; empty where none can tell."""
    ran = {stage: took.seconds for stage, took in _spent(steps).items() if stage in planned and planned[stage].seconds}
    expected = sum(planned[stage].seconds or 0 for stage in ran)
    if not expected:
        return ""
    took = sum(ran.values())
    guessed = [stage for stage in ran if not planned[stage].measured]
    said = f"planned: {expected:,.1f} s for what ran; it took {took:,.1f} s, {took / expected:.2f} times that."
    if len(guessed) == len(ran):
        return f"{said} The plan had only built-in rates, since no run like this one was here before."
    return f"{said} Planned by built-in rates: {', '.join(guessed)}." if guessed else said


def _spent(steps: Mapping[str, Step]) -> dict[str, StageTiming]:
    return {stage: timing(stage, step.folder.summary) for stage, step in steps.items() if step.folder.done}


def _beside(work: Work | None, seconds: float) -> tuple[str, str]:
    """What was planned for a stage, and how many times that it took."""
    if work is None:
        return "", ""
    if work.seconds is None:
        return "unknown", ""
    return f"{work.seconds:,.1f}", f"{seconds / work.seconds:.2f} x" if work.seconds else ""
