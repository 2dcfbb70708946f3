"""Commands that try a constitution on a model without a run: test, try."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cai.commands.asked import asked
from cai.commands.outcomes import print_outcomes, summary
from cai.engines.pool import Pool
from cai.errors import InputError
from cai.hygiene import FLAGS
from cai.progress import Reporter
from cai.records import Completion, Message, Prompt, Revision
from cai.stages.revise import STOPPED, Revise
from cai.terminal import changed, in_colour, printable
from cai.trials.asking import outcomes, trial
from cai.trials.cases import Outcome, cases
from cai.trials.chains import in_step, stages

_WIDE = 100
"""Columns of a terminal from which on two chains stand side by side."""


def run_tests(
    console: Console,
    constitution: str,
    model: str | None,
    recipe: str | None,
    only: list[str],
    as_json: bool,
    overrides: list[str],
) -> int:
    """Prints what came of a constitution's tests. Returns the exit code: 1 where one fails.

    Raises InputError where there is no test to run.
    """
    material = asked(model, recipe, overrides, constitution=constitution)
    wanted = cases(material, only)
    reporter = Reporter(Console(stderr=True) if as_json else console)
    with Pool(reporter.loading) as pool:
        asking = trial(material, wanted, pool)
        with reporter.step("test", len(wanted), "tests") as meter:
            found = pool.run(outcomes(wanted, asking, lambda one: meter.advance(1, _tokens(one))))
    if as_json:
        console.print_json(json.dumps(summary(material, found)), ensure_ascii=True)
    else:
        print_outcomes(console, material, found)
    return 0 if all(outcome.passed for outcome in found) else 1


def try_out(
    console: Console,
    constitutions: list[str],
    prompt: str,
    model: str | None,
    recipe: str | None,
    principles: list[str],
    rounds: int,
    seed: int,
    overrides: list[str],
) -> None:
    """Prints an answer, and each critique and revision of it, with what changed marked.

    Of several constitutions all start from the first one's answer and stand side by side. Raises InputError.
    """
    if not prompt.strip():
        raise InputError("the prompt is empty; give the assistant something to answer")
    settings = {"seed": seed, "revise.rounds": rounds}
    materials = [asked(model, recipe, overrides, constitution=name, **settings) for name in constitutions]
    question = Prompt.of((Message(role="user", content=prompt),), "harmful", "cai try")
    with Pool(Reporter(console).loading) as pool:
        chains = stages(materials, principles, pool)
        started = time.monotonic()
        replies = pool.run(_show(console, chains, question))
    read, written = sum(reply.prompt_tokens for reply in replies), sum(reply.tokens for reply in replies)
    seconds = time.monotonic() - started
    told = f"{len(replies)} replies: {read:,} tokens read, {written:,} tokens written, {seconds:.1f} s"
    console.print(told, highlight=False)


def _tokens(outcome: Outcome) -> int:
    return sum(reply.tokens for reply in outcome.replies())


async def _show(console: Console, chains: Sequence[Revise], question: Prompt) -> list[Completion]:
    """Prints each round as it comes. Returns the replies that it took."""
    names = [printable(chain.constitution.name) for chain in chains]
    before: Sequence[Revision | None] = ()
    replies: list[Completion] = []
    async for records in in_step(chains, question):
        shown = records if before else records[:1]
        last = before or (None,)
        titles = [f" ({name})" if len(shown) > 1 else "" for name in names]
        panels = [_panel(console, *one) for one in zip(shown, last, titles, strict=False)]
        console.print(_beside(console, panels))
        replies += [reply for record in shown if record for reply in record.replies()]
        before = records
    return replies


def _beside(console: Console, panels: Sequence[Panel]) -> RenderableType:
    """In columns of one width where there is room, else one below the other."""
    if len(panels) == 1 or console.width < _WIDE:
        return Group(*panels)
    grid = Table.grid(expand=True)
    for _ in panels:
        grid.add_column(ratio=1)
    grid.add_row(*panels)
    return grid


def _panel(console: Console, record: Revision | None, before: Revision | None, title: str) -> Panel:
    """One round of a chain; None where the chain has ended."""
    if record is None:
        return Panel(Text("the chain has ended"), title=Text(f"no further round{title}"))
    if before is None:
        return Panel(Group(Text(printable(record.response.text)), *_flags(record.flags)), title="answer")
    parts: list[Text] = []
    if record.critique:
        parts += [_heading("critique"), Text(printable(record.critique.text)), *_flags(record.critique_flags)]
    if STOPPED not in record.flags:
        marked = changed(before.response.text, record.response.text, in_colour(console))
        parts += [_heading("revision"), marked]
    parts += [*_flags(record.flags), *_attempts(record)]
    drawn = ", ".join(record.principles)
    return Panel(Group(*parts), title=Text(f"round {record.round}: {drawn}{title}"))


def _heading(name: str) -> Text:
    return Text.assemble((name, "bold underline"))


def _flags(flags: Sequence[str]) -> list[Text]:
    """What seems wrong with a reply, one a line."""
    return [_note(f"flagged {flag}: {meaning}") for flag, meaning in FLAGS.items() if flag in flags]


def _attempts(record: Revision) -> list[Text]:
    """What was asked again."""
    return [_note(f"asked again: a {one.step} was flagged {', '.join(one.flags)}") for one in record.attempts]


def _note(text: str) -> Text:
    return Text.assemble((text, "yellow"))
