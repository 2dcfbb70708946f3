"""The command `cai`: parse, call one function, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cai import __version__
from cai.errors import CaiError

app = typer.Typer(
    name="cai",
    help="Constitutional AI from a YAML constitution: critique, revise, compare, train, measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console() if sys.stdout.isatty() else Console(width=160)

RecipeName = Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings to change, such as rl.steps=20.")]
Root = Annotated[Path, typer.Option("--runs", help="The folder that holds all runs.")]
RunName = Annotated[str, typer.Argument(help="The name of a run.")]
RUNS = Path("runs")


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    runs: Root = RUNS,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
) -> None:
    """Run every stage of a recipe that is not done yet."""
    from cai.commands import run_recipe

    run_recipe(console, recipe, overrides or [], runs, until)


@app.command()
def plan(recipe: RecipeName, overrides: Overrides = None, runs: Root = RUNS) -> None:
    """Show what a run would do: stages, what is done, calls and tokens left, time, memory and disk."""
    from cai.commands import show_plan

    show_plan(console, recipe, overrides or [], runs)


@app.command()
def show(run: RunName, runs: Root = RUNS) -> None:
    """Show how far a run is, its counts, and its results."""
    from cai.commands import show_run

    show_run(console, run, runs)


@app.command()
def diff(
    run: RunName, other: Annotated[str, typer.Argument(help="The run to compare it with.")], runs: Root = RUNS
) -> None:
    """Say which settings differ between two runs, stage by stage. Exits with 1 where any do."""
    from cai.commands import show_differences

    raise typer.Exit(1 if show_differences(console, run, other, runs) else 0)


@app.command()
def lint(constitution: Annotated[str, typer.Argument(help="A constitution file, or a shipped name.")]) -> None:
    """Check a constitution: every mistake with its line. Exits with 2 where there is one."""
    from cai.commands import check_constitution

    check_constitution(console, constitution)


@app.command()
def config(
    schema: Annotated[
        str | None, typer.Option(help="Print the JSON Schema of `recipe` or `constitution` instead.")
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="List the model aliases instead.")] = False,
) -> None:
    """Print every setting of a recipe with its default, meaning, unit and source."""
    from cai.commands import print_config

    print_config(console, schema, models)


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="RUN/STAGE (quickstart/rl), an alias, a hub name, or a folder.")],
    against: Annotated[str | None, typer.Option(help="A second model, answering beside the first.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, tokens.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    dialect: Annotated[
        str | None, typer.Option(help="`chat` or `transcript`; without, as a run trained the model, else `chat`.")
    ] = None,
    runs: Root = RUNS,
) -> None:
    """Talk to a model, or to two side by side."""
    from cai.chat import talk

    talk(console, [model, *([against] if against else [])], runs, max_tokens, temperature, dialect)


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__, highlight=False)


def main() -> None:
    """Runs the command line; our own errors become one message and an exit code."""
    try:
        app(prog_name="cai", standalone_mode=True)
    except CaiError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
