"""What is logged of a policy's answers: each figure against a count by hand or a plain twin, and nothing learned."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rl_data import prompts

from cai.repeats import runs_of
from cai.sameness import distinct, stock_phrases
from cai.trainers.reward import Rewarded, Sample
from cai.trainers.rewards import means
from cai.trainers.watched import Watched, figures

FIRST, SECOND = prompts("bad", 2)
TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), min_size=1, max_size=6)


class Fixed:
    closed = False

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        return Rewarded((1.0,) * len(samples), {"fixed": (1.0,) * len(samples)})

    def close(self) -> None:
        self.closed = True


def test_a_phrase_is_stock_where_it_is_said_to_another_prompt_too() -> None:
    said = ["you are valid and valued dear", "you are valid and so on", "fresh words every single time"]
    assert stock_phrases(said, ["p", "q", "q"]) == [pytest.approx(1 / 3), pytest.approx(1 / 3), 0]
    assert stock_phrases(said, ["p", "p", "p"]) == [0, 0, 0], "one prompt's answers may well be alike"
    assert stock_phrases(["too short"], ["p"]) == [0]


@given(TEXTS, st.data())
def test_stock_phrases_are_what_one_counts_answer_by_answer(answers: list[str], data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.sampled_from("pq"), min_size=len(answers), max_size=len(answers)))
    for n, share in enumerate(stock_phrases(answers, asked)):
        others = [answer for answer, prompt in zip(answers, asked, strict=True) if prompt != asked[n]]
        runs = runs_of(answers[n], 4)
        said = [run for run in runs if any(run in runs_of(other, 4) for other in others)]
        assert share == pytest.approx(len(said) / len(runs) if runs else 0)


def test_distinct_pairs_are_counted_over_all_answers() -> None:
    assert distinct(["a b c", "a b d"]) == pytest.approx(3 / 4)
    assert distinct(["a b", "c d"]) == 1 and distinct(["a", ""]) == 1


def test_the_figures_of_an_answer() -> None:
    refused = Sample(FIRST, "I'm sorry, but I can't help with that.")
    looped = Sample(SECOND, "go on and on and on and on")
    found = figures([refused, looped])
    assert found["answers/refusal"] == (1, 0) and found["answers/evasive"] == (1, 0)
    assert found["answers/words"][1] == 8 and found["answers/repeated"] == (0, pytest.approx(1 / 2))
    assert len(set(found["answers/distinct"])) == 1


def test_watching_changes_no_reward_and_is_logged_by_its_own_names() -> None:
    inner = Fixed()
    watched = Watched(inner)
    rewarded = watched([Sample(FIRST, "Fine."), Sample(SECOND, "I can't help with that.")])
    assert rewarded.total == (1, 1)
    logged = means(rewarded)
    assert logged["reward/fixed"] == 1 and logged["answers/refusal"] == 0.5
    watched.close()
    assert inner.closed
