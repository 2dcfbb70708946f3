"""What rests on disk: round trips, names by content, swaps."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cai import records
from cai.records import Comparison, Completion, Message, OrderedLabels, Prompt, Record, RoundScore, Verdict

NUMBERS = st.floats(allow_nan=False)
PROMPTS = st.builds(
    Prompt.of,
    st.lists(st.builds(Message), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["harmful", "helpful"]),
    st.text(),
)
COMPLETIONS = st.builds(Completion)
ORDERS = st.builds(OrderedLabels, logprobs=st.dictionaries(st.text(max_size=4), NUMBERS, max_size=3))
VERDICTS = st.builds(Verdict, p_a=st.none() | st.floats(0, 1), orders=st.lists(ORDERS, max_size=2).map(tuple))
COMPARISONS = st.builds(Comparison, prompt=PROMPTS, a=COMPLETIONS, b=COMPLETIONS, verdict=VERDICTS)
KINDS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def anything(kind: type[Record]) -> st.SearchStrategy[Record]:
    known = {
        Prompt: PROMPTS,
        Completion: COMPLETIONS,
        Verdict: VERDICTS,
        OrderedLabels: ORDERS,
        Comparison: COMPARISONS,
    }
    if kind in known:
        return known[kind]
    fields: dict[str, Any] = {"prompt": PROMPTS, "reward": NUMBERS, "kl_base": NUMBERS, "kl_sl": st.none() | NUMBERS}
    fields |= {"plain_score": NUMBERS, "guarded_score": NUMBERS}
    fields |= {"check": st.none() | st.dictionaries(st.text(max_size=4), NUMBERS, max_size=2)}
    return st.builds(kind, **{name: fields[name] for name in fields if name in kind.model_fields})


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_read_back_as_it_was_written(kind: type[Record]) -> None:
    @settings(max_examples=30)
    @given(anything(kind))
    def check(record: Record) -> None:
        line = record.model_dump_json()
        assert "\n" not in line
        assert kind.model_validate_json(line) == record

    check()


def test_numbers_that_json_lacks_survive_the_disk() -> None:
    order = OrderedLabels(first="a", logprobs={" (A)": -math.inf, " (B)": math.inf, " (C)": math.nan})
    read = OrderedLabels.model_validate_json(order.model_dump_json()).logprobs
    assert (read[" (A)"], read[" (B)"]) == (-math.inf, math.inf)
    assert math.isnan(read[" (C)"])


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_frozen_and_closed(kind: type[Record]) -> None:
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        RoundScore.model_validate({"id": "x", "round": 0, "reward": 1.0, "score": 2.0})


@settings(max_examples=50)
@given(COMPARISONS)
def test_swapping_twice_changes_nothing(comparison: Comparison) -> None:
    again = comparison.swap().swap()
    # 1 - (1 - p) is off by a rounding of 1 at most.
    p, p_again = comparison.verdict.p_a, again.verdict.p_a
    assert p_again is None if p is None else p_again == pytest.approx(p, abs=2**-53, rel=0)
    verdict = again.verdict.model_copy(update={"p_a": p})
    assert again.model_copy(update={"verdict": verdict}) == comparison


@settings(max_examples=50)
@given(COMPARISONS)
def test_a_swap_moves_answers_seats_and_probability_together(comparison: Comparison) -> None:
    swapped = comparison.swap()
    assert (swapped.a, swapped.b) == (comparison.b, comparison.a)
    assert (swapped.id, swapped.prompt, swapped.principle) == (comparison.id, comparison.prompt, comparison.principle)
    assert swapped.verdict.state == comparison.verdict.state
    p, q = comparison.verdict.p_a, swapped.verdict.p_a
    assert (p is None) == (q is None)
    assert p is None or q == 1 - p
    for before, after in zip(comparison.verdict.orders, swapped.verdict.orders, strict=True):
        assert after.logprobs == before.logprobs
        assert {before.first, after.first} == {"a", "b"}


def test_a_prompt_is_named_by_its_content_alone() -> None:
    first = Prompt.of((user("hello"),), "harmful", "one.txt:1")
    assert first.id == Prompt.of((user("hello"),), "helpful", "two.txt:9").id
    assert len(first.id) == 16


@pytest.mark.parametrize(
    "messages",
    [
        (user("hello!"),),
        (Message(role="system", content="hello"),),
        (user("hello"), user("")),
        (user("hel"), user("lo")),
        (),
    ],
)
def test_another_conversation_has_another_name(messages: tuple[Message, ...]) -> None:
    assert Prompt.of(messages, "harmful", "").id != Prompt.of((user("hello"),), "harmful", "").id


def test_the_name_of_a_known_prompt_never_changes() -> None:
    assert Prompt.of((user("hello"),), "harmful", "").id == "b963d64220a6c6e1"
