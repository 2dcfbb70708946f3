"""The command that scores answers with a preference model: score."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.checkpoints import Checkpoint, preference_model
from cai.errors import InputError, needing
from cai.human import conversation
from cai.models import ModelConfig
from cai.progress import Reporter
from cai.prompts import Rendered, Templates
from cai.questions import rows
from cai.stats import mean, rate, to_text
from cai.store import write_text
from cai.terminal import printable, say
from cai.yamlfile import YamlFile

ANSWERS = ("answer", "response", "completion", "messages", "text")
"""The columns that may hold an answer, or a whole conversation that ends with one; the first that is there counts."""

PAIR = ("chosen", "rejected")
"""The columns of a pair, of which both are scored."""

_WANTED = f"expected one answer a row in a column {' or '.join(ANSWERS)}, or a pair in {' and '.join(PAIR)}"
_AT_ONCE, _SHOWN = 256, 100
"""Rows that are scored at once; characters of an answer that a terminal shows."""


def score(
    console: Console, model: str, source: str, dialect: str | None, to: Path | None, as_json: bool, runs: Path
) -> None:
    """Prints the score (log-odds) of every answer in a file, or writes its rows with their scores to `to`.

    Raises InputError where there is no such preference model, or a row has no answer.
    """
    templates, folder = _spoken(preference_model(model, runs), dialect)
    name, found = rows(source)
    aside = Console(stderr=True) if as_json else console
    with needing("train"):
        from cai.trainers.scorer import PreferenceScorer
    Reporter(aside).loading(model)
    scorer, scored, lines = PreferenceScorer(folder), [], []
    while some := list(itertools.islice(found, _AT_ONCE)):
        sides = [_sides(templates, row, f"{name}{where}") for where, row in some]
        values = iter(scorer.score([side for both in sides for side in both.values()]))
        for (_, row), both in zip(some, sides, strict=True):
            scores = {column: next(values) for column in both}
            scored.append(scores)
            line = json.dumps({**row, **_columns(scores)}, ensure_ascii=False)
            if to:
                lines.append(line)
            else:
                shown = "".join(f"{value:8.3f}  {_short(both[column][1])}\n" for column, value in scores.items())
                say(console, line if as_json else shown.rstrip("\n"))
    if not scored:
        raise InputError(f"{name}: holds no rows; {_WANTED}")
    if to:
        write_text(to, "".join(f"{line}\n" for line in lines))
    for line in _said(scored):
        say(aside, line)


def _spoken(found: Checkpoint, dialect: str | None) -> tuple[Templates, Path]:
    """What the preference model was shown prompts by, as far as that is known."""
    recipe = found.recipe
    known = recipe.models.pretrained if recipe else ModelConfig()
    asked: dict[str, Any] = known.model_dump() | ({"dialect": dialect} if dialect else {})
    model = YamlFile("score", asked, {}, {("dialect",): "--dialect"}).check(ModelConfig)
    folder = Path(recipe.templates) if recipe and recipe.templates else None
    return Templates(model.dialect, folder, model.system), found.folder


def _sides(templates: Templates, row: dict[str, Any], where: str) -> dict[str, tuple[Rendered, str]]:
    """The answers of a row with their prompt, by their columns: one, or both of a pair."""
    pair = all(row.get(name) for name in PAIR)
    columns = PAIR if pair else [name for name in ANSWERS if row.get(name)][:1]
    if not columns:
        raise InputError(f"{where}: has no answer; {_WANTED}, found {', '.join(row)}")
    return {column: _side(templates, row, column, where) for column in columns}


def _side(templates: Templates, row: dict[str, Any], column: str, where: str) -> tuple[Rendered, str]:
    try:
        messages, answer = conversation(row, column)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not answer:
        raise InputError(f"{where}: {column} ends with a person's turn; expected an answer to score")
    return templates.render("respond", messages=messages), answer


def _columns(scores: dict[str, float]) -> dict[str, float]:
    """Of one answer `score`, of a pair `score_chosen` and `score_rejected`."""
    return {f"score_{name}" if name in PAIR else "score": value for name, value in scores.items()}


def _said(scored: Sequence[dict[str, float]]) -> list[str]:
    """The mean and the range; of pairs also how often the chosen answer scores higher."""
    every = [value for scores in scored for value in scores.values()]
    middle = to_text(mean(every)) if len(every) > 1 else f"{every[0]:.2f}"
    told = [f"{len(every)} answers: mean {middle}, from {min(every):.2f} to {max(every):.2f} (log-odds)"]
    pairs = [scores for scores in scored if PAIR[0] in scores]
    if not pairs:
        return told
    wins = sum((one["chosen"] > one["rejected"]) + (one["chosen"] == one["rejected"]) / 2 for one in pairs)
    return [*told, f"{len(pairs)} pairs: share whose chosen answer scores higher {to_text(rate(wins, len(pairs)))}"]


def _short(answer: str) -> str:
    line = printable(" ".join(answer.split()))
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
