"""From comparisons to groups: answers once each, unparsed verdicts out, margins by rating."""

import pytest

from cai.human import Pair
from cai.learned_pairs import AI, ai_groups, human_groups
from cai.preferences import Preference
from cai.prompts import Rendered
from cai.records import Comparison, Completion, Message, Prompt, Verdict


def prompt(text: str) -> Prompt:
    return Prompt.of((Message(role="user", content=text),), "harmful", "test")


def render(one: Prompt) -> Rendered:
    return Rendered(messages=one.messages)


def compared(text: str, a: str, b: str, p: float | None) -> Comparison:
    sides = [Completion(text=one, raw=one, finish="stop", prompt_tokens=1, tokens=1, seed=0) for one in (a, b)]
    verdict = Verdict(state="unparsed" if p is None else "parsed", p_a=p)
    asked = prompt(text)
    return Comparison(
        id=f"{asked.id}/{a}-{b}", prompt=asked, principles=("p",), a=sides[0], b=sides[1], verdict=verdict
    )


def test_pairs_of_a_prompt_share_its_answers() -> None:
    found = ai_groups(
        [
            compared("q", "x", "y", 0.9),
            compared("other", "x", "z", 0.2),
            compared("q", "z", "x", 0.4),
            compared("q", "y", "z", None),
        ],
        render,
        weight=2.0,
    )
    by_prompt = {group.prompt.messages[0].content: group for group in found}
    assert {text: (group.answers, group.source) for text, group in by_prompt.items()} == {
        "q": (("x", "y", "z"), AI),
        "other": (("x", "z"), AI),
    }
    assert by_prompt["q"].pairs == (Preference(0, 1, 0.9, 0.0, 2.0), Preference(2, 0, 0.4, 0.0, 2.0))


def test_the_order_in_which_comparisons_came_changes_nothing() -> None:
    """Answers come in another order after a resume, and rows in another order would train another model."""
    came = [compared(f"q{number % 3}", f"x{number}", "y", 0.5) for number in range(6)]
    assert ai_groups(came, render) == ai_groups(came[::-1], render)


def test_unread_verdicts_are_no_lesson() -> None:
    assert ai_groups([compared("q", "x", "y", None)], render) == []


@pytest.mark.parametrize(
    ("margins", "expected"), [("none", [0.0, 0.0, 0.0]), ("small", [1.0, 1 / 3, 0.0]), ("large", [3.0, 1.0, 0.0])]
)
def test_margins_are_llama_2s(margins: str, expected: list[float]) -> None:
    rated = [("x", "significantly"), ("y", "slightly"), ("z", "")]
    pairs = [Pair(prompt("q"), text, "worse", rating=rating, source="file") for text, rating in rated]
    (group,) = human_groups(pairs, render, margins=margins)  # pyright: ignore[reportArgumentType]
    assert [pair.margin for pair in group.pairs] == expected
    assert (group.source, group.answers) == ("file", ("x", "worse", "y", "z"))


def test_people_may_be_unsure() -> None:
    (group,) = human_groups([Pair(prompt("q"), "x", "y", p=0.7, source="file")], render, weight=0.5)
    assert group.pairs == (Preference(0, 1, 0.7, 0.0, 0.5),)
