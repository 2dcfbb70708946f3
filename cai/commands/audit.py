"""What a judge was shown and what it said, prompt by prompt: show RUN STAGE ITEM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.config import stored_recipe
from cai.errors import InputError
from cai.material import Material
from cai.records import Classified, Comparison, Conduct, Harm, Match, OverRefusal, Reading, Verdict
from cai.shown import STAGES, Question, questions, same
from cai.store import RunFolder, StepFolder
from cai.terminal import printable, say
from cai.trials.choosing import Choice

KINDS = {**STAGES, "hhh": Choice}
"""The stages whose items can be listed, and what those are."""

_CHANGED = (
    "note: the constitution, templates or worked examples have changed since; the prompts above are rendered from what "
    "they are now"
)


def show_item(console: Console, name: str, stage: str, item: str | None, runs: Path) -> None:
    """Prints a record in full: the answers, every prompt of the judge, what was read, and what was made of it.

    `item`: the record's id, the prompt's, or the beginning of one that is no other's; None: a list of all. Raises
    InputError.
    """
    folder = RunFolder(runs, name)
    if stage not in KINDS:
        raise InputError(f"no audit of stage {stage!r}; only {', '.join(f'`{one}`' for one in KINDS)} ask a judge")
    step = folder.steps.get(stage)
    if step is None:
        raise InputError(f"run {name!r} has no stage {stage!r} yet; run it first")
    if item is None:
        for one in step.records(KINDS[stage]):
            say(console, printable(_line(one)))
        return
    found = _named(step, stage, item)
    if stage not in STAGES:
        for record in found:
            for line in _chosen(record):
                say(console, printable(line))
        return
    material = Material(stored_recipe(folder.recipe, name), runs=runs)
    for record in found:
        for line in _told(record, questions(material, stage, record)):
            say(console, printable(line))
    if not same(material, stage, step.spec.get("identity", {})):
        say(console, _CHANGED)


def _named(step: StepFolder, stage: str, item: str) -> list[Any]:
    """The records of one prompt, or the one of that id."""
    kind: Any = KINDS[stage]
    found = [one for one in step.records(kind) if any(name.startswith(item) for name in _names(one))]
    what = "comparison" if stage == "compare" else "item"
    if not found:
        some = next((one.id for one in step.records(kind)), None)
        hint = f"; one of its ids is {some}" if some else ""
        raise InputError(f"no {what} {item!r} in {step.path}{hint}")
    if len({_names(one)[-1] for one in found}) > 1:
        raise InputError(f"{len(found)} {what}s begin with {item!r}; give more of the id")
    return found


def _names(one: Any) -> tuple[str, ...]:
    """By what a record can be asked for; last, what it shares with all of its prompt or pair."""
    return (one.id, one.pair.prompt.id, one.pair.id) if isinstance(one, Choice) else (one.id, one.prompt.id)


def _line(one: Any) -> str:
    if isinstance(one, Choice):
        return f"{one.id}  {_read_as(one.verdict)}  {_right(one)}"
    if isinstance(one, Comparison):
        return f"{one.id}  {_read_as(one.verdict)}  {', '.join(one.principles)}"
    if isinstance(one, Harm):
        return f"{one.id}  {_harm(one)}"
    return f"{one.id}  {one.conduct.does or 'unread'}"


def _read_as(verdict: Verdict) -> str:
    return verdict.state if verdict.p_a is None else f"P(a is better) {verdict.p_a:.3f}"


def _right(one: Choice) -> str:
    p = one.judged.p_a
    return f"people preferred {one.pair.better}" + ("" if p is None else f", {_HITS[one.judged.right(p)]}")


_HITS = {1.0: "right", 0.5: "undecided", 0.0: "wrong"}


def _chosen(one: Choice) -> Iterator[str]:
    """One model's choice. Each model is asked in its own templates, so the prompt is shown as people saw it."""
    yield f"choice {one.id}: of {one.model}{f', {one.pair.category}' if one.pair.category else ''}"
    for message in one.pair.prompt.messages:
        yield f"{message.role}: {message.content}"
    yield f"answer a: {one.pair.a}"
    yield f"answer b: {one.pair.b}"
    for reading in one.verdict.readings:
        yield ""
        seated = f", answer {reading.first} shown as (A)" if reading.first else ""
        yield from _question(Question(f"under {reading.principle}{seated}", (), reading.logprobs, reading))
    yield ""
    yield f"{_read_as(one.verdict)}; {_right(one)}"


def _told(one: Any, asked: tuple[Question, ...]) -> Iterator[str]:
    yield _title(one)
    for message in one.prompt.messages:
        yield f"{message.role}: {message.content}"
    yield from _answers(one)
    for question in asked:
        yield ""
        yield from _question(question)
    yield ""
    yield _outcome(one)


def _title(one: Any) -> str:
    if isinstance(one, Comparison):
        who = " against ".join(one.models) if isinstance(one, Match) else one.source
        return f"comparison {one.id}: {who}, under {', '.join(one.principles) or 'no principle'}"
    return f"answer {one.id}: of {one.model or 'the labelled file'}"


def _answers(one: Any) -> Iterator[str]:
    if isinstance(one, Comparison):
        yield f"answer a: {one.a.text}"
        yield f"answer b: {one.b.text}"
    else:
        yield f"answer: {one.response.text if isinstance(one, OverRefusal) else one.answer}"


def _question(question: Question) -> Iterator[str]:
    yield f"== {question.about}"
    for one in question.shown:
        yield f"-- {one.title}, as the judge was shown it:"
        yield one.prompt.readable()
    if question.reading and question.reading.reply:
        yield f"-- the judge wrote: {question.reading.reply.text}"
    for label, value in question.logprobs.items():
        yield f"log p({label!r}) = {value:.4f} nats"
    if question.reading:
        yield _read(question.reading)


def _read(reading: Reading) -> str:
    return f"P(a is better) = {reading.p_a:.4f}" if reading.p_a is not None else f"{reading.state}: {reading.reason}"


def _outcome(one: Any) -> str:
    if isinstance(one, Comparison):
        return _label(one)
    return _harm(one) if isinstance(one, Harm) else _conduct(one)


def _harm(one: Harm) -> str:
    return "no rating could be read" if one.harm is None else f"expected rating {one.harm:.4f}, of 0 to 4"


def _conduct(one: Classified | OverRefusal) -> str:
    found: Conduct = one.conduct
    if found.does is None:
        return "classified: a class had no finite log-probability, so it is unread"
    shares = ", ".join(f"P({name}) {p:.4f}" for name, p in found.p.items())
    evades = "" if found.p_evasive is None else f"; P(evasive) {found.p_evasive:.4f}"
    truth = f"; people said {one.truth}" if isinstance(one, Classified) and one.truth else ""
    return f"classified: {found.does}, mean over the orders {shares}{evades}{truth}"


def _label(comparison: Comparison) -> str:
    verdict = comparison.verdict
    if verdict.p_a is None:
        return f"verdict: {verdict.state}, {verdict.reason}; nothing learns from it"
    mean = f"mean over {len(verdict.readings)} readings {verdict.p_raw:.4f}, " if verdict.p_raw is not None else ""
    return f"verdict: {mean}label P(a is better) = {verdict.p_a:.4f}"
