"""Groups are checked when they are made, and are held out by a hash of their prompt."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.preferences import Group, Preference, split_held_out
from cai.prompts import Rendered
from cai.records import Message


def group(text: str, source: str = "ai") -> Group:
    return Group(Rendered(messages=(Message(role="user", content=text),)), ("a", "b"), (Preference(0, 1, 1.0),), source)


@pytest.mark.parametrize(
    "wrong",
    [
        (0, 0, 0.5),
        (0, 1, 1.1),
        (0, 1, -0.1),
        (0, 1, math.nan),
        (0, 1, 0.5, -1),
        (0, 1, 0.5, 0, -1),
        (0, 1, 0.5, math.inf),
    ],
)
def test_what_is_no_comparison(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="no comparison"):
        Preference(*wrong)


@pytest.mark.parametrize("places", [(0, 2), (-1, 0)])
def test_a_comparison_of_answers_that_are_not_there(places: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not among the 2"):
        Group(Rendered(text="x"), ("a", "b"), (Preference(*places, 1.0),), "ai")


@given(st.lists(st.text(max_size=5), max_size=20, unique=True), st.floats(0, 1))
def test_a_prompt_is_held_out_by_itself_alone(texts: list[str], share: float) -> None:
    groups = [group(text, source) for text in texts for source in ("ai", "hh")]
    train, held_out = split_held_out(groups, share)
    assert sorted([*train, *held_out], key=groups.index) == groups
    assert train == sorted(train, key=groups.index) and held_out == sorted(held_out, key=groups.index)
    assert not {one.prompt for one in train} & {one.prompt for one in held_out}
    for one in groups:
        assert bool(split_held_out([one], share)[1]) == (one in held_out)


def test_the_share_is_about_what_was_asked_for() -> None:
    groups = [group(f"Question {i}") for i in range(2000)]
    assert 160 < len(split_held_out(groups, 0.1)[1]) < 240
    assert split_held_out(groups, 0.0)[1] == []
    smaller, larger = (split_held_out(groups, share)[1] for share in (0.1, 0.2))
    assert set(smaller) < set(larger)


def test_who_speaks_is_part_of_a_prompt() -> None:
    asked = [Rendered(messages=(Message(role=role, content="x"),)) for role in ("user", "system")] + [
        Rendered(text="x")
    ]
    places = {one: len(split_held_out([Group(one, ("a",), (), "")], 0.37)[1]) for one in asked}
    assert len(places) == 3
