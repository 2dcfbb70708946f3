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
from cai.stopping import TERMINATED, heed_terminate
from cai.terminal import CLOSED_PIPE, Terminal, pipe_closed

app = typer.Typer(
    name="cai",
    help="Constitutional AI from a YAML constitution: critique, revise, compare, train, measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Terminal() if sys.stdout.isatty() else Terminal(width=160)

RecipeName = Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings to change, such as rl.steps=20.")]
Root = Annotated[Path, typer.Option("--runs", help="The folder that holds all runs.")]
RunName = Annotated[str, typer.Argument(help="The name of a run.")]
RUNS = Path("runs")
ConstitutionName = Annotated[str, typer.Argument(help="A constitution file, or the name of a shipped one.")]
TriedModel = Annotated[
    str | None, typer.Option(help="The model to ask: an alias, a hub name or a folder. Without: the recipe's.")
]
TriedRecipe = Annotated[
    str | None, typer.Option(help="A recipe whose models, engine and sampling are used. Without: `quickstart`.")
]
TrialOverrides = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the recipe to change, such as engine.type=vllm.")
]


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    runs: Root = RUNS,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
) -> None:
    """Run every stage of a recipe that is not done yet."""
    from cai.commands.runs import run_recipe

    run_recipe(console, recipe, overrides or [], runs, until)


@app.command()
def plan(recipe: RecipeName, overrides: Overrides = None, runs: Root = RUNS) -> None:
    """Show what a run would do: stages, what is done, calls and tokens left, time, memory and disk."""
    from cai.commands.runs import show_plan

    show_plan(console, recipe, overrides or [], runs)


@app.command()
def show(
    run: RunName,
    stage: Annotated[str | None, typer.Argument(help="`compare`, or a suite: list its items, or show one.")] = None,
    item: Annotated[str | None, typer.Argument(help="The id of an item or of its prompt, or its beginning.")] = None,
    runs: Root = RUNS,
) -> None:
    """Show how far a run is, its counts, and its results; or what the judge was shown of an item, and what it said."""
    if stage:
        from cai.commands.audit import show_item

        show_item(console, run, stage, item, runs)
    else:
        from cai.commands.runs import show_run

        show_run(console, run, runs)


@app.command()
def verify(
    run: Annotated[list[str], typer.Argument(help="The names of one or more runs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    runs: Root = RUNS,
) -> None:
    """Check every digest, count, parent and record of a run. Exits with 4 where anything is damaged."""
    from cai.commands.verify import verify_runs

    raise typer.Exit(verify_runs(console, run, as_json, runs))


@app.command()
def diff(
    run: RunName, other: Annotated[str, typer.Argument(help="The run to compare it with.")], runs: Root = RUNS
) -> None:
    """Say which settings differ between two runs, stage by stage. Exits with 1 where any do."""
    from cai.commands.runs import show_differences

    raise typer.Exit(1 if show_differences(console, run, other, runs) else 0)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="What to call it: NAME.yaml and NAME-recipe.yaml are written.")],
    to: Annotated[Path, typer.Option(help="The folder to write them to.")] = Path(),
    extends: Annotated[str | None, typer.Option(help="A constitution to start from instead of from nothing.")] = None,
) -> None:
    """Start a constitution of your own and a recipe that uses it, with comments. Overwrites nothing."""
    from cai.commands.drafts import start

    start(console, name, to, extends)


@app.command()
def lint(
    constitution: ConstitutionName,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 also where there are only warnings.")] = False,
) -> None:
    """Check a constitution: mistakes and doubtful places, each with its line. Exits with 2 where there is a mistake."""
    from cai.commands.drafts import check

    raise typer.Exit(check(console, constitution, as_json, strict))


