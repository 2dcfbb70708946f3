"""What the report says of each principle: counts, changes, the judge under it, and examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_data import chain, comparison, completion, findings, judged, scores

from cai.records import Comparison, Reading, Seating, Verdict
from cai.stages.report import write_report
from cai.stages.report_excerpts import chains
from cai.stages.report_principles import PrincipleUse, principle_use

HOSTILE = "<script>alert(1)</script> | `x` [y](javascript:1)"


def panel(name: str, kind: float, honest: float, drift: float = 0.0) -> Comparison:
    """Judged under both principles in both orders; log-odds for answer a, `drift` for the first seat."""
    seats: tuple[tuple[Seating, int], ...] = (("a", 1), ("b", -1))
    readings = [
        Reading(first=seat, principle=rule, logprobs={" (A)": sign * odds / 2 + drift, " (B)": -sign * odds / 2})
        for rule, odds in (("kind", kind), ("honest", honest))
        for seat, sign in seats
    ]
    changes = {"principles": ("kind", "honest"), "verdict": judged(*readings)}
    return comparison(name, 0.0).model_copy(update=changes)


def uses(comparisons: list[Comparison]) -> list[PrincipleUse]:
    return principle_use(findings().constitution, [], comparisons, 100)


def test_each_principle_is_counted_with_its_mean_change() -> None:
    given = findings()
    transcripts = chains(given.revisions, [s for s in given.round_scores if s.round != 2])
    kind, honest = principle_use(given.constitution, transcripts, given.comparisons, 100)
    assert (kind.revisions, kind.comparisons, honest.revisions, honest.comparisons) == (6, 5, 0, 0)
    assert kind.change and (kind.change.value, kind.change.n) == (0.5, 3)
    assert honest.change is None and honest.flagged is None


def test_a_comparison_under_several_principles_counts_for_each() -> None:
    one = comparison("pair", 1.0).model_copy(update={"principles": ("kind", "honest")})
    uses = principle_use(findings().constitution, [], [one, comparison("other", 1.0)], 100)
    assert [use.comparisons for use in uses] == [2, 1]


def test_the_share_of_a_principles_flagged_revisions_has_wilsons_interval() -> None:
    revisions = [*chain("a", ["1", "2", "3"]), *chain("b", ["1", "2"], principle="honest")]
    revisions[1] = revisions[1].model_copy(update={"flags": ("truncated", "meta-talk")})
    revisions[0] = revisions[0].model_copy(update={"flags": ("truncated",)})
    revisions[4] = revisions[4].model_copy(update={"principles": ("kind", "honest"), "critique_flags": ("empty",)})
    kind, honest = principle_use(findings().constitution, chains(revisions, []), [], 100)
    # Wilson, 1 of 3: centre (1/3 + 1.92073/3) / (1 + 3.84146/3) = 0.428, half-width 0.367.
    assert kind.flagged and (kind.flagged.value, kind.flagged.n) == (pytest.approx(1 / 3), 3)
    assert (kind.flagged.low, kind.flagged.high) == (pytest.approx(0.0615, abs=1e-3), pytest.approx(0.7923, abs=1e-3))
    assert honest.flagged and (honest.flagged.value, honest.flagged.n) == (0.0, 1)


def test_a_round_that_found_nothing_to_change_is_no_revision_of_its_principle() -> None:
    revisions = chain("q", ["Same.", "Same."])
    revisions[1] = revisions[1].model_copy(update={"flags": ("stopped",), "critique": None})
    kind = principle_use(findings().constitution, chains(revisions, scores(revisions)), [], 100)[0]
    assert (kind.revisions, kind.edited, kind.change, kind.flagged, kind.revised) == (0, None, None, None, None)


def test_agreement_is_of_pairs_that_were_judged_under_several_principles() -> None:
    # Two of three pairs alike; both prefer a in one and b in one, so Cohen's chance is (2/3)(1/3) + (1/3)(2/3) = 4/9.
    kind, honest = uses([panel("1", 1.0, 2.0), panel("2", -1.0, -2.0), panel("3", 1.0, -2.0)])
    for one in (kind, honest):
        assert one.agreement and one.agreement.share and one.agreement.kappa
        assert (one.agreement.share.value, one.agreement.share.n) == (pytest.approx(2 / 3), 3)
        assert one.agreement.kappa.value == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert uses([comparison("alone", 1.0)])[0].agreement is None


def test_a_tie_is_left_out_of_the_agreement() -> None:
    kind, _ = uses([panel("1", 1.0, 2.0), panel("2", 1.0, 0.0)])
    assert kind.agreement and kind.agreement.share and (kind.agreement.share.n, kind.agreement.ties) == (1, 1)


def test_position_bias_is_of_the_principles_own_readings() -> None:
    # A drift of 3 outweighs log-odds of 1 and not of 9, so under `kind` alone the first seat always wins.
    kind, honest = uses([panel(str(place), 1.0, 9.0, drift=3.0) for place in range(4)])
    assert kind.position and (kind.position.same_seat.value, kind.position.same_seat.n, kind.position.first) == (
        1,
        4,
        1,
    )
    assert honest.position and (honest.position.same_seat.value, honest.position.same_seat.n) == (0, 4)


def test_a_reading_that_names_no_principle_is_of_the_one_that_was_drawn() -> None:
    one = comparison("old", 1.0)
    bare = tuple(reading.model_copy(update={"principle": ""}) for reading in one.verdict.readings)
    old = one.model_copy(update={"verdict": one.verdict.model_copy(update={"readings": bare})})
    assert uses([old])[0].position == uses([one])[0].position != None  # noqa: E711


def test_examples_are_the_first_by_prompt_and_what_was_not_parsed_is_none() -> None:
    revisions = [*chain("a", ["One.", "Two."]), *chain("b", ["Three.", "Four."])]
    unread = comparison("0", 1.0).model_copy(update={"verdict": Verdict(state="unparsed", p_a=None)})
    transcripts = chains(revisions, [])
    kind, honest = principle_use(findings().constitution, transcripts, [unread, comparison("1", 1.0)], 100)
    first = transcripts[0].rounds
    assert kind.revised and kind.revised.before == first[0].revision.response.text
    assert kind.revised.round == first[1] and kind.compared == comparison("1", 1.0)
    assert (honest.revised, honest.compared, honest.position) == (None, None, None)


def test_page_and_summary_show_them_as_text(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    revisions = chain(HOSTILE, [HOSTILE + " long" * 200, HOSTILE])
    revisions[1] = revisions[1].model_copy(update={"critique": completion(HOSTILE)})
    several = [panel(f"{place}", 1.0, 2.0).model_copy(update={"a": completion(HOSTILE)}) for place in range(3)]
    files = write_report(findings(revisions=revisions, round_scores=[], comparisons=several), tmp_path)
    page, summary = files.html.read_text("utf-8"), files.markdown.read_text("utf-8")
    section = page.split('<section id="principles">')[1].split("</section>")[0]
    assert section.count("&lt;script&gt;") == 6 and "<script" not in section and " long" * 100 not in section
    assert "As the others, %" in section and "n = 3" in section and "Same seat twice" in section
    told = summary.split("## What each principle does")[1].split("## Timings")[0]
    assert "| kind | 1 | 3 |" in told and "n = 3 | 1.00 [0.44, 1.00], n = 3 |" in told
    assert "<script" not in told.replace("\\<", "")
    assert "](javascript" not in told.replace("\\]", "")


def test_where_no_pair_was_judged_under_several_principles_it_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = write_report(findings(), tmp_path)
    assert "no pair was judged under several of" in files.html.read_text("utf-8")
    assert "As the others" not in files.html.read_text("utf-8") + files.markdown.read_text("utf-8")
