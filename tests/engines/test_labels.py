"""Which tokens of labels are asked about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.engines.labels import as_question, shared
from cai.errors import EngineError


@pytest.mark.parametrize(
    ("prompt", "whole", "given", "tails"),
    [
        pytest.param([1, 2], [[1, 2, 3], [1, 2, 4]], [1, 2], [[3], [4]], id="they differ at once"),
        pytest.param([1, 2], [[1, 2, 9, 3], [1, 2, 9, 4]], [1, 2, 9], [[3], [4]], id="a shared start"),
        pytest.param([1, 2], [[1, 2, 3, 9], [1, 2, 4, 9]], [1, 2], [[3], [4]], id="a shared end"),
        pytest.param([1, 2], [[1, 2, 8, 3, 9, 9], [1, 2, 8, 4, 9, 9]], [1, 2, 8], [[3], [4]], id="both"),
        pytest.param([1, 2], [[1, 2, 3, 9], [1, 2, 4, 5, 9]], [1, 2], [[3], [4, 5]], id="unlike lengths"),
        pytest.param([1, 2], [[1, 2, 3], [1, 2, 4, 3]], [1, 2], [[3], [4, 3]], id="one is the other's end"),
        pytest.param([1, 2], [[1, 2, 3, 3, 3], [1, 2, 4, 3, 3]], [1, 2], [[3], [4]], id="a repeated end"),
        pytest.param([1, 2], [[1, 2, 3, 9], [1, 2, 4, 9], [1, 2, 5, 8]], [1, 2], [[3, 9], [4, 9], [5, 8]], id="three"),
        pytest.param([1, 2], [[1, 7], [1, 8]], [1], [[7], [8]], id="the label melts into the prompt"),
        pytest.param([1, 2], [[1, 2, 3, 4]], [1, 2], [[3, 4]], id="one label"),
        pytest.param([1, 2], [[1, 7, 4]], [1], [[7, 4]], id="one label that melts into the prompt"),
    ],
)
def test_of_labels_only_what_differs_is_asked(
    prompt: list[int], whole: list[list[int]], given: list[int], tails: list[list[int]]
) -> None:
    question = as_question(prompt, whole)
    assert list(question.ids) == given
    assert [list(tail) for tail in question.tails] == tails


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param([[1, 2, 3], [1, 2, 3, 4]], id="one is the other's beginning"),
        pytest.param([[1, 2, 3, 4], [1, 2, 3]], id="the same turned round"),
        pytest.param([[1, 2, 3], [1, 2, 3]], id="alike"),
        pytest.param([[1, 2], [1, 2, 3]], id="an empty one"),
        pytest.param([[1, 2]], id="only an empty one"),
        pytest.param([[1, 2, 3], [1, 2, 4], [1, 2]], id="an empty third"),
        pytest.param([[3, 2], [4, 2]], id="nothing given"),
    ],
)
def test_labels_that_do_not_differ_are_an_error(whole: list[list[int]]) -> None:
    with pytest.raises(EngineError, match="a label is empty, or the beginning of another"):
        as_question([1, 2], whole)


tokens = st.lists(st.integers(1, 3), min_size=1, max_size=6)


@settings(deadline=None, max_examples=200)
@given(tokens, st.lists(tokens, min_size=2, max_size=4))
def test_a_question_holds_every_label_but_for_an_end_that_all_have(prompt: list[int], labels: list[list[int]]) -> None:
    whole = [prompt + label for label in labels]
    try:
        question = as_question(prompt, whole)
    except EngineError:
        assert any(one == other[: len(one)] for i, one in enumerate(whole) for other in whole[:i] + whole[i + 1 :])
        return
    ends = [ids[len(question.ids) + len(tail) :] for ids, tail in zip(whole, question.tails, strict=True)]
    assert [[*question.ids, *tail, *ends[0]] for tail in question.tails] == whole
    assert len({tail[0] for tail in question.tails}) > 1
    assert question.single is all(len(tail) == 1 for tail in question.tails)


@pytest.mark.parametrize(
    ("sequences", "count"), [([[1, 2], [1, 3]], 1), ([[1], [1, 2]], 1), ([[1, 2]], 2), ([[], [1]], 0), ([[2], [1]], 0)]
)
def test_how_much_sequences_begin_alike(sequences: list[list[int]], count: int) -> None:
    assert shared(sequences) == count


def test_a_rating_is_not_taken_for_the_one_that_it_begins() -> None:
    """Of "1/10" and "10/10" the "/" is scored, which tells them apart; what follows it is not."""
    whole = [[9, rating, 7, 1, 0] for rating in range(1, 10)] + [[9, 1, 0, 7, 1, 0]]
    question = as_question([9], whole)
    assert [list(tail) for tail in question.tails] == [[rating, 7] for rating in range(1, 10)] + [[1, 0, 7]]
