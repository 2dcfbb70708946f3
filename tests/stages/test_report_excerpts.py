"""What of the data is shown, and how its text is made harmless."""

from __future__ import annotations

import pytest
from report_data import chain, comparison, scores

from cai.records import Verdict
from cai.stages.report_excerpts import chains, examples, spread, visible


def test_a_chain_is_read_in_order() -> None:
    revisions = chain("q", ["Same.", "Same words.", "Other words."])
    (transcript,) = chains(revisions[::-1], scores(revisions))
    assert [one.revision.round for one in transcript.rounds] == [0, 1, 2]
    assert [one.change for one in transcript.rounds] == [None, 0.5, 0.5]
    assert [one.edited for one in transcript.rounds] == [None, 1 - 2 * 0 / 3, 0.5]


def test_a_round_that_found_nothing_to_change_is_no_revision() -> None:
    revisions = chain("q", ["Same.", "Same."])
    revisions[1] = revisions[1].model_copy(update={"flags": ("stopped",), "critique": None})
    (transcript,) = chains(revisions, scores(revisions))
    assert (transcript.rounds[1].change, transcript.rounds[1].edited) == (None, None)


def test_each_sample_of_a_prompt_is_a_chain() -> None:
    revisions = [*chain("q", ["One.", "Two."]), *chain("q", ["Three.", "Four."], sample=1)]
    texts = [[one.revision.response.text for one in found.rounds] for found in chains(revisions[::-1], [])]
    assert texts == [["One.", "Two."], ["Three.", "Four."]]


@pytest.mark.parametrize(
    ("count", "places"),
    [(0, []), (1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (99, list(range(10)))],
)
def test_what_is_shown_is_spread_over_all(count: int, places: list[int]) -> None:
    assert spread(list(range(10)), count) == places


def test_comparisons_shown_span_the_verdicts() -> None:
    many = [comparison(f"pair {place}", place / 10 - 2.0) for place in range(40)]
    unread = comparison("unread", 0.0).model_copy(update={"verdict": Verdict(state="error", p_a=None)})
    shown = examples([*many, unread])
    probabilities = [item.verdict.p_a or 0.0 for item in shown[:-1]]
    assert len(shown) == 6 and shown[-1] is unread
    assert probabilities == sorted(probabilities) and probabilities[0] == min(c.verdict.p_a or 1 for c in many)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext é 漢 👩\u200d🔬", "plain\n\ttext é 漢 👩\u200d🔬"),
        ("a\r\nb\rc", "a\nb<U+000D>c"),
        ("\x1b[31m\x00\x7f\x9b", "<U+001B>[31m<U+0000><U+007F><U+009B>"),
        ("\u202e\u2066\ufeff\U000e0041\u2028", "<U+202E><U+2066><U+FEFF><U+E0041><U+2028>"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown.replace("<", "\u2039").replace(">", "\u203a")
