"""What rests on disk: round trips, names by content, swaps."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cai import records
from cai.records import Comparison, Completion, Message, Prompt, Reading, Record, RoundScore, Verdict

NUMBERS = st.floats(allow_nan=False)
PROMPTS = st.builds(
    Prompt.of,
    st.lists(st.builds(Message), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["harmful", "helpful"]),
    st.text(),
)
COMPLETIONS = st.builds(Completion)
CHANCES = st.none() | st.floats(0, 1)
SCORED = st.text(max_size=4) | st.sampled_from([" (A)", " (B)", "a under", "b against", "a 1", "b 10"])
READINGS = st.builds(
    Reading,
    logprobs=st.dictionaries(SCORED, NUMBERS, max_size=3),
    reply=st.none() | COMPLETIONS,
    p_a=CHANCES,
)
VERDICTS = st.builds(Verdict, p_a=CHANCES, p_raw=CHANCES, readings=st.lists(READINGS, max_size=2).map(tuple))
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
        Reading: READINGS,
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
        read = kind.model_validate_json(line)
        assert read.model_dump_json() == line
        assert read == record or "NaN" in line  # which is not equal to itself

    check()


def test_numbers_that_json_lacks_survive_the_disk() -> None:
    reading = Reading(first="a", logprobs={" (A)": -math.inf, " (B)": math.inf, " (C)": math.nan})
    read = Reading.model_validate_json(reading.model_dump_json()).logprobs
    assert (read[" (A)"], read[" (B)"]) == (-math.inf, math.inf)
    assert math.isnan(read[" (C)"])


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_frozen_and_closed(kind: type[Record]) -> None:
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        RoundScore.model_validate({"id": "x", "round": 0, "reward": 1.0, "score": 2.0})


def unprobable(comparison: Comparison) -> Comparison:
    """The comparison without its probabilities."""
    readings = tuple(one.model_copy(update={"p_a": None}) for one in comparison.verdict.readings)
    verdict = comparison.verdict.model_copy(update={"p_a": None, "p_raw": None, "readings": readings})
    return comparison.model_copy(update={"verdict": verdict})


def probabilities(comparison: Comparison) -> list[float | None]:
    """Those of the verdict and of its readings."""
    verdict = comparison.verdict
    return [verdict.p_a, verdict.p_raw, *(one.p_a for one in verdict.readings)]


@settings(max_examples=50)
@given(COMPARISONS)
def test_swapping_twice_changes_nothing(comparison: Comparison) -> None:
    again = comparison.swap().swap()
    assert unprobable(again) == unprobable(comparison)
    # 1 - (1 - p) is off by a rounding of 1 at most.
    for p, p_again in zip(probabilities(comparison), probabilities(again), strict=True):
        assert p_again is None if p is None else p_again == pytest.approx(p, abs=2**-53, rel=0)


@settings(max_examples=50)
@given(COMPARISONS)
def test_a_swap_moves_answers_seats_and_probabilities_together(comparison: Comparison) -> None:
    swapped = comparison.swap()
    assert (swapped.a, swapped.b) == (comparison.b, comparison.a)
    kept = ("id", "prompt", "principles", "source")
    assert [getattr(swapped, name) for name in kept] == [getattr(comparison, name) for name in kept]
    assert swapped.verdict.state == comparison.verdict.state
    assert set(swapped.asked) == {{"a": "b", "b": "a"}[name] for name in comparison.asked}
    for p, q in zip(probabilities(comparison), probabilities(swapped), strict=True):
        assert q is None if p is None else q == 1 - p
    for before, after in zip(comparison.verdict.readings, swapped.verdict.readings, strict=True):
        assert (before.first, after.first) in {("a", "b"), ("b", "a"), (None, None)}
        for key, value in before.logprobs.items():
            assert after.logprobs[renamed(key)] == value
        assert len(after.logprobs) == len(before.logprobs)


def renamed(key: str) -> str:
    """What was scored of an answer, by the answer's other name; labels are names of seats, and stay."""
    name, space, rest = key.partition(" ")
    return f"{'b' if name == 'a' else 'a'}{space}{rest}" if space and name in ("a", "b") else key


def reply(text: str) -> Completion:
    return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=0)


def test_a_swap_by_hand() -> None:
    seated = Reading(first="b", logprobs={" (A)": -1.0, " (B)": -2.0}, p_a=0.25)
    alone = Reading(first=None, logprobs={"a under": -1.0, "b under": -3.0, "a against": -2.0, "b against": -2.5})
    swapped = Verdict(state="parsed", p_a=0.25, p_raw=0.125, readings=(seated, alone)).swap()
    assert (swapped.p_a, swapped.p_raw) == (0.75, 0.875)
    assert swapped.readings[0] == Reading(first="a", logprobs={" (A)": -1.0, " (B)": -2.0}, p_a=0.75)
    assert swapped.readings[1].logprobs == {"b under": -1.0, "a under": -3.0, "b against": -2.0, "a against": -2.5}


@pytest.mark.parametrize(
    ("asked", "replies"),
    [(("a", "b"), ["A", "B", "thought"]), (("b",), ["B", "thought"]), ((), ["thought"])],
)
def test_what_a_comparison_asked_for_is_counted_with_it_and_nothing_else(asked: Any, replies: list[str]) -> None:
    """Answers of an earlier comparison or of a chain are counted there."""
    readings = (Reading(first="a", reply=reply("thought")), Reading(first="b"))
    verdict = Verdict(state="parsed", p_a=0.5, readings=readings)
    prompt = Prompt.of((user("hello"),), "harmful", "")
    one = Comparison(
        id="x/0-1", prompt=prompt, principles=("p",), a=reply("A"), b=reply("B"), verdict=verdict, asked=asked
    )
    assert [said.text for said in one.replies()] == replies


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