@app.command()
def test(
    constitution: ConstitutionName,
    model: TriedModel = None,
    recipe: TriedRecipe = None,
    only: Annotated[list[str] | None, typer.Option(help="The id of a principle to test; may be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    overrides: TrialOverrides = None,
) -> None:
    """Ask a model what the constitution's tests ask: each verdict, in both orders. Exits with 1 where one fails."""
    from cai.commands.trials import run_tests

    raise typer.Exit(run_tests(console, constitution, model, recipe, only or [], as_json, overrides or []))


@app.command()
def judge(
    dataset: Annotated[
        str, typer.Argument(help="Comparisons that people made: a file (hh-rlhf, HHH, TRL, CSV) or `hf:owner/name`.")
    ],
    constitution: Annotated[str, typer.Option(help="A constitution file, or the name of a shipped one.")] = "harmless",
    model: Annotated[
        list[str] | None, typer.Option(help="The judge; given again, another one. Without: the recipe's.")
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="`logprob`, `cot`, `contrast`, `score` or `verdict`; may be given again."),
    ] = None,
    recipe: TriedRecipe = None,
    principle: Annotated[
        list[str] | None, typer.Option(help="A principle to judge by; may be given again. Without: drawn.")
    ] = None,
    kind: Annotated[str, typer.Option(help="What the pairs compare: `harmful` or `helpful`.")] = "harmful",
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs to ask about, drawn by seed. Without: all.")] = None,
    to: Annotated[Path | None, typer.Option(help="A .jsonl file for every verdict, with what was read.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    overrides: TrialOverrides = None,
) -> None:
    """Measure a judge on labelled pairs: accuracy, biases, calibration, agreement, beside baselines."""
    from cai.commands.judges import Judges, measure

    judges = Judges(constitution, model or [], mode or [], recipe, principle or [], overrides or [])
    measure(console, dataset, kind, judges, limit, as_json, to)


@app.command("try")
def try_(
    constitution: ConstitutionName,
    prompt: Annotated[str, typer.Argument(help="What to ask the assistant.")],
    model: TriedModel = None,
    recipe: TriedRecipe = None,
    principle: Annotated[
        list[str] | None, typer.Option(help="The principle of a round; given again, of the next. Without: drawn.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of critique and revision.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The seed of every draw.")] = 0,
    compare: Annotated[str | None, typer.Option(help="A second constitution, side by side.")] = None,
    overrides: TrialOverrides = None,
) -> None:
    """Show an answer, its critique and its revision under a constitution, with what changed marked."""
    from cai.commands.trials import try_out

    try_out(
        console,
        [constitution, *([compare] if compare else [])],
        prompt,
        model,
        recipe,
        principle or [],
        rounds,
        seed,
        overrides or [],
    )


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="RUN/preference_model (quickstart/preference_model), or a folder.")],
    file: Annotated[str, typer.Argument(help="Answers, one a row, with their prompts: JSONL, CSV, parquet, or `hf:`.")],
    to: Annotated[Path | None, typer.Option(help="A .jsonl file for the rows with their scores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows with their scores as JSON lines.")] = False,
    dialect: Annotated[
        str | None, typer.Option(help="`chat` or `transcript`; without, as a run trained the model, else `chat`.")
    ] = None,
    runs: Root = RUNS,
) -> None:
    """Score answers with a preference model, in log-odds: P(a better than b) = s(score a - score b)."""
    from cai.commands.scoring import score as score_answers

    score_answers(console, model, file, dialect, to, as_json, runs)


@app.command("import")
def import_(
    form: Annotated[str, typer.Argument(help="`paper`, `llm-swarm` or `nemo`.")],
    source: Annotated[Path, typer.Argument(help="A file or folder of that form.")],
    to: Annotated[Path, typer.Option(help="The folder to write to.")],
) -> None:
    """Turn constitutions and worked examples of other projects into files of ours. Overwrites nothing."""
    from cai.commands.exchange import import_constitution

    import_constitution(console, form, source, to)


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="The name of a run, or a constitution with --form.")],
    to: Annotated[
        str, typer.Option(help="A folder, `hub:owner/name`, `models[:FOLDER]`, `openrlhf[:FOLDER]` or `verl`.")
    ],
    form: Annotated[str | None, typer.Option(help="Write a constitution as `paper`, `llm-swarm` or `nemo`.")] = None,
    private: Annotated[bool, typer.Option(help="On the hub: only for yourself.")] = True,
    runs: Root = RUNS,
) -> None:
    """Write a run's data or its models, with cards; all that RL elsewhere needs; or a constitution."""
    if form:
        from cai.commands.exchange import export_constitution

        export_constitution(console, form, what, Path(to))
    else:
        from cai.commands.exports import export_run

        export_run(console, what, to, private, runs)


