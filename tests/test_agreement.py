"""Kappas against published cases and against twins that count every pair of votes."""

from __future__ import annotations

import random
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.agreement import Agreement, cohens_kappa, fleiss_kappa, preferred

SURE, UNSURE = 0.9, 0.2
VOTES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=25)
PANELS = st.lists(st.lists(st.booleans(), min_size=2, max_size=5), min_size=1, max_size=12)


def p(for_a: bool) -> float:
    return SURE if for_a else UNSURE


def kappa_of(agreement: Agreement) -> float | None:
    return agreement.kappa and agreement.kappa.value


def slow_cohen(votes: list[tuple[bool, bool]]) -> float | None:
    """Chance: how often the first rater's vote on one pair equals the second's on any pair."""
    same = sum(x == y for x, y in votes) / len(votes)
    strangers = [x == y for (x, _), (_, y) in product(votes, votes)]
    chance = sum(strangers) / len(strangers)
    return None if chance == 1 else (same - chance) / (1 - chance)


def slow_fleiss(panels: list[list[bool]]) -> float | None:
    """Chance: how often two votes, each drawn from all of them, are equal."""
    shares = [[x == y for x, y in permutations(panel, 2)] for panel in panels]
    same = sum(sum(share) / len(share) for share in shares) / len(shares)
    votes = [vote for panel in panels for vote in panel]
    strangers = [x == y for x, y in product(votes, votes)]
    chance = sum(strangers) / len(strangers)
    return None if chance == 1 else (same - chance) / (1 - chance)


def test_cohens_kappa_by_hand() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 agree, 0.5 by chance."""
    votes = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = cohens_kappa([p(x) for x, _ in votes], [p(y) for _, y in votes])
    assert found.share and found.share.value == 0.7
    assert found.kappa and found.kappa.value == pytest.approx(0.4)
    # The large-sample standard error is 0.131 (Fleiss, Cohen and Everitt 1969).
    assert (found.kappa.low, found.kappa.high) == (pytest.approx(0.14, abs=0.06), pytest.approx(0.66, abs=0.06))


@settings(max_examples=60, deadline=None)
@given(VOTES)
def test_cohens_kappa_equals_its_slow_twin(votes: list[tuple[bool, bool]]) -> None:
    found = cohens_kappa([p(x) for x, _ in votes], [p(y) for _, y in votes], resamples=20)
    assert kappa_of(found) == pytest.approx(slow_cohen(votes))
    assert found.kappa is None or -1 <= found.kappa.value <= 1


@settings(max_examples=60, deadline=None)
@given(PANELS)
def test_fleiss_kappa_equals_its_slow_twin(panels: list[list[bool]]) -> None:
    found = fleiss_kappa([[p(vote) for vote in panel] for panel in panels], resamples=20)
    assert kappa_of(found) == pytest.approx(slow_fleiss(panels))
    assert found.kappa is None or found.kappa.value <= 1
    if len({len(panel) for panel in panels}) == 1:  # with panels of several sizes it can fall below -1
        assert found.kappa is None or found.kappa.value >= -1


@settings(max_examples=30, deadline=None)
@given(VOTES)
def test_the_names_of_raters_and_of_answers_do_not_matter(votes: list[tuple[bool, bool]]) -> None:
    first, second = [p(x) for x, _ in votes], [p(y) for _, y in votes]
    there, back = cohens_kappa(first, second, resamples=20), cohens_kappa(second, first, resamples=20)
    turned = cohens_kappa([1 - x for x in first], [1 - y for y in second], resamples=20)
    assert kappa_of(there) == pytest.approx(kappa_of(back)) == pytest.approx(kappa_of(turned))
    assert there.share == back.share == turned.share


def test_raters_of_one_mind_and_raters_of_none() -> None:
    draw = random.Random(3)
    first, second = ([draw.random() for _ in range(400)] for _ in range(2))
    same, none = cohens_kappa(first, first), cohens_kappa(first, second)
    assert same.kappa and (same.kappa.value, same.kappa.low) == (1, 1)
    assert none.kappa and none.kappa.low < 0 < none.kappa.high
    assert none.share and none.share.low < 0.5 < none.share.high


def test_ties_and_what_was_not_read_are_left_out_and_counted() -> None:
    found = cohens_kappa([0.9, 0.5, 0.1, None, 0.8], [0.8, 0.9, 0.2, 0.7, None])
    assert (found.share and found.share.n, found.ties, found.unread) == (2, 1, 2)
    panel = fleiss_kappa([[0.9, 0.5, 0.8], [0.5, 0.1], [0.2, 0.9]])
    assert (panel.share and panel.share.value, panel.share and panel.share.n, panel.ties) == (0.5, 2, 2)


def test_votes_that_are_all_alike_have_no_kappa() -> None:
    found = cohens_kappa([0.9, 0.8], [0.7, 0.9])
    assert found.share and found.share.value == 1
    assert found.kappa is None
    assert cohens_kappa([], []) == Agreement(None, None, 0, 0)


def test_raters_must_have_the_same_pairs() -> None:
    with pytest.raises(ValueError, match="found 1 and 2"):
        cohens_kappa([0.5], [0.5, 0.5])


def test_a_tie_survives_rounding() -> None:
    x = 0.8956687768809987
    assert (x + (1 - x)) / 2 == 0.5 or preferred((x + (1 - x)) / 2) is None
    assert [preferred(one) for one in (0.5, 0.5 + 1e-16, 0.5 - 1e-12, 0.501, 0.0)] == [None, None, None, "a", "b"]


def test_as_json() -> None:
    found = cohens_kappa([0.9, 0.1, 0.9, 0.5], [0.9, 0.1, 0.1, 0.2], resamples=50).as_json()
    assert found.keys() == {"n", "agreement", "interval", "kappa", "kappa_interval", "ties", "unread"}
    assert (found["n"], found["agreement"], found["kappa"], found["ties"]) == (3, 2 / 3, pytest.approx(0.4), 1)
    assert Agreement(None, None, 0).as_json()["kappa_interval"] is None
