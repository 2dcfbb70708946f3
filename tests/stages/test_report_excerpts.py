"""What of the data is shown, and how its text is made harmless."""

from __future__ import annotations

import pytest
from report_data import chain, comparison, completion, findings, scores

from cai.records import Verdict
from cai.stages.report_excerpts import chains, examples, flag_counts, flags, principle_use, spread, visible


def test_a_chain_is_read_in_order_and_flagged() -> None:
    revisions = chain("q", ["Same.", " Same.\n", "", "Cut"])
    revisions[3] = revisions[3].model_copy(update={"response": completion("Cut", finish="length")})
    (transcript,) = chains(revisions[::-1], scores(revisions))
    assert [round_.flags for round_ in transcript.rounds] == [(), ("unchanged",), ("empty",), ("cut off",)]
    assert [round_.change for round_ in transcript.rounds] == [None, 0.5, 0.5, 0.5]
    assert flag_counts([transcript]) == {"revisions cut off": 1, "revisions empty": 1, "revisions unchanged": 1}
    assert flags(completion("  ", finish="length"), completion("")) == ("empty", "cut off")


def test_each_principle_is_counted_with_its_mean_change() -> None:
    given = findings()
    transcripts = chains(given.revisions, [s for s in given.round_scores if s.round != 2])
    kind, honest = principle_use(given.constitution, transcripts, given.comparisons, 100)
    assert (kind.revisions, kind.comparisons, honest.revisions, honest.comparisons) == (6, 5, 0, 0)
    assert kind.change and (kind.change.value, kind.change.n) == (0.5, 3)
    assert honest.change is None


@pytest.mark.parametrize(
    ("count", "places"),
    [(0, []), (1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (99, list(range(10)))],
)
def test_what_is_shown_is_spread_over_all(count: int, places: list[int]) -> None:
    assert spread(list(range(10)), count) == places


def test_comparisons_shown_span_the_verdicts() -> None:
    many = [comparison(f"pair {place}", place / 10 - 2.0) for place in range(40)]
    unread = comparison("unread", 0.0).model_copy(update={"verdict": Verdict(state="error", p_a=None, orders=())})
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
