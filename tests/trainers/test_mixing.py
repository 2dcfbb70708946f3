"""Prompts are mixed as asked, and an answer becomes a sample as preference models see answers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rl_data import prompts

from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Message
from cai.trainers.mixing import Task, mix

TRANSCRIPT = Templates("transcript").render("respond", messages=(Message(role="user", content="Hi"),))


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(1, 40), st.integers(0, 99))
def test_mix_has_the_share_asked_for_and_no_repeat_before_all_are_used(
    harmful: int, helpful: int, share: float, count: int, seed: int
) -> None:
    bad, good = prompts("bad", harmful), prompts("good", helpful)
    mixed = mix(bad, good, share, count, seed)
    assert len(mixed) == count
    assert sum(prompt in good for prompt in mixed) == round(share * count)
    for pool in (bad, good):
        uses = Counter(prompt.messages[0].content for prompt in mixed if prompt in pool)
        assert not uses or max(uses.values()) - min([*uses.values(), *([0] * (len(uses) < len(pool)))]) <= 1
    assert mixed == mix(bad, good, share, count, seed)


def test_an_empty_kind_that_is_asked_for_is_an_error() -> None:
    with pytest.raises(InputError, match="helpful_share"):
        mix(prompts("bad", 2), [], 0.5, 4, 0)
    assert len(mix(prompts("bad", 2), [], 0.0, 4, 0)) == 4


@pytest.mark.parametrize(
    ("text", "ended", "answer", "finished"),
    [
        (" Hello. ", True, "Hello.", True),
        (" Hello. ", False, "Hello.", False),
        (" Hello.\n\nHuman: And you?\n\nAssistant: Fine", False, "Hello.", True),
        ("\n\nHuman: And you?", False, "", True),
    ],
)
def test_a_transcript_s_answer_ends_where_another_turn_begins(
    text: str, ended: bool, answer: str, finished: bool
) -> None:
    sample = Task(TRANSCRIPT, "helpful", {"solution": 4}).sample(text, 7, ended)
    assert (sample.answer, sample.finished) == (answer, finished)
    assert (sample.prompt, sample.kind, sample.tokens) == (TRANSCRIPT, "helpful", 7)
    assert sample.facts == {"solution": 4}


def test_a_chat_s_answer_may_quote_a_transcript() -> None:
    assert Task(prompts("x", 1)[0], "harmful").sample("a\n\nHuman: b", 3, True).answer == "a\n\nHuman: b"
