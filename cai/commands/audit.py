"""What the judge was shown and what it said, prompt by prompt: show RUN compare ITEM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.config import stored_recipe
from cai.engines.base import Speaker
from cai.errors import InputError
from cai.judge.asked import Shown
from cai.judge.judge import Judge
from cai.judge.of_recipe import judge_of
from cai.material import Material
from cai.plan import plan
from cai.prompts import Rendered
from cai.records import Comparison, Reading
from cai.store import RunFolder, StepFolder
from cai.terminal import printable, say


def show_item(console: Console, name: str, stage: str, item: str | None, runs: Path) -> None:
    """Prints a comparison in full: both answers, every prompt of the judge, what was read, and the label.

    `item`: the comparison's id, the prompt's, or the beginning of one that is no other's; None: a list of all. Raises
    InputError.
    """
    folder = RunFolder(runs, name)
    if stage != "compare":
        raise InputError(f"no audit of stage {stage!r}; only `compare` can be shown item by item")
    step = folder.steps.get(stage)
    if step is None:
        raise InputError(f"run {name!r} has no stage {stage!r} yet; run it first")
    if item is None:
        for one in step.records(Comparison):
            say(console, _line(one))
        return
    found = _named(step, item)
    material = Material(stored_recipe(folder.recipe, name), runs=runs)
    for comparison in found:
        for line in _told(comparison, _judge(material)):
            say(console, printable(line))
    if plan(material, folder)["compare"].digest != step.spec.get("digest"):
        say(
            console,
            "note: the constitution, templates or settings have changed since; the prompts above are rendered from "
            "what they are now",
        )


def _named(step: StepFolder, item: str) -> list[Comparison]:
    """The comparisons of one prompt, or the one of that id."""
    found = [one for one in step.records(Comparison) if one.id.startswith(item)]
    if not found:
        some = next((one.id for one in step.records(Comparison)), None)
        hint = f"; one of its ids is {some}" if some else ""
        raise InputError(f"no comparison {item!r} in {step.path}{hint}")
    if len({one.prompt.id for one in found}) > 1:
        raise InputError(f"{len(found)} comparisons begin with {item!r}; give more of the id")
    return found


def _line(comparison: Comparison) -> str:
    verdict = comparison.verdict
    told = verdict.state if verdict.p_a is None else f"P(a is better) {verdict.p_a:.3f}"
    return f"{comparison.id}  {told}  {', '.join(comparison.principles)}"


def _judge(material: Material) -> Judge:
    """The judge as it was asked; nobody is asked here."""
    nobody: Any = None
    return judge_of(material, Speaker(nobody, material.templates(material.recipe.models.feedback)))


def _told(comparison: Comparison, judge: Judge) -> Iterator[str]:
    yield f"comparison {comparison.id}: {comparison.source}, under {', '.join(comparison.principles) or 'no principle'}"
    for message in comparison.prompt.messages:
        yield f"{message.role}: {message.content}"
    yield f"answer a: {comparison.a.text}"
    yield f"answer b: {comparison.b.text}"
    for reading, shown in judge.shown(comparison):
        yield ""
        yield from _reading(reading, shown)
    yield ""
    yield _label(comparison)


def _reading(reading: Reading, shown: Any) -> Iterator[str]:
    seated = f", answer {reading.first} shown as (A)" if reading.first else ""
    yield f"== under {reading.principle}{seated}"
    for one in shown:
        yield f"-- {one.title}, as the judge was shown it:"
        yield _text(one)
    if reading.reply:
        yield f"-- the judge wrote: {reading.reply.text}"
    for label, value in reading.logprobs.items():
        yield f"log p({label!r}) = {value:.4f} nats"
    yield f"P(a is better) = {reading.p_a:.4f}" if reading.p_a is not None else f"{reading.state}: {reading.reason}"


def _text(shown: Shown) -> str:
    """The very prompt; turns of a chat are named, and what the reply was made to begin with comes last."""
    prompt: Rendered = shown.prompt
    turns = [f"[{message.role}]\n{message.content}" for message in prompt.messages]
    begun = [f"[reply begins]\n{prompt.reply_start}"] if prompt.reply_start else []
    return prompt.text if prompt.text else "\n".join([*turns, *begun])


def _label(comparison: Comparison) -> str:
    verdict = comparison.verdict
    if verdict.p_a is None:
        return f"verdict: {verdict.state}, {verdict.reason}; nothing learns from it"
    mean = f"mean over {len(verdict.readings)} readings {verdict.p_raw:.4f}, " if verdict.p_raw is not None else ""
    return f"verdict: {mean}label P(a is better) = {verdict.p_a:.4f}"
