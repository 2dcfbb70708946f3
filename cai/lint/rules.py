"""The rules by name, and what they find in a constitution."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cai.constitution import Constitution
from cai.lint import mirrors, sets, wording
from cai.lint.base import Rule
from cai.yamlfile import YamlFile

RULES: Mapping[str, Rule] = {
    "near-duplicate": wording.near_duplicates,
    "copied": wording.copied,
    "too-long": wording.too_long,
    "no-direction": wording.no_direction,
    "harmful-direction": wording.harmful_direction,
    "closed-question": wording.closed_question,
    "turn-marker": wording.turn_markers,
    "template-syntax": wording.template_syntax,
    "unfinished": wording.unfinished,
    "no-opposite": mirrors.no_opposite,
    "same-opposite": mirrors.same_opposite,
    "uneven-opposite": mirrors.uneven_opposite,
    "one-stage": sets.one_stage,
    "no-critique": sets.no_critique,
    "empty-round": sets.empty_rounds,
    "late-round": sets.late_rounds,
    "idle-rounds": sets.idle_rounds,
    "rarely-drawn": sets.rarely_drawn,
    "dialect-only": sets.dialect_only,
    "no-balance": sets.no_balance,
    "no-tests": sets.no_tests,
    "idle-test": sets.idle_tests,
    "repeated-test": sets.repeated_tests,
    "tag-typo": sets.tag_typos,
}
"""Each says in its first line why what it finds is doubtful."""


@dataclass(frozen=True)
class Finding:
    """One doubtful place. `line` counts from 1; `where` is the path of keys to the value."""

    rule: str
    file: str
    line: int | None
    where: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: warning: {self.where}: {self.message} [{self.rule}]"


def findings(file: YamlFile, constitution: Constitution) -> list[Finding]:
    """What every rule finds in the constitution that `file` holds, by file and line."""
    found = []
    for name, rule in RULES.items():
        for at, message in rule(constitution):
            mistake = file.mistake(at, message)
            found.append(Finding(name, *placed(mistake.place), mistake.where, message))
    return sorted(found, key=lambda one: (one.file, one.line or 0))


def placed(place: str) -> tuple[str, int | None]:
    """The file and line of `file:line`; no line where a place has none."""
    found = re.fullmatch(r"(.*):(\d+)", place, re.S)
    return (found[1], int(found[2])) if found else (place, None)