@app.command()
def prompts(
    kind: Annotated[str, typer.Argument(help="`harmful` or `helpful`.")],
    seeds: Annotated[str, typer.Option(help="Your own prompts, to be shown as examples: a file or a shipped set.")],
    to: Annotated[Path, typer.Option(help="The .jsonl file to write; one that is there is gone on with.")],
    count: Annotated[int, typer.Option(min=1, help="How many new prompts to end with.")] = 100,
    model: TriedModel = None,
    recipe: TriedRecipe = None,
    examples: Annotated[int, typer.Option(min=1, help="Seeds shown in one request.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The seed of every draw.")] = 0,
    overrides: TrialOverrides = None,
) -> None:
    """Write more prompts like your own with a model, without near-duplicates."""
    from cai.commands.prompts import generate

    generate(console, kind, seeds, to, count, model, recipe, examples, seed, overrides or [])


@app.command()
def view(
    runs: Annotated[Path, typer.Argument(help="The folder that holds all runs.")] = RUNS,
    host: Annotated[
        str, typer.Option(help="Where to listen; another than this machine's own asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any that is free.")] = 8321,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
    token: Annotated[
        bool, typer.Option("--token", help="Ask for a token also on this machine, which others may share.")
    ] = False,
) -> None:
    """Look at runs in a browser, live: chains, comparisons, curves, results, two runs side by side; and label pairs."""
    from cai.commands.view import view as view_runs

    view_runs(console, runs, host, port, browser, token)


@app.command()
def labels(
    action: Annotated[str, typer.Argument(help="`export`, `import`, or `judge`: measure the run's judge on them.")],
    run: RunName,
    file: Annotated[Path | None, typer.Argument(help="The file to write or read; of `judge`: its figures.")] = None,
    to: Annotated[str, typer.Option(help="`argilla`, `label-studio`, `jsonl`, or labelled `pairs`.")] = "jsonl",
    count: Annotated[int, typer.Option(min=1, help="Pairs to write, drawn as in the viewer.")] = 50,
    runs: Root = RUNS,
) -> None:
    """People's labels, which `cai view` collects: to and from Argilla and Label Studio, to training, to the judge."""
    from cai.commands.labels import exchange_labels

    exchange_labels(console, action, run, file, to, count, runs)


@app.command()
def evaluate(
    run: RunName,
    model: Annotated[
        list[str] | None,
        typer.Option(help="NAME=MODEL: an alias, hub name, folder, RUN/STAGE or http://SERVER/v1#MODEL; again: more."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(help="Run `win_rates`, `harmfulness`, `refusals`, `over_refusal` or `hhh` if it was not."),
    ] = None,
    pairs: Annotated[str | None, typer.Option(help="Comparisons that people made, for `--suite hhh`.")] = None,
    against: Annotated[str | None, typer.Option(help="Another run, compared on the prompts that both asked.")] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option(help="How far a figure may fall below the other run's: harmlessness=0.05; may be given again."),
    ] = None,
    lm_eval: Annotated[
        str | None, typer.Option(help="Tasks of lm-evaluation-harness to run on a checkpoint (--model STAGE) instead.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="With --lm-eval: only print its command line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    runs: Root = RUNS,
) -> None:
    """Show what the evaluation of a run found; let models and suites join. Exits with 6 where a figure fell too far."""
    from cai.commands.evaluating import Asked
    from cai.commands.evaluating import evaluate as evaluate_run

    asked = Asked(model or (), suite or (), pairs, against, max_drop or (), lm_eval, dry, as_json)
    raise typer.Exit(evaluate_run(console, run, runs, asked))


@app.command()
def report(
    run: Annotated[list[str], typer.Argument(help="A run, finished or not; of several: one file, side by side.")],
    to: Annotated[Path | None, typer.Option(help="The file, .html or .md. Without: in the run's folder.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown instead of HTML.")] = False,
    runs: Root = RUNS,
) -> None:
    """Write a report of runs from what is stored, as one file that loads nothing from anywhere; print its path."""
    from cai.commands.reports import report as write

    write(console, run, runs, to, markdown)


@app.command()
def config(
    schema: Annotated[
        str | None, typer.Option(help="Print the JSON Schema of `recipe` or `constitution` instead.")
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="List the model aliases instead.")] = False,
) -> None:
    """Print every setting of a recipe with its default, meaning, unit and source."""
    from cai.commands.runs import print_config

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
    terminated, code = heed_terminate(), 0
    try:
        app(prog_name="cai", standalone_mode=True)
    except CaiError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = CLOSED_PIPE if pipe_closed() else ended.code
    sys.exit(TERMINATED if terminated and code == 130 else code)
