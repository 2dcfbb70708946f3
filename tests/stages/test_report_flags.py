"""Flags by step, attempts, and rounds that found nothing to change, counted by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from report_data import chain, completion

from cai.config import ReviseConfig
from cai.hygiene import FLAGS
from cai.records import Attempt, Revision
from cai.stages.report_flags import STEPS, chain_facts, flag_table, share


def changed(revision: Revision, **update: Any) -> Revision:
    return revision.model_copy(update=update)


def chains() -> list[Revision]:
    """Two chains of two rounds and one that ended in its second."""
    one, two, three = (chain(name, ["First.", "Second.", "Third."]) for name in "abc")
    one[0] = changed(one[0], flags=("truncated",))
    one[1] = changed(one[1], flags=("truncated", "meta-talk"), critique_flags=("empty",))
    two[2] = changed(two[2], flags=("truncated",))
    three[2] = changed(three[2], flags=("stopped",), critique=None)
    return [*one, *two, *three]


def test_every_flag_is_counted_at_its_step_and_an_ended_round_is_no_reply() -> None:
    table = flag_table(chains())
    assert STEPS == ("First answers", "Critiques", "Revisions")
    assert table.replies == (3, 5, 5)
    counts = {row.flag: row.counts for row in table.rows}
    assert counts == dict.fromkeys(FLAGS.keys() - {"stopped"}, (0, 0, 0)) | {
        "truncated": (1, 0, 2),
        "meta-talk": (0, 0, 1),
        "empty": (0, 1, 0),
    }
    assert [row.flag for row in table.rows] == [flag for flag in FLAGS if flag != "stopped"]


def test_a_share_has_wilsons_interval_and_is_none_where_nothing_was_flagged() -> None:
    (row,) = [row for row in flag_table(chains()).rows if row.flag == "truncated"]
    first, critiques, revisions = row.shares
    assert critiques is None and first and revisions
    assert (first.value, first.n, revisions.value, revisions.n) == (1 / 3, 3, 2 / 5, 5)
    z2, n, p = 1.959963984540054**2, 5, 0.4
    centre, half = (
        (p + z2 / (2 * n)) / (1 + z2 / n),
        math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n),
    )
    assert (revisions.low, revisions.high) == (pytest.approx(centre - half), pytest.approx(centre + half))
    assert row.meaning == FLAGS["truncated"]


def test_no_reply_is_no_row_less() -> None:
    table = flag_table([])
    assert table.replies == (0, 0, 0)
    assert all(row.shares == (None, None, None) for row in table.rows)


def test_what_a_recipe_does_not_ask_for_is_not_told() -> None:
    assert chain_facts(chains(), ReviseConfig()) == []
    assert chain_facts([], ReviseConfig.model_validate({"stop": 0.5, "resample": {"times": 1}})) == []


def test_rounds_that_found_nothing_to_change_are_counted_by_round() -> None:
    (fact,) = chain_facts(chains(), ReviseConfig(stop=0.9))
    assert fact.value == share(1, 6) == "1 of 6: 17 % (3 to 56)"
    assert fact.meaning.endswith("P(nothing to change) above 0.9; the chain ends and keeps its answer: 1 in round 2")
    (fact,) = chain_facts(chain("a", ["First.", "Second."]), ReviseConfig(stop=0.9))
    assert fact.value.startswith("0 of 1: 0 %") and fact.meaning.endswith(": none")


def attempt(step: str) -> Attempt:
    return Attempt.model_validate({"step": step, "reply": completion("x"), "flags": ("empty",)})


def test_replies_that_were_asked_for_again_are_counted_with_what_came_of_them() -> None:
    revisions = chains()
    twice = (attempt("critique"), attempt("critique"), attempt("revision"))
    revisions[1] = changed(revisions[1], attempts=twice)
    revisions[2] = changed(revisions[2], attempts=(attempt("revision"),))
    config = ReviseConfig.model_validate({"resample": {"times": 2}})
    critiques, others = chain_facts(revisions, config)
    assert (critiques.name, critiques.value) == ("Critiques asked for again", share(1, 5))
    assert critiques.meaning == "2 replies set aside; 1 still flagged at the last attempt"
    assert (others.name, others.value) == ("Revisions asked for again", share(2, 5))
    assert others.meaning == "2 replies set aside; 1 still flagged at the last attempt", "meta-talk asks again"


def test_direct_chains_have_no_critiques_to_ask_for_again() -> None:
    config = ReviseConfig.model_validate({"critique": False, "resample": {"times": 2}})
    facts = chain_facts(chain("a", ["First.", "Second."], variant="direct"), config)
    assert [fact.name for fact in facts] == ["Revisions asked for again"]
