"""People's labels of comparisons: out to other tools and in again, to training, and beside the judge."""

from __future__ import annotations

import heapq
import json
from pathlib import Path

from rich.console import Console

from cai.commands.judge_tables import print_figures
from cai.errors import InputError
from cai.judge_figures import figures
from cai.labelled_pairs import judged, pairs, votes
from cai.labels import HumanLabel, add, draw, labels_of
from cai.labels_exchange import FORMS, LABEL_STUDIO_CONFIG, read_labels, to_argilla, to_label_studio
from cai.records import Comparison
from cai.store import RunFolder, StepFolder, write_text
from cai.terminal import say


def exchange_labels(
    console: Console, action: str, name: str, file: Path | None, to: str, count: int, runs: Path
) -> None:
    """Writes `file` from a run, reads it into one, or measures the run's judge. Raises InputError."""
    folder = RunFolder(runs, name)
    step = folder.steps.get("compare")
    if step is None:
        raise InputError(f"run {name!r} has no comparisons yet; run its stage `compare` first")
    if action == "judge":
        _judge(console, folder, step, file)
    elif action not in ("export", "import"):
        raise InputError(f"no action {action!r}; expected `export`, `import` or `judge`")
    elif file is None:
        raise InputError(f"{action}: which file? give its name after the run's")
    elif action == "export":
        _export(console, folder, step, _new(file), to, count)
    else:
        _import(console, folder, step, file)


def _judge(console: Console, folder: RunFolder, step: StepFolder, file: Path | None) -> None:
    """The verdicts that are stored, beside what people said: nobody is asked again. `file`: where figures go too."""
    said = votes(_labels(folder))
    found = figures(judged(step.records(Comparison), said))
    if file:
        write_text(_new(file), json.dumps(found.as_json(), indent=1) + "\n")
    print_figures(console, f"the judge of {folder.name}, on what people labelled", found)
    if ties := sum(sum(one) * 2 == len(one) for one in said.values()):
        say(console, f"{ties} pairs of which as many people preferred one answer as the other were left out")


def _new(file: Path) -> Path:
    if file.exists():
        raise InputError(f"{file} is there already; give another name, or remove it")
    return file


def _labels(folder: RunFolder) -> dict[str, dict[str, HumanLabel]]:
    if labels := labels_of(folder):
        return labels
    raise InputError(f"run {folder.name!r} has no labels yet; `cai view` and its page Label collect them")


def _export(console: Console, folder: RunFolder, step: StepFolder, file: Path, to: str, count: int) -> None:
    if to == "jsonl":
        labels = [label for said in _labels(folder).values() for label in said.values()]
        write_text(file, "".join(f"{label.model_dump_json()}\n" for label in labels))
        say(console, f"{file}: {len(labels)} labels")
    elif to == "pairs":
        _export_pairs(console, folder, step, file)
    else:
        _export_tasks(console, folder, step, file, to, count)


def _export_pairs(console: Console, folder: RunFolder, step: StepFolder, file: Path) -> None:
    rows = list(pairs(step.records(Comparison), votes(_labels(folder)), folder.name))
    write_text(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    say(console, f"{file}: {len(rows)} pairs with the share of people that preferred each")
    say(console, f"to measure a judge on them: cai judge {file}")
    say(console, f"to learn from them: preference_model.human=[{{pairs: {file}, kind: harmful}}]")


def _export_tasks(console: Console, folder: RunFolder, step: StepFolder, file: Path, to: str, count: int) -> None:
    writers = {"argilla": to_argilla, "label-studio": to_label_studio}
    if to not in writers:
        raise InputError(f"no form {to!r}; expected one of {', '.join(FORMS)}")
    drawn = sample(step, count)
    write_text(file, json.dumps(writers[to](drawn, folder.name), indent=1, ensure_ascii=False) + "\n")
    say(console, f"{file}: {len(drawn)} comparisons to be labelled, without verdicts")
    if to == "label-studio":
        say(console, f"labelling interface:\n{LABEL_STUDIO_CONFIG}")


def sample(step: StepFolder, count: int) -> list[Comparison]:
    """The comparisons that the viewer would show, pairs of identical answers left out."""
    able = (one for one in step.records(Comparison) if one.verdict.state != "skipped")
    return heapq.nsmallest(count, able, key=lambda one: draw(one.id))


def _import(console: Console, folder: RunFolder, step: StepFolder, file: Path) -> None:
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    labels = read_labels(text, str(file))
    about = {one.comparison for one in labels}
    known = {one.id for one in step.records(Comparison) if one.id in about}
    if not known:
        raise InputError(
            f"{file}: none of its {len(about)} comparisons is in run {folder.name!r}; is it another run's?"
        )
    mine = [one for one in labels if one.comparison in known]
    new = add(folder, mine)
    say(console, f"{len(labels)} labels in {file}: {new} new, {len(mine) - new} known already")
    if strange := len(labels) - len(mine):
        say(console, f"{strange} are of comparisons that are not in this run, and were left out")
