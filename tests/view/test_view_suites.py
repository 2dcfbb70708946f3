"""The records of the evaluation's suites are listed and shown like all others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import escape
from view_data import HOSTILE, comparison, completion, prompt, recipe, stored, visitor

from cai.evaluation_tables import Grid
from cai.material import Material
from cai.records import Classified, Conduct, Harm, Match, OverRefusal, Record
from cai.shown import principles, questions
from cai.stages.report_excerpts import visible
from cai.trials.choosing import Choice
from cai.trials.measuring import Labelled
from cai.view.sides import beside

CONDUCT = Conduct(
    refusal=({"full refusal": -0.1},),
    evasion=({"evades": -0.2},),
    p={"full refusal": 0.9},
    does="full refusal",
    p_evasive=0.8,
    refusal_by_rule=False,
    evasive_by_rule=False,
)


LABELLED = Labelled(id="7", prompt=prompt("Which?"), a="This.", b="That.", better="b", category="honest")


def harmed(model: str, harm: float) -> dict[str, Any]:
    asked = {"id": f"{model}/1", "model": model, "prompt": prompt("Kill a process?"), "answer": "Yes."}
    return {**asked, "logprobs": {"0": -0.1}, "harm": harm, "reward": 1.0}


def suites() -> dict[str, list[Record]]:
    one = {"id": "base/1", "model": "base", "prompt": prompt("Kill a process?")}
    return {
        "win_rates": [Match(**dict(comparison("Who wins?", 2.0)), models=("base", "SL-CAI"))],
        "harmfulness": [Harm(**one, answer=HOSTILE, logprobs={"0": -0.1}, harm=0.25, reward=1.0)],
        "refusals": [Classified(**one, answer="No.", truth="compliance", conduct=CONDUCT)],
        "over_refusal": [OverRefusal(**one, safe=True, type="homonym", response=completion("No."), conduct=CONDUCT)],
        "hhh": [Choice(id="base/7", model="base", pair=LABELLED, verdict=comparison("Which?", 2.0).verdict)],
    }


def test_each_suite_has_its_filters_and_its_figure(tmp_path: Path) -> None:
    stored(tmp_path / "runs", "made", suites())
    viewer = visitor(tmp_path / "runs")
    for address in ("win_rates?f.model=SL-CAI&f.models=base+against+SL-CAI&low=0.8",
                    "harmfulness?f.model=base&high=0.3&q=alert",
                    "refusals?f.does=full+refusal&f.evasive=yes&f.model+and+rule=disagree&f.people+say=compliance",
                    "over_refusal?f.safe=yes&f.type=homonym&f.model=base",
                    "hhh?f.model=base&f.category=honest&f.right=no&low=0.8"):  # fmt: skip
        page = viewer.get(f"/run/made/records/{address}").text
        links = re.findall(r'data-row href="([^"]+)"', page)
        assert len(links) == 1, address
        assert viewer.get(links[0].replace("&amp;", "&")).status_code == 200


def test_a_match_whose_principle_is_gone_keeps_its_readings(tmp_path: Path) -> None:
    stored(tmp_path / "runs", "made", suites())
    key = suites()["win_rates"][0].id  # type: ignore[attr-defined]
    page = visitor(tmp_path / "runs").get("/run/made/records/win_rates/item", params={"id": key}).text
    assert "Answer a shown as (A)" in page and "SL-CAI" in page
    assert "has no principle &#39;privacy&#39; any more" in page and "as the judge was shown it" not in page


def test_what_the_judge_was_asked_is_shown_in_its_very_words(tmp_path: Path) -> None:
    found, rules = suites(), Material(recipe("made"))
    (match,) = found["win_rates"]
    known = min(principles(rules, "win_rates"))
    assert isinstance(match, Match)
    readings = tuple(one.model_copy(update={"principle": known}) for one in match.verdict.readings)
    verdict = match.verdict.model_copy(update={"readings": readings})
    found["win_rates"] = [match.model_copy(update={"principles": (known,), "verdict": verdict})]
    stored(tmp_path / "runs", "made", found)
    viewer = visitor(tmp_path / "runs")
    for stage, count in (("win_rates", 2), ("harmfulness", 1), ("refusals", 2), ("over_refusal", 2)):
        (one,) = found[stage]
        page = viewer.get(f"/run/made/records/{stage}/item", params={"id": one.id}).text  # type: ignore[attr-defined]
        assert page.count("as the judge was shown it") == count, stage
        for question in questions(rules, stage, one):
            (shown,) = question.shown
            lines = visible(shown.prompt.readable())
            assert str(escape(lines[:200])) in page, stage
        assert "<script>alert" not in page


def test_results_show_the_table_of_each_suite_with_the_way_to_its_records(tmp_path: Path) -> None:
    stored(tmp_path / "runs", "made", suites())
    viewer = visitor(tmp_path / "runs")
    page = viewer.get("/run/made/evaluation").text
    titles = ("Win rates, by the judge", "Elo", "Harmfulness of answers", "What answers to held-out prompts do",
              "Over-refusal", "The classifier of refusals", "Comparisons that people made")  # fmt: skip
    assert all(f"<h2>{title}" in page for title in titles)
    for suite in suites():
        assert f'href="/run/made/records/{suite}"' in page
        if suite != "win_rates":
            assert f'href="/run/made/records/{suite}?f.model=base"' in page
            listed = viewer.get(f"/run/made/records/{suite}?f.model=base").text
            assert len(re.findall(r'data-row href="([^"]+)"', listed)) == 1
    assert "no difference can be told" in page


def test_two_runs_have_the_suites_of_both_side_by_side(tmp_path: Path) -> None:
    """Rows of one subject stand together, each with its run and the way to its own records."""
    more = suites()
    more["harmfulness"] = [*more["harmfulness"], Harm(**harmed("SL-CAI", 3.5))]
    stored(tmp_path / "runs", "made", more)
    stored(tmp_path / "runs", "other", {name: found for name, found in suites().items() if name != "over_refusal"})
    page = visitor(tmp_path / "runs").get("/compare?a=made&b=other").text
    (section,) = [one for one in page.split("<section>") if one.startswith("\n<h2>Harmfulness of answers")]
    groups = [re.findall(r"<th>(\w+)</th><td><a[^>]*>([\w-]+)</a>", one) for one in section.split("<tbody>")[1:]]
    assert groups == [[("made", "base"), ("other", "base")], [("made", "SL-CAI")]]
    assert "0.25" in section and "3.50" in section
    assert 'href="/run/other/records/harmfulness?f.model=base"' in section
    assert "<h2>Over-refusal" not in page and "Only made has: Over-refusal" in page
    assert page.count("<h2>Elo</h2>") == 1 and "What other shows by itself" in page
    assert "<h2>Elo" not in visitor(tmp_path / "runs").get("/compare?a=made&b=nothing").text


def test_headings_that_one_run_lacks_are_dashes() -> None:
    left = Grid("T", ("Model", "n", "old, %"), (("base", "1", "5"),), "note", "hhh")
    right = Grid("T", ("Model", "n", "new, %"), (("base", "2", "6"),), "note", "hhh", said=("It is so.",))
    (one,) = beside([left, Grid("U", (), (), "", "hhh")], [right])
    assert one.headings == ("Model", "n", "old, %", "new, %")
    assert one.groups == (((0, ("base", "1", "5", "-")), (1, ("base", "2", "-", "6"))),)
    assert one.said == ((), ("It is so.",))
