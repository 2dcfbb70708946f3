r"""The prompts released with Bai et al. 2022 (github.com/anthropics/ConstitutionalHarmlessnessPaper, prompts/).

Five files: instructions for critique and revision, instructions for comparisons, and worked examples of revisions, of
comparisons and of comparisons with thoughts. Spelling and spaces are kept as they are. What differs from example to
example for no reason is made alike: the `\n\nHuman:` after all worked revisions but one, and the empty lines before a
worked comparison with thoughts. The words around its thoughts and its names H and A are the template's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cai.errors import InputError
from cai.exchange.bundle import Bundle, Exported, Imported, NewFile, lost_names, lost_tags, lost_with, numbered
from cai.exchange.instructions import NAME, instructions, read_instructions
from cai.exchange.paper_examples import (
    ComparisonEntry,
    ReasoningEntry,
    comparison,
    comparison_entry,
    comparison_of,
    reasoning,
    revision,
    revision_text,
    written,
)
from cai.exchange.reading import read_json, unwrapped
from cai.few_shot import ComparisonExample

REVISIONS = "CritiqueRevisionFewShotPrompts.json"
CHOICES = "RLMadisonInstructions.json"
COMPARISONS = "RLMadisonFewShotPrompts.json"
REASONINGS = "RLMadisonPrecogFewShotPrompts.json"

LICENCE = "The repository that released the source states no licence."

_CHOICE = "\n", " Options:"


def read_paper(source: Path) -> Imported:
    """The five files in a folder, or in its folder `prompts`, as constitutions and worked examples.

    A file may be empty (`[]` or `{}`), and then nothing is made of it. Raises InputError where one is missing or is not
    what was released, and where there are no instructions at all.
    """
    folder = source / "prompts" if (source / "prompts").is_dir() else source
    if not folder.is_dir():
        raise InputError(f"{source}: expected the folder that holds {NAME} and four more files, found no folder")
    missing = [name for name in (NAME, REVISIONS, CHOICES, COMPARISONS, REASONINGS) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: {', '.join(missing)} missing; expected all five files of the paper's `prompts`")
    supervised = read_instructions(folder / NAME)
    choices = _read_choices(folder / CHOICES)
    if not supervised and not choices:
        raise InputError(f"{folder}: {NAME} and {CHOICES} hold no instructions; give at least one")
    taken = {one["id"] for one in supervised} & {one["id"] for one in choices}
    if taken:
        raise InputError(f"{folder / NAME}: {', '.join(sorted(taken))}: so entries of {CHOICES} are called; rename it")
    revisions = _read_examples(folder / REVISIONS, str, revision)
    comparisons = _read_examples(folder / COMPARISONS, ComparisonEntry, comparison)
    found = _read_examples(folder / REASONINGS, ReasoningEntry, reasoning)
    opening, notes = _opening([opening for opening, _ in found])
    rules = [
        _rules("harmlessness-sl", "Instructions for critique and revision, App. C.1.", {}, supervised, NAME),
        _rules("harmlessness-rl", "Instructions for comparisons, App. C.2.", opening, choices, CHOICES),
    ]
    shown = [
        _shown("revisions", "critique_revision", "Revisions, App. E.1.", revisions, REVISIONS),
        _shown("comparisons", "comparison", "Comparisons: seats and principles are drawn.", comparisons, COMPARISONS),
        _shown("reasonings", "comparison_cot", "Comparisons with thoughts.", [one for _, one in found], REASONINGS),
    ]
    files = [file for file in (*rules, *shown) if file.data.get("principles") or file.data.get("examples")]
    return Imported((*files, _whole(files)), "paper.yaml", LICENCE, notes)


def write_paper(bundle: Bundle) -> Exported:
    """The five files. The comparisons with thoughts stay empty, since a constitution names none."""
    rules = bundle.constitution
    supervised = [one for one in rules.principles if one.serves("revision")]
    judged = [one for one in rules.principles if one.serves("comparison")]
    revisions, odd = written(bundle.revisions, revision_text, revision)
    comparisons, odd_too = written(bundle.comparisons, comparison_entry, comparison_of)
    files = {
        NAME: instructions(supervised, [one.id for one in supervised]),
        REVISIONS: revisions,
        CHOICES: [f"{one.comparison}".join(_CHOICE) for one in judged],
        COMPARISONS: comparisons,
        REASONINGS: [],
    }
    both = [one.id for one in supervised if one in judged]
    kept = [one for one in rules.principles if one in supervised or one in judged]
    lost = [
        *lost_with(rules, kept, ("critique", "revision", "comparison")),
        *([f"that {', '.join(both)} serve revision and comparison: each is two when read back"] if both else []),
        *lost_names("comparison principles", [one.id for one in judged], numbered("comparison", len(judged))),
        *lost_tags((*bundle.revisions, *bundle.comparisons)),
        *_lost_draws(bundle.comparisons),
        *(f"the worked example {name}, which this form cannot spell" for name in (*odd, *odd_too)),
    ]
    return Exported(files, tuple(lost))


def _opening(sentences: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What a question without thoughts begins with: the opening of the examples that name no (H) and (A)."""
    plain = sorted({one for one in sentences if "(H)" not in one and "(A)" not in one})
    if len(plain) == 1:
        return {"opening": plain[0]}, ()
    found = f"{len(plain)} differ" if plain else "there is none"
    note = f"{REASONINGS}: no one sentence opens a question without '(H)' and '(A)' ({found}); our own words open it"
    return {}, (note,)


