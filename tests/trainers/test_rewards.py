"""Each reward by hand or against a slow twin; their sum; and the faults of a user's function, told."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rl_data import prompts

from cai.errors import InputError
from cai.records import Kind
from cai.repeats import share_repeated
from cai.reward_config import LengthReward, Llama2Reward, RepetitionReward
from cai.trainers.llama2_reward import Llama2, unwhitened, whiten
from cai.trainers.reward import Rewarded, Sample
from cai.trainers.reward_parts import Plain, function, length, repetition
from cai.trainers.rewards import Part, Sum, means

(PROMPT,) = prompts("harmful", 1)
numbers = st.floats(-100, 100)


def sample(answer: str = "", kind: Kind = "helpful", tokens: int = 0, **facts: Any) -> Sample:
    return Sample(PROMPT, answer, kind, tokens, True, facts)


def fixed(name: str, values: Sequence[float]) -> Plain:
    """Says the same whatever it is shown."""
    return Plain(name, lambda samples: values)


class Closing(Plain):
    """Keeps its name in `closed` once it is closed."""

    closed: list[str] = []

    def close(self) -> None:
        self.closed.append(self.name)
        if self.name == "broken":
            raise OSError("broken")


# The sum.


@given(st.lists(st.tuples(numbers, st.lists(numbers, min_size=3, max_size=3)), min_size=1, max_size=5))
def test_the_total_is_the_weighted_sum(parts: list[tuple[float, list[float]]]) -> None:
    made = [Part(f"p{n}", weight, fixed("any", values)) for n, (weight, values) in enumerate(parts)]
    found = Sum(made)([sample()] * 3)
    for place in range(3):
        twin = 0.0
        for weight, values in parts:
            twin += weight * values[place]
        assert found.total[place] == pytest.approx(twin)
    assert found.parts == {f"p{n}": tuple(values) for n, (_, values) in enumerate(parts)}


def test_two_of_a_kind_are_numbered_and_one_alone_is_not() -> None:
    parts = [Part(name, 1, fixed(name, [value])) for name, value in [("length", 1.0), ("judge", 2.0), ("length", 4.0)]]
    found = Sum(parts)([sample()])
    assert found.parts == {"length_1": (1.0,), "judge": (2.0,), "length_2": (4.0,)}
    assert found.total == (7.0,)


def test_a_part_of_several_shows_them_below_its_name() -> None:
    class Two:
        def __call__(self, samples: Sequence[Sample]) -> Rewarded:
            return Rewarded((5.0,), {"safety": (2.0,), "helpfulness": (3.0,)})

        def close(self) -> None: ...

    found = Sum([Part("llama2", 2, Two())])([sample()])
    assert found == Rewarded((10.0,), {"llama2": (5.0,), "llama2/safety": (2.0,), "llama2/helpfulness": (3.0,)})
    assert means(found) == {"reward/llama2": 5.0, "reward/llama2/safety": 2.0, "reward/llama2/helpfulness": 3.0}


def test_what_is_logged_is_the_mean_before_weights() -> None:
    assert means(Sum([Part("length", 0.1, fixed("length", [-1.0, -4.0]))])([sample()] * 2)) == {"reward/length": -2.5}


def test_all_are_closed_also_where_one_cannot_be() -> None:
    Closing.closed.clear()
    parts = [Part(name, 1, Closing(name, lambda samples: [])) for name in ("first", "broken", "last")]
    with pytest.raises(OSError, match="broken"):
        Sum(parts).close()
    assert sorted(Closing.closed) == ["broken", "first", "last"]


# Length and repetition.


@pytest.mark.parametrize(("tokens", "price"), [(0, 0), (9, 0), (10, 0), (11, -1), (25, -15)])
def test_each_token_beyond_the_target_costs_one(tokens: int, price: float) -> None:
    assert length(LengthReward(target=10))([sample("a b c", tokens=tokens)]).total == (price,)


@pytest.mark.parametrize(("answer", "price"), [("", 0), ("One, two.", 0), ("One two three", -1), ("a b c d e", -3)])
def test_each_word_beyond_the_target_costs_one(answer: str, price: float) -> None:
    assert length(LengthReward(target=2, per="word"))([sample(answer, tokens=99)]).parts == {"length": (price,)}


@pytest.mark.parametrize(
    ("answer", "words", "share"),
    [
        ("", 3, 0),
        ("one two", 3, 0),
        ("one two three", 3, 0),
        ("a b c a b c", 3, 1 / 4),  # abc bca cab abc
        ("No. No! NO", 1, 2 / 3),
        ("a a a a a", 2, 3 / 4),
    ],
)
def test_repetition_by_hand(answer: str, words: int, share: float) -> None:
    found = repetition(RepetitionReward(words=words))([sample(answer)])
    assert found.total == (pytest.approx(-share),)
    assert list(found.parts) == ["repetition"]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 4))
def test_the_share_that_repeats_against_a_slow_twin(words: list[str], run: int) -> None:
    again = total = 0
    for start in range(len(words) - run + 1):
        total += 1
        again += any(words[earlier : earlier + run] == words[start : start + run] for earlier in range(start))
    assert share_repeated(" ".join(words), run) == pytest.approx(again / total if total else 0)


# A function.


def test_a_function_gets_answers_and_facts_and_its_numbers_count() -> None:
    def solved(answers: list[str], facts: list[dict[str, Any]]) -> list[bool]:
        return [fact["solution"] in answer for answer, fact in zip(answers, facts, strict=True)]

    samples = [sample("It is 4.", solution="4"), sample("It is 5.", solution="4")]
    assert function("m:solved", solved)(samples) == Rewarded((1.0, 0.0), {"function": (1.0, 0.0)})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0], r"'m:f' returned 1 values; expected a list of 2 numbers"),
        ([1.0, 2.0, 3.0], "returned 3 values"),
        ([0.5, math.nan], "'m:f' returned nan for answer 1"),
        ([math.inf, 0.5], "returned inf for answer 0"),
        ([1.0, "good"], "returned 'good' for answer 1"),
        ([None, 1.0], "returned None for answer 0"),
        ([1.0, 1j], "returned 1j for answer 1"),
        (0.5, "returned 0.5, of type float"),
        (None, "returned None, of type NoneType"),
        ("ab", "returned 'ab', of type str"),
        (["x" * 99, 1], r"returned 'x{56}\.\.\. for answer 0"),
    ],
)
def test_a_function_that_returns_no_numbers_is_named_with_what_it_returned(returned: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        function("m:f", lambda answers, facts: returned)([sample(), sample()])


# Llama 2's rule.


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def ruled(
    safety: Sequence[float], helpfulness: Sequence[float], kinds: Sequence[Kind], whitened: bool = False
) -> Rewarded:
    config = Llama2Reward(whiten=whitened)
    rule = Llama2(fixed("s", safety), fixed("h", helpfulness), config)
    return rule([sample(kind=kind) for kind in kinds])


@pytest.mark.parametrize(
    ("p_safe", "kind", "takes_safety"),
    [
        (0.9, "helpful", False),
        (0.9, "harmful", True),
        (0.151, "helpful", False),
        (0.149, "helpful", True),
        (0.01, "helpful", True),
        (0.01, "harmful", True),
    ],
)
def test_safety_rules_where_the_prompt_is_harmful_or_the_answer_unsafe(
    p_safe: float, kind: Kind, takes_safety: bool
) -> None:
    found = ruled([log_odds(p_safe)], [3.25], [kind])
    assert found.total == ((log_odds(p_safe),) if takes_safety else (3.25,))
    assert found.parts == {"safety": (log_odds(p_safe),), "helpfulness": (3.25,), "unsafe": (float(takes_safety),)}


def test_without_whitening_the_scores_of_two_steps_can_be_compared() -> None:
    whitened = Llama2(fixed("s", [0.0, 2.0]), fixed("h", [7.0, 7.0]), Llama2Reward(whiten=True))
    plain = unwhitened(whitened)
    samples = [sample(kind="harmful"), sample(kind="harmful")]
    assert whitened(samples).total == (-1.0, 1.0) and plain(samples).total == (0.0, 2.0)
    other = fixed("s", [1.0])
    assert unwhitened(other) is other


def test_at_the_threshold_an_answer_counts_as_safe() -> None:
    """A score of 0 has a sigmoid of exactly one half."""
    rule = Llama2(fixed("s", [0.0, -1e-9]), fixed("h", [7.0, 7.0]), Llama2Reward(threshold=0.5, whiten=False))
    assert rule([sample(), sample()]).total == (7.0, -1e-9)


def test_the_rule_whitened_by_hand() -> None:
    """Taken are -2 (harmful), 4 (safe), -4 (unsafe) and 6 (safe): mean 1, squares 9, 9, 25, 25, deviation sqrt(17)."""
    found = ruled([-2, 1, -4, 0], [9, 4, 9, 6], ["harmful", "helpful", "helpful", "helpful"], whitened=True)
    assert found.total == pytest.approx([value / math.sqrt(17) for value in (-3, 3, -5, 5)])
    assert found.parts["unsafe"] == (1.0, 0.0, 1.0, 0.0)
    assert found.parts["raw"] == (-2, 4, -4, 6), "whose mean is not always 0"


def test_the_rule_is_whitened_with_the_answers_of_other_processes() -> None:
    """0, 1 here and 10, 11 elsewhere are whitened as four, and not as two and two."""

    def over(rows: Sequence[Any], said: Callable[[Sequence[Any]], Sequence[Any]]) -> Sequence[Any]:
        return said([*rows, 10.0, 11.0])[: len(rows)]

    rule = Llama2(fixed("s", [0.0, 1.0]), fixed("h", [0.0, 0.0]), Llama2Reward(), over)
    assert rule([sample(kind="harmful")] * 2).total == pytest.approx(whiten([0.0, 1.0, 10.0, 11.0])[:2])


def test_extreme_scores_are_not_lost_to_saturation() -> None:
    assert ruled([-800.0, 800.0], [1.0, 2.0], ["helpful", "helpful"]).total == (-800.0, 2.0)


@given(st.lists(numbers, min_size=2, max_size=9))
def test_whitened_values_have_mean_0_and_deviation_1_in_the_same_order(values: list[float]) -> None:
    assume(statistics.pstdev(values) > 1e-6)
    found = whiten(values)
    assert statistics.fmean(found) == pytest.approx(0, abs=1e-6)
    assert statistics.pstdev(found) == pytest.approx(1)
    pairs = [*zip(values, found, strict=True)]
    assert all(white <= other for value, white in pairs for above, other in pairs if value < above)


def test_values_that_are_alike_whiten_to_nothing() -> None:
    assert whiten([0.1] * 3) == [0, 0, 0] and whiten([]) == [] and whiten([5.0]) == [0.0]


def test_closing_the_rule_closes_both_models() -> None:
    Closing.closed.clear()
    Llama2(Closing("s", lambda _: []), Closing("h", lambda _: []), Llama2Reward()).close()
    assert sorted(Closing.closed) == ["h", "s"]
