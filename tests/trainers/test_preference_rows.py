"""What is learned from is what is sampled and scored; what is left out is counted."""

from functools import cache
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from cai.encoding import answered
from cai.preferences import Group, Preference
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.train_config import PreferenceModelConfig
from cai.trainers.preference_rows import prepare
from cai.weights import resolve

templates = cache(Templates)


@cache
def tokenizer(name: str = "tiny-random") -> Any:
    return AutoTokenizer.from_pretrained(resolve(name))


def asked(text: str = "Say something", dialect: str = "chat") -> Rendered:
    return templates(dialect).render("respond", messages=(Message(role="user", content=text),))


def group(*answers: str, pairs: tuple[Preference, ...] = (), source: str = "ai", **kind: str) -> Group:
    every = tuple(Preference(a, b, 0.9) for a, b in combinations(range(len(answers)), 2))
    return Group(asked(**kind), answers, pairs or every, source)


def whole(row: tuple[list[int], list[list[int]]]) -> list[list[int]]:
    return [row[0] + answer for answer in row[1]]


def config(**settings: Any) -> PreferenceModelConfig:
    return PreferenceModelConfig(batch_size=4, micro_batch=4, **settings)


words = st.text("ab .é", min_size=1, max_size=9).map(str.strip).filter(bool)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@settings(max_examples=30)
@given(st.lists(words, min_size=2, max_size=4, unique=True))
def test_a_row_is_each_answer_as_it_is_scored(dialect: str, answers: list[str]) -> None:
    made = prepare(tokenizer(), [group(*answers, dialect=dialect)], config())
    (learned,) = made.groups
    expected = [answered(tokenizer(), asked(dialect=dialect), answer)[0] for answer in answers]
    assert whole(learned.row) == expected
    assert learned.tokens == sum(map(len, expected))
    assert made.left_out == made.truncated == {} and made.too_long == 0


@pytest.mark.real_model
def test_tokens_that_span_the_seam_are_not_shared() -> None:
    """Answers that begin alike share those tokens too, and where they part no token is cut."""
    answers = ["I'm sorry, but no.", "I'm sorry, I can't", "Never"]
    (two,) = prepare(tokenizer("smollm2-135m"), [group(*answers[:2])], config()).groups
    (three,) = prepare(tokenizer("smollm2-135m"), [group(*answers)], config()).groups
    prompt = answered(tokenizer("smollm2-135m"), asked(), "x")[1]
    assert len(two.row[0]) > prompt == len(three.row[0])
    assert tokenizer("smollm2-135m").decode(two.row[0]).endswith("I'm sorry,")


def test_pairs_too_long_are_dropped_and_counted_by_source() -> None:
    long = "b" * 300
    groups = [group("a", long, "c"), group("a", long, source="hh"), group("a", "c", source="hh")]
    made = prepare(tokenizer(), groups, config(max_length=200))
    assert made.left_out == {"ai": {"too long": 2}, "hh": {"too long": 1}} and made.too_long == 3
    first, second = made.groups
    assert [(pair.a, pair.b) for pair in first.pairs] == [(0, 1)] and len(first.row[1]) == 2
    assert whole(first.row)[1] == answered(tokenizer(), asked(), "c")[0]
    assert made.figures() == {
        "prompts": 2,
        "pairs": 2,
        "too_long": 3,
        "left_out": {"ai": {"too long": 2}, "hh": {"too long": 1}},
        "truncated": {},
    }
    assert second.row == first.row


def test_truncation_cuts_the_start_of_the_prompt_for_all_answers_alike_and_never_an_answer() -> None:
    text = "Say something, " * 3
    long, short = (answered(tokenizer(), asked(text), answer)[0] for answer in ("a" * 60, "c" * 20))
    groups = [group("a" * 60, "c" * 20, text=text), group("a", "b" * 300, source="hh"), group("x", "y", source="hh")]
    made = prepare(tokenizer(), groups, config(max_length=100, too_long="truncate"))
    assert made.left_out == {"hh": {"answer too long": 1}} and made.too_long == 1
    assert made.truncated == {"ai": 1}
    cut = len(long) - 100
    assert 0 < cut < len(long) - 61
    assert whole(made.groups[0].row) == [long[cut:], short[cut:]]
    assert whole(made.groups[1].row)[0] == answered(tokenizer(), asked(), "x")[0]  # it fits, and is whole


def test_an_answer_too_long_takes_its_pairs_and_not_the_others() -> None:
    made = prepare(tokenizer(), [group("a", "b", "c" * 300)], config(max_length=100, too_long="truncate"))
    assert made.left_out == {"ai": {"answer too long": 2}} and made.truncated == {}
    assert len(made.groups[0].pairs) == 1


@pytest.mark.parametrize("length", [99, 100, 101])
def test_the_longest_row_that_fits(length: int) -> None:
    prompt = len(answered(tokenizer(), asked(), "a")[0]) - 2
    made = prepare(tokenizer(), [group("a" * (length - prompt - 1), "b")], config(max_length=100))
    assert made.too_long == (length > 100)


def test_pairs_that_say_nothing_are_counted() -> None:
    said = (Preference(0, 1, 0.5), Preference(0, 2, 0.7, weight=0), Preference(1, 2, 0.2), Preference(0, 3, 0.9))
    soft = prepare(tokenizer(), [group("a", "b", "c", "a", pairs=said)], config())
    hard = prepare(tokenizer(), [group("a", "b", "c", "a", pairs=said)], config(labels="hard"))
    assert soft.left_out == {"ai": {"weight 0": 1, "identical": 1}} and soft.too_long == 0
    assert hard.left_out == {"ai": {"no winner": 1, "weight 0": 1, "identical": 1}}
    assert [(q.a, q.b, q.p) for q in soft.groups[0].pairs] == [(0, 1, 0.5), (1, 2, 0.2)]
    assert [(q.a, q.b, q.p) for q in hard.groups[0].pairs] == [(0, 1, 0.0)]  # b and c, named anew
    assert len(hard.groups[0].row[1]) == 2


def test_margins_and_weights_stay() -> None:
    told = (Preference(0, 1, 0.8, margin=2 / 3, weight=2.0),)
    (learned,) = prepare(tokenizer(), [group("a", "b", pairs=told)], config(labels="hard")).groups
    assert learned.pairs == (Preference(0, 1, 1.0, margin=2 / 3, weight=2.0),)
