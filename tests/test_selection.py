"""Which rows SL-CAI learns from: rounds, weights, shares and flags, each counted."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.config import SelectionConfig
from cai.records import Answer, Completion, Distilled, Message, Prompt, Revision
from cai.selection import answer_of, select


def completion(text: str) -> Completion:
    return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=0)


def prompt(number: int) -> Prompt:
    return Prompt.of((Message(role="user", content=f"Q{number}"),), "harmful", "test")


def revision(number: int, round_: int, text: str = "text", **fields: Any) -> Revision:
    one = prompt(number)
    name = f"{one.id}/{fields.get('sample', 0)}/{round_}"
    return Revision(id=name, prompt=one, round=round_, critique=None, response=completion(text), **fields)


def answer(number: int, text: str = "text", **fields: Any) -> Answer:
    one = prompt(number)
    return Answer(id=f"{one.id}/0", prompt=one, response=completion(text), **fields)


def distilled(number: int, plain: float, guarded: float) -> Distilled:
    one = prompt(number)
    return Distilled(
        id=one.id,
        prompt=one,
        plain=completion("plain"),
        guarded=completion("guarded"),
        plain_score=plain,
        guarded_score=guarded,
    )


CHAINS = [revision(n, r, f"{n}/{r}") for n in range(20) for r in range(4)]
HELPFUL = [answer(n) for n in range(100, 110)]


def texts(revisions: Any, answers: Any = (), distil: Any = (), **rule: Any) -> Counter[str]:
    found = select(revisions, answers, distil, SelectionConfig.model_validate(rule), 0)
    return Counter(answer_of(row) for row in found.rows)


def test_all_rounds_but_the_first_answer_by_default() -> None:
    assert texts(CHAINS) == Counter(f"{n}/{r}" for n in range(20) for r in (1, 2, 3))


@pytest.mark.parametrize(("rounds", "kept"), [("last", (3,)), ([1], (1,)), ([1, 3], (1, 3)), ([7], ())])
def test_some_rounds(rounds: Any, kept: tuple[int, ...]) -> None:
    assert texts(CHAINS, rounds=rounds) == Counter(f"{n}/{r}" for n in range(20) for r in kept)


def test_the_last_of_a_stopped_chain_is_the_last_real_revision() -> None:
    chain = [revision(0, 0, "0"), revision(0, 1, "1"), revision(0, 2, "2"), revision(0, 3, "2", flags=("stopped",))]
    assert texts(chain, rounds="last") == Counter({"2": 1})
    assert texts(chain) == Counter({"1": 1, "2": 1})


def test_each_sample_has_a_last_round_of_its_own() -> None:
    chains = [revision(0, r, f"{s}/{r}", sample=s) for s in range(2) for r in range(3)]
    assert texts(chains, rounds="last") == Counter(["0/2", "1/2"])


def test_ablations_are_not_learned_from() -> None:
    assert texts([revision(0, 1, "own"), revision(1, 1, "other", variant="direct")]) == Counter(["own"])


def test_flagged_rows_are_left_out_and_counted() -> None:
    rows = [revision(0, 1, "a"), revision(1, 1, "b", flags=("meta-talk", "repetition")), revision(2, 1, "")]
    answers = [answer(3, "c", flags=("truncated",)), answer(4, "d", flags=("turn-marker",))]
    found = select(rows, answers, [], SelectionConfig(), 0)
    assert sorted(map(answer_of, found.rows)) == ["a", "c"]
    assert found.counts == {"meta-talk": 1, "repetition": 1, "turn-marker": 1, "empty": 1}
    kept = select(rows, answers, [], SelectionConfig(drop=()), 0)
    assert sorted(map(answer_of, kept.rows)) == ["a", "b", "c", "d"] and kept.counts == {"empty": 1}


def test_weights_are_copies_and_a_fraction_keeps_some_by_seed() -> None:
    found = texts(CHAINS, weights={1: 0, 2: 2, 3: 1.5})
    assert all(found[f"{n}/1"] == 0 and found[f"{n}/2"] == 2 for n in range(20))
    thirds = [found[f"{n}/3"] for n in range(20)]
    assert set(thirds) == {1, 2} and 4 <= thirds.count(2) <= 16
    assert found == texts(CHAINS, weights={1: 0, 2: 2, 3: 1.5})
    counts = select(CHAINS, [], [], SelectionConfig(weights={1: 0}), 0).counts
    assert counts == {"weight of the round": 20}


@pytest.mark.parametrize(("share", "harmful", "helpful"), [(0.5, 10, 10), (0.1, 60, 7), (0.0, 60, 0), (0.25, 30, 10)])
def test_the_share_of_helpful_answers_thins_the_side_that_is_too_large(
    share: float, harmful: int, helpful: int
) -> None:
    found = select(CHAINS, HELPFUL, [], SelectionConfig(helpful_share=share), 0)
    kinds = Counter(type(row).__name__ for row in found.rows)
    assert (kinds["Revision"], kinds["Answer"]) == (harmful, helpful)
    assert found.counts.get("helpful_share", 0) == 70 - harmful - helpful


def test_a_guarded_answer_is_learned_where_it_scores_higher() -> None:
    found = select([], [], [distilled(0, 0.1, 0.2), distilled(1, 0.2, 0.2)], SelectionConfig(), 0)
    assert [answer_of(row) for row in found.rows] == ["guarded"]
    assert found.counts == {"safety context did not raise the score": 1}


@given(st.permutations(CHAINS[:12]), st.sampled_from(["all", "last"]), st.floats(0, 0.9))
def test_the_order_of_the_records_changes_nothing(shuffled: list[Revision], rounds: str, share: float) -> None:
    rule = SelectionConfig.model_validate({"rounds": rounds, "helpful_share": share, "weights": {2: 1.5}})
    assert select(shuffled, HELPFUL[::-1], [], rule, 3) == select(CHAINS[:12], HELPFUL, [], rule, 3)
