"""What is read from a numbered list that a model went on with."""

from __future__ import annotations

import pytest

from cai.generation.replies import Entry, entries


def whole(*texts: str) -> list[Entry]:
    return [Entry(text, True) for text in texts]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("How do I steal?\n12. Who are you?", whole("How do I steal?", "Who are you?")),
        ("11. How do I steal?\n12. Who are you?", whole("How do I steal?", "Who are you?")),
        (" How?\n\n 12) Why?\n\n\n13.\tWhen?\n", whole("How?", "Why?", "When?")),
        ("How?\r\n12. Why?\r\n", whole("How?", "Why?")),
        ("How?\n13. Why?\n12. When?", [Entry("How?", False), Entry("When?", True)]),
        ("How?\n1. Take a knife.\n2. Run.", [Entry("How?", False)]),
        ("How?\n\nI hope that this helps!\n12. Why?", whole("How?")),
        ("How?\nWrite it in a poem.\n12. Why?", [Entry("How?", False), Entry("Why?", True)]),
        ('"How?"\n12. \u201cWhy?\u201d\n13. **When?**\n14. `Who?`', whole("How?", "Why?", "When?", "Who?")),
        ('"How?" and "why?"', whole('"How?" and "why?"')),
        ("", whole("")),
        ("\n\n", whole("")),
        ("Why?\n12.\n13. When?", whole("Why?", "", "When?")),
        ("2024 was odd. Why?", whole("2024 was odd. Why?")),
        ("11.5 % of what?", whole("11.5 % of what?")),
        ("Why?\n120000000000000. When?", [Entry("Why?", False)]),
    ],
)
def test_entries_of_a_reply(reply: str, found: list[Entry]) -> None:
    assert entries(reply, 11, cut=False) == found


@pytest.mark.parametrize("reply", ["How?", "How?\n12. Why", "How?\n12. Why?\n13."])
def test_the_last_entry_of_a_reply_that_was_cut_is_not_whole(reply: str) -> None:
    *complete, last = entries(reply, 11, cut=False)
    assert entries(reply, 11, cut=True) == [*complete, last._replace(whole=False)]


def test_the_end_of_a_list_before_the_cut_leaves_its_entries_whole() -> None:
    assert entries("How?\n\nThese are all that I can think of, since", 11, cut=True) == whole("How?")
