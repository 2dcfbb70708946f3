"""Worked examples: the shipped ones, and what is said of files that are not right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
import yaml

from cai.errors import InputError
from cai.few_shot import ComparisonExample, comparison_examples, reasoning_examples, revision_examples

REVISIONS, COMPARISONS = "few_shot/critique_revision", "few_shot/comparison"
REVISION = {
    "id": "x",
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}],
    "critique_request": "What is wrong?",
    "critique": "Rude.",
    "revision_request": "Mend it.",
    "revision": "Hello",
}
COMPARISON = {
    "id": "y",
    "messages": [{"role": "user", "content": "Hi"}],
    "instruction": "Which is kinder?",
    "a": "Hello",
    "b": "Go",
    "answer": "A",
}

RANKED = {"id": "z", "messages": COMPARISON["messages"], "better": "Hello", "worse": "Go"}
REASONING = {
    **{key: COMPARISON[key] for key in ("messages", "a", "b", "answer")},
    "id": "t",
    "thoughts": "\n(B) is rude.",
}


def written(path: Path, example: Mapping[str, object]) -> Path:
    path.write_text(yaml.safe_dump({"name": "mine", "examples": [example]}, sort_keys=False))
    return path


def test_the_shipped_revisions_end_with_the_answer_that_is_criticised() -> None:
    examples = revision_examples(REVISIONS, 5)
    assert len({example.id for example in examples}) == 5
    for example in examples:
        assert example.messages[-1].role == "assistant"
        assert all([example.critique_request, example.critique, example.revision_request, example.revision])


def test_one_shipped_revision_repeats_a_good_answer_and_the_others_change_theirs() -> None:
    same = [
        example.id for example in revision_examples(REVISIONS, 5) if example.revision == example.messages[-1].content
    ]
    assert same == ["barking-dog"]


def test_the_shipped_comparisons_end_with_a_user_and_favour_no_seat() -> None:
    examples = comparison_examples(COMPARISONS, 4)
    assert all(example.messages[-1].role == "user" for example in examples)
    assert Counter(example.answer for example in examples) == {"A": 2, "B": 2}
    assert all(example.whole and example.a != example.b for example in examples)


def test_the_longer_answer_does_not_always_win() -> None:
    answers = (example.ranked for example in comparison_examples(COMPARISONS, 4))
    assert {len(better) > len(worse) for better, worse in answers} == {True, False}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_first_few_are_given_in_order(count: int) -> None:
    assert revision_examples(REVISIONS, count) == revision_examples(REVISIONS, 5)[:count]
    assert comparison_examples(COMPARISONS, count) == comparison_examples(COMPARISONS, 4)[:count]


@pytest.mark.parametrize(
    ("read", "name", "held"), [(revision_examples, REVISIONS, 5), (comparison_examples, COMPARISONS, 4)]
)
def test_more_than_there_are_is_an_error_that_says_how_many(
    read: Callable[[str, int], object], name: str, held: int
) -> None:
    with pytest.raises(
        InputError, match=rf"few_shot: {held + 1} examples asked for, {name} holds {held}; ask for fewer"
    ):
        read(name, held + 1)


def test_a_file_of_ones_own_is_read_by_path_or_from_beside(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml", REVISION)
    (by_path,) = revision_examples(str(path), 1)
    assert by_path.model_dump(mode="json", exclude={"tags"}) == REVISION
    assert revision_examples("mine.yaml", 1, tmp_path) == (by_path,)
    (other,) = comparison_examples(str(written(tmp_path / "other.yaml", COMPARISON)), 1)
    assert other.answer == "A"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revison": "x"}, r"mine\.yaml:13: examples\.0\.revison: unknown key; did you mean 'revision'\?"),
        ({"critique": 3}, r"mine\.yaml:10: examples\.0\.critique: .* \(found 3\)"),
        ({"messages": []}, r"mine\.yaml:4: examples\.0\.messages: .*at least 1 item"),
        ({"messages": [{"role": "judge", "content": ""}]}, r"mine\.yaml:5: examples\.0\.messages\.0\.role: "),
    ],
)
def test_a_bad_revision_is_told_with_file_and_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = written(tmp_path / "mine.yaml", REVISION | change)
    with pytest.raises(InputError, match=f"^{tmp_path}/{message}"):
        revision_examples(str(path), 1)


@pytest.mark.parametrize("missing", ["critique_request", "critique", "revision_request", "revision", "messages"])
def test_what_a_revision_lacks_is_named(tmp_path: Path, missing: str) -> None:
    path = written(tmp_path / "mine.yaml", {key: value for key, value in REVISION.items() if key != missing})
    with pytest.raises(InputError, match=rf"mine\.yaml:3: examples\.0\.{missing}: required and missing"):
        revision_examples(str(path), 1)


def test_an_answer_that_is_neither_a_nor_b_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml", COMPARISON | {"answer": "C"})
    with pytest.raises(InputError, match=r"mine\.yaml:10: examples\.0\.answer: .*'A' or 'B'"):
        comparison_examples(str(path), 1)


def test_a_file_of_the_other_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"examples\.0\.critique_request: required and missing"):
        revision_examples(str(written(tmp_path / "mine.yaml", COMPARISON)), 1)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"a": "x", "b": "y"},
        {"a": "x", "answer": "A"},
        {"better": "x"},
        {"a": "x", "b": "y", "answer": "A", "better": "x"},
        {"a": "x", "better": "x", "worse": "y"},
        {"a": "x", "b": "y", "answer": "A", "better": "x", "worse": "y"},
    ],
)
def test_a_comparison_has_one_of_two_forms(tmp_path: Path, form: dict[str, str]) -> None:
    path = written(tmp_path / "mine.yaml", {"id": "z", "messages": COMPARISON["messages"], **form})
    with pytest.raises(
        InputError, match=r"mine\.yaml:3: examples\.0: a comparison has either 'a', 'b' and 'answer', or"
    ):
        comparison_examples(str(path))


def test_empty_answers_count_as_answers() -> None:
    example = ComparisonExample.model_validate(RANKED | {"better": ""})
    assert example.ranked == ("", "Go")
    settled = example.settled("Which?", "B")
    assert (settled.a, settled.b, settled.answer, settled.whole) == ("Go", "", "B", True)


@pytest.mark.parametrize("seat", ["A", "B"])
def test_what_a_comparison_leaves_open_is_settled_and_the_rest_is_kept(seat: Literal["A", "B"]) -> None:
    seated, ranked = (ComparisonExample.model_validate(one) for one in (COMPARISON, RANKED))
    assert seated.whole and seated.settled("Which?", seat) == seated
    assert seated.ranked == ranked.ranked == ("Hello", "Go")
    settled = ranked.settled("Which?", seat)
    assert (settled.whole, settled.instruction, settled.answer) == (True, "Which?", seat)
    assert settled.ranked == ranked.ranked and (settled.a == "Hello") == (seat == "A")
    assert ComparisonExample.model_validate(settled.model_dump()) == settled
    asked = ComparisonExample.model_validate(COMPARISON | {"instruction": None})
    assert not asked.whole and asked.settled("Which is kinder?", seat) == seated


def test_thoughts_are_read_with_the_answer_that_they_lead_to(tmp_path: Path) -> None:
    (example,) = reasoning_examples(str(written(tmp_path / "mine.yaml", REASONING)))
    assert (example.thoughts, example.answer, example.instruction) == ("\n(B) is rude.", "A", None)
    with pytest.raises(InputError, match=r"examples\.0\.thoughts: required and missing"):
        reasoning_examples(str(written(tmp_path / "other.yaml", COMPARISON)))


def test_examples_given_by_a_constitution_are_counted_too() -> None:
    (given,) = (ComparisonExample.model_validate(COMPARISON),)
    assert comparison_examples((given,)) == comparison_examples((given,), 1) == (given,)
    with pytest.raises(InputError, match="2 examples asked for, the constitution holds 1"):
        comparison_examples((given,), 2)


def test_an_unknown_name_is_met_by_the_nearest_shipped_one() -> None:
    with pytest.raises(InputError, match="did you mean 'few_shot/critique_revision'"):
        revision_examples("few_shot/critique_revisions", 1)
