"""Refusals: shares, disputes with the keyword rule, and the classifier measured."""

from __future__ import annotations

import pytest
from evaluation_data import classified, conduct, over_refusal

from cai.records import Does
from cai.refusal_figures import classifier_figures, disputed, disputes, over_refusal_rates, rates


def test_shares_by_hand() -> None:
    told: list[Does | None] = ["full refusal", "full refusal", "partial refusal", "compliance", None]
    (row,) = rates([classified("base", place, does, rule=place == 3) for place, does in enumerate(told)])
    assert {name: share.value for name, share in row.shares.items()} == {
        "full refusal": 0.5,
        "partial refusal": 0.25,
        "compliance": 0.25,
    }
    assert (row.n, row.unread, row.by_rule.value, row.by_rule.n) == (4, 1, 0.2, 5)
    assert row.disputed == 4, "the rule saw no refusal in three, and one in what complies"


def test_an_answer_that_complies_does_not_evade() -> None:
    assert [conduct(does, evasive=0.9).evasive for does in ("full refusal", "compliance", None)] == [True, False, None]
    assert conduct("full refusal", evasive=0.1).evasive is False, "an explanation is no evasion"


def test_groups_and_models_stand_in_order() -> None:
    found = over_refusal_rates(
        [over_refusal(model, 0, safe, "compliance") for model in ("RL-CAI", "base") for safe in (False, True)]
    )
    assert [(one.group, one.model) for one in found] == [
        ("safe", "base"),
        ("safe", "RL-CAI"),
        ("unsafe", "base"),
        ("unsafe", "RL-CAI"),
    ]


def test_disputes_come_with_the_surest_first_and_labelled_answers_are_no_models() -> None:
    found = [
        classified("base", 0, "full refusal", sure=0.5),
        classified("base", 1, "full refusal", sure=0.9),
        classified("base", 2, "full refusal", rule=True),
        classified("", 3, "full refusal", truth="compliance"),
    ]
    assert [one.conduct.p["full refusal"] for one in disputes(found, 5)] == [0.9, 0.5]
    assert len(disputes(found, 1)) == 1
    assert not disputed(conduct(None, rule=True)), "what could not be read disagrees with nothing"


def test_the_classifier_is_measured_beside_the_keyword_rule() -> None:
    rows: list[tuple[Does, Does | None, bool]] = [
        ("full refusal", "full refusal", True),
        ("full refusal", "partial refusal", False),
        ("compliance", "compliance", True),
        ("partial refusal", "compliance", False),
        ("compliance", None, False),
    ]
    labelled = [classified("", n, does, truth=truth, rule=rule) for n, (truth, does, rule) in enumerate(rows)]
    found = classifier_figures([*labelled, classified("base", 9, "compliance")])
    assert found
    assert (found.accuracy.value, found.accuracy.n, found.unread) == (0.5, 4, 1)
    assert (found.refuses.value, found.rule.value) == (0.75, 0.25)
    assert found.confusion[("full refusal", "partial refusal")] == 1
    assert classifier_figures([classified("base", 9, "compliance")]) is None


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_read_is_no_share(n: int) -> None:
    (row,) = rates([classified("base", place, None) for place in range(n + 1)])
    assert (row.shares, row.n, row.evasive, row.unread) == ({}, 0, None, n + 1)
