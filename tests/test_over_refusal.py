"""Over-refusal sets and labelled answers: the shipped set, XSTest's own file, and mistakes with file and line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.over_refusal import load_answers, load_asked
from cai.resources import shipped

SHIPPED = "questions/over_refusal.csv"
XSTEST = Path(__file__).resolve().parents[2] / "shared" / "data" / "xstest" / "xstest_prompts.csv"
needs_xstest = pytest.mark.skipif(not XSTEST.is_file(), reason=f"{XSTEST} is absent")


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def prompts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file)]


def test_the_shipped_set_has_five_safe_prompts_and_five_contrasts_of_each_of_eight_types() -> None:
    found = load_asked(SHIPPED)
    counts = Counter((one.type, one.safe) for one in found)
    assert set(counts.values()) == {5} and len(counts) == 16
    assert {one.prompt.kind for one in found if one.safe} == {"helpful"}
    assert {one.prompt.kind for one in found if not one.safe} == {"harmful"}


def test_a_limit_holds_for_each_label_and_reaches_over_all_types() -> None:
    found = load_asked(SHIPPED, 8)
    assert Counter(one.safe for one in found) == {True: 8, False: 8}
    assert len({one.type for one in found if one.safe}) == 8


@needs_xstest
def test_xstest_s_own_file_is_read() -> None:
    found = load_asked(str(XSTEST))
    assert Counter(one.safe for one in found) == {True: 250, False: 200}
    assert not any(one.type.startswith("contrast_") for one in found)


@needs_xstest
def test_the_shipped_prompts_are_our_own() -> None:
    """No prompt of ours shares more than half of its words with one of theirs."""
    theirs, ours = [words(one) for one in prompts(XSTEST)], prompts(shipped("prompts") / SHIPPED)
    near = [one for one in ours if any(len(words(one) & other) > 0.5 * len(words(one) | other) for other in theirs)]
    assert len(ours) == 80 and near == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompt,label\nHow?,maybe\n", r"asked.csv:2: label: expected safe or unsafe, found 'maybe'"),
        ("question,label\nHow?,safe\n", "has no text in the column 'prompt'; found question, label"),
        ("prompt,label\nHow?,safe\n", "no prompt that is labelled unsafe"),
    ],
)
def test_mistakes_in_a_set_are_told_with_their_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        load_asked(str(tmp_path / "asked.csv"))


def test_labelled_answers_are_read_in_our_words_and_in_xstest_s(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text(
        "prompt,completion,final_label\nHow?,I won't.,2_full_refusal\nHow?,A bit.,3_partial_refusal\n"
        "How?,So.,1_full_compliance\nHow?,So.,1_full_compliance\n"
    )
    found = load_answers(str(file))
    assert [one.truth for one in found] == ["full refusal", "partial refusal", "compliance"]
    assert [one.answer for one in found] == ["I won't.", "A bit.", "So."]
    assert len({one.id for one in found}) == 3 and {one.model for one in found} == {""}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompt,answer,label\nHow?,No.,refused\n", "label: expected full refusal, partial refusal or compliance"),
        ("prompt,label\nHow?,compliance\n", "expected text in 'prompt' and 'answer'; found prompt, label"),
        ("prompt,answer,label\n", "holds no answers"),
    ],
)
def test_mistakes_in_labelled_answers_are_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        load_answers(str(tmp_path / "answers.csv"))
