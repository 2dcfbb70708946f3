"""What is said of pip-audit's findings: nothing looked up is never told as clean."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.audit import told

CLEAN: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
WEAK = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([CLEAN], 0, "0 of 1 packages have known weaknesses\n"),
        ([CLEAN, SKIPPED], 0, "0 of 1 packages have known weaknesses; not checked: c"),
        ([CLEAN, WEAK], 1, "b 2: PYSEC-1 (mended in 3)\npip-audit: 1 of 2 packages"),
        ([SKIPPED], 0, "NOT CHECKED, which is not the same as clean: Dependency not found"),
        ([], 0, "NOT CHECKED, which is not the same as clean: no package"),
    ],
)
def test_by_hand(capsys: pytest.CaptureFixture[str], found: list[dict[str, Any]], code: int, words: str) -> None:
    assert told(found) == code
    assert words in capsys.readouterr().out