def _read_choices(path: Path) -> list[dict[str, str]]:
    texts = read_json(path, tuple[str, ...])
    ids = numbered("comparison", len(texts))
    return [
        {"id": name, "comparison": unwrapped(text, *_CHOICE, f"{path}: {number}")}
        for number, (name, text) in enumerate(zip(ids, texts, strict=True))
    ]


def _read_examples(path: Path, form: type[Any], read: Callable[[Any, str, str], Any]) -> list[Any]:
    entries = read_json(path, tuple[form, ...])
    ids = numbered("example", len(entries))
    return [
        read(entry, name, f"{path}: {number}") for number, (name, entry) in enumerate(zip(ids, entries, strict=True))
    ]


def _rules(name: str, about: str, top: dict[str, str], principles: list[dict[str, str]], made_from: str) -> NewFile:
    data = {"name": name, "description": about, "source": _source(made_from), **top, "principles": principles}
    return NewFile(f"{name}.yaml", "constitution", data, made_from)


def _shown(kind: Any, name: str, about: str, examples: Sequence[Any], made_from: str) -> NewFile:
    held = [one.model_dump(mode="json", exclude_defaults=True) for one in examples]
    return NewFile(f"few_shot/{name}.yaml", kind, {"name": name, "description": about, "examples": held}, made_from)


def _whole(files: Sequence[NewFile]) -> NewFile:
    """The constitution that brings all of it together."""
    few_shot = {"revisions": "revision", "comparisons": "comparison"}
    data = {
        "name": "paper",
        "description": "The principles and worked examples of Bai et al. 2022.",
        "source": _source("the files beside it"),
        "extends": [file.path for file in files if file.kind == "constitution"],
        "few_shot": {few_shot[file.kind]: file.path for file in files if file.kind in few_shot},
    }
    made_from = ", ".join(file.made_from for file in files)
    return NewFile("paper.yaml", "constitution", {key: value for key, value in data.items() if value}, made_from)


def _source(made_from: str) -> str:
    return f"Bai et al. 2022, arXiv 2212.08073, by way of {made_from}. {LICENCE}"


def _lost_draws(examples: Sequence[ComparisonExample]) -> list[str]:
    asked = [one.id for one in examples if one.instruction is not None]
    seated = [one.id for one in examples if one.answer is not None]
    return [
        *([f"the instructions of the worked comparisons {', '.join(asked)}: drawn when read back"] if asked else []),
        *([f"the seats of the worked comparisons {', '.join(seated)}: drawn when read back"] if seated else []),
    ]
