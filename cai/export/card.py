"""The data set card: what the data is, what made it, what was left out, and what it can't be used for."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cai import __version__
from cai.constitution import Constitution
from cai.export.provenance import players, public, stages
from cai.export.source import Part, Source
from cai.export.tables import TABLES, TYPES, path_of
from cai.hygiene import FLAGS
from cai.identity import digest, identity_of
from cai.records import Comparison
from cai.stages.report_caveats import caveats
from cai.stages.report_excerpts import visible
from cai.verdicts import audit
from cai.weights import parameters
from cai.yamlfile import to_yaml

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
"""The hub's words for how many rows there are."""

CARES = (
    "The harmful prompts were written to provoke. Answers to them, first answers and early rounds above all, and the "
    "critiques that quote them can be harmful, false or offensive.",
    "A revision follows its principle as well as the model could, and a chosen answer is the likelier one of two by "
    "the word of one judge: neither is known to be harmless, true or helpful. A label near 0.5 says next to nothing.",
    "Training on this data is no evidence that a model is safe. Measure that on prompts that are not in it.",
)
"""What holds of every run's data."""


@dataclass(frozen=True)
class Written:
    """A split and how many rows it has."""

    part: Part
    rows: int


def card(
    source: Source, written: Sequence[Written], constitution: Constitution | None, notes: Sequence[str], address: str
) -> str:
    """The card as Markdown. `address`: the folder or hub name that it is loaded from.

    Nothing that a model wrote is in it. What a recipe or a constitution says is escaped.
    """
    return (
        environment()
        .get_template("card.md.jinja")
        .render(
            name=source.name,
            header=_header(source.name, written),
            recipe=source.recipe,
            version=__version__,
            date=today(),
            players=players(source.recipe),
            constitution=constitution,
            rules=constitution.name if constitution else public(source.recipe.constitution),
            digest=digest(identity_of(source.recipe)),
            stages=stages(source),
            notes=notes,
            counts=[
                {"table": one.part.table.name, "split": one.part.split, "rows": one.rows, "about": _about(one.part)}
                for one in written
            ],
            left_out=left_out(source),
            cares=_cares(source),
            address=json.dumps(address, ensure_ascii=False),
            tables=[table for table in TABLES if any(one.rows and one.part.table is table for one in written)],
            types=TYPES,
            flags=FLAGS,
        )
    )


def left_out(source: Source) -> dict[str, int]:
    """How many items, rows and pairs were left out of the data or of the training on it, by reason."""
    summaries = {stage: step.summary for stage, step in source.done.items()}
    counts = {
        f"{stage}: items that the model could not answer": one.get("failed", 0) for stage, one in summaries.items()
    }
    sft, pairs = summaries.get("sft", {}), summaries.get("preference_model", {})
    counts |= {
        f"rows of sl that SL-CAI did not learn from, {reason}": count
        for reason, count in sft.get("left_out", {}).items()
    }
    counts["rows of sl that SL-CAI did not learn from, longer than max_length"] = sft.get("too_long", 0)
    states = Counter(one.verdict.state for one in source.records("compare", Comparison))
    counts |= {f"pairs in not_parsed, {state}": count for state, count in states.items() if state != "parsed"}
    counts["pairs that the preference model did not learn from, longer than max_length"] = pairs.get("too_long", 0)
    return {reason: count for reason, count in counts.items() if count}


def today() -> str:
    """The date, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _header(name: str, written: Sequence[Written]) -> str:
    total = sum(one.rows for one in written)
    return to_yaml(
        {
            "pretty_name": f"{name}: Constitutional AI",
            "license": "other",
            "task_categories": ["text-generation"],
            "tags": ["constitutional-ai", "rlaif", "preference", "synthetic", "trl"],
            "size_categories": [next((word for most, word in _SIZES if total < most), "n>10M")],
            "configs": _configs(written),
        }
    ).rstrip()


def _configs(written: Sequence[Written]) -> list[dict[str, Any]]:
    """What `datasets` reads: which files make up each data set. The first is the one that a viewer shows."""
    files: dict[str, list[dict[str, str]]] = {}
    for one in written:
        if one.rows:
            file = {"split": one.part.split, "path": path_of(one.part.table, one.part.split)}
            files.setdefault(one.part.table.name, []).append(file)
    return [{"config_name": name, "data_files": found} for name, found in files.items()]


def _about(part: Part) -> str:
    return part.table.splits[part.split]


def _cares(source: Source) -> list[str]:
    """What the data can't be used for without care; the gravest first."""
    judge = source.recipe.models.feedback.model
    told = caveats(source.recipe, public(judge), parameters(judge))
    of_this_run = [f"{one.claim} {one.reason}" for one in told if one.grave or public(judge) in one.claim]
    return [*of_this_run, *judged(source), *CARES]


def judged(source: Source) -> list[str]:
    """What the labels say about who gave them; nothing where no judge did."""
    found = audit(source.records("compare", Comparison))
    if found.first_seat is None or found.decided is None:
        return []
    said = (
        f"Over all pairs with a verdict, the judge gave a mean probability of {found.first_seat:.2f} to the answer "
        f"that it was shown first (0.50: even), and its labels are decided to a degree of {found.decided:.2f} (0.00: "
        "all ties; 1.00: all certain)."
    )
    if found.same_seat is not None:
        said += f" Of {found.both_orders} pairs asked in both orders, the same seat won twice in {found.same_seat:.0%}."
    return [said]


def _prose(text: str) -> Markup:
    """Our own words, in a cell of a table."""
    return Markup(text.replace("|", "\\|"))


def environment() -> jinja2.Environment:
    """What cards are rendered by: every text that is inserted becomes one line without markup."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        finalize=_inline,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"safe": Markup, "prose": _prose, "escaped": _inline}
    return environment


def _inline(value: Any) -> Any:
    """Text within a line of Markdown, none of it markup."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(visible(value).split()))
