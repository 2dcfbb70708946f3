"""The written report: safe, complete, the same each time, and honest about the judge."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from report_data import EMPTY, ablated, chain, comparison, completion, distilled, findings, judged, measurement, scores

from cai.config import Recipe
from cai.constitution import Constitution
from cai.engine_config import ScriptedEngine
from cai.errors import MissingExtra
from cai.hygiene import FLAGS
from cai.records import Reading, Verdict
from cai.stages.report import Findings, write_report
from cai.stages.report_caveats import caveats, judge_facts, parameters_text

pytest.importorskip("matplotlib")

HOSTILE = "<script>alert(1)</script> \x1b[31mred \x00 \u202eevil \ud800 ``` ~~~\r\n````\n</details></div> {{ 7 * 7 }}"
SECTIONS = ["changed", "limits", "rounds", "training", "models", "principles", "flags", "transcripts", "comparisons"]
SECTIONS += ["counts", "timings", "constitution"]
TOO_SMALL = "is too small: a model of this size can't judge"


def written(given: Findings, folder: Path) -> tuple[str, str]:
    files = write_report(given, folder)
    return files.html.read_text("utf-8"), files.markdown.read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The report of the plain findings."""
    return written(findings(), tmp_path_factory.mktemp("page"))


def test_model_text_cannot_act(tmp_path: Path) -> None:
    revisions = chain(HOSTILE, [HOSTILE, HOSTILE + "!"])
    answer = distilled(0, 0.0, 1.0).model_copy(update={"guarded": completion(HOSTILE), "plain": completion(HOSTILE)})
    hostile = findings(
        distilled=[answer],
        revisions=revisions,
        round_scores=scores(revisions),
        comparisons=[comparison(HOSTILE, 1.0, b=HOSTILE)],
        curves={},
        dropped={HOSTILE: 1},
        judge_model=HOSTILE,
    )
    html, markdown = written(hostile, tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8
    assert "{{ 7 * 7 }}" in html
    assert "</details></div>" not in html.replace("&lt;", "")
    for text in (html, markdown):
        assert not [character for character in text if character < " " and character not in "\n\t"]
        assert not {"\x7f", "\u202e", "\ud800", "\r"} & set(text)
        assert "\u2039U+001B\u203a[31mred \u2039U+0000\u203a" in text
    assert "\\<script\\>" in markdown


def test_a_fence_in_markdown_is_longer_than_any_in_the_text(tmp_path: Path) -> None:
    revisions = chain("Question", [HOSTILE, "Fine.", "Fine."])
    _, markdown = written(findings(**EMPTY | {"revisions": revisions}), tmp_path)
    opened = re.findall(r"(?m)^(`{3,})text$", markdown)
    assert "`````" in opened
    inside = markdown.split("`````text\n")[1].split("\n`````\n")[0]
    assert inside.endswith("{{ 7 * 7 }}") and "\n````\n" in inside


def test_the_page_loads_nothing(page: tuple[str, str]) -> None:
    html, _ = page
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form)\b", html)
    targets = re.findall(r"""(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)""", html)
    assert targets and all(target.startswith("#") for target in targets)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]+)\)", html))
    assert "http://" not in html and "https://" not in html and "@import" not in html
    assert "default-src 'none'" in html


def test_links_within_the_page_lead_somewhere(page: tuple[str, str]) -> None:
    html, _ = page
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert set(re.findall(r'<a [^>]*href="#([^"]+)"', html)) <= set(ids)
    assert set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', html)) <= set(ids)


def test_the_sections_stand_in_order(page: tuple[str, str]) -> None:
    assert re.findall(r'<section id="([^"]+)"', page[0]) == SECTIONS


def test_the_same_findings_in_any_order_give_the_same_bytes(page: tuple[str, str], tmp_path: Path) -> None:
    assert written(shuffled(findings()), tmp_path) == page


def shuffled(given: Findings) -> Findings:
    """The same findings in another order."""
    return dataclasses.replace(
        given,
        revisions=given.revisions[::-1],
        comparisons=given.comparisons[::-1],
        measurements=given.measurements[::-1],
        round_scores=given.round_scores[::-1],
        ablated=given.ablated[::-1],
        ablated_scores=given.ablated_scores[::-1],
        distilled=given.distilled[::-1],
    )


def with_all(**changes: Any) -> Findings:
    """Findings of a run with every optional stage, whose chains end early and ask again."""
    made = [
        revision
        for place in range(3)
        for variant in ("direct", "principles=1")
        for revision in ablated(f"chain {place}", ["Two of another kind.", "Three of another kind."], variant)
    ]
    recipe = findings().recipe.model_dump() | {"distill": {"preference_model": "earlier/preference_model"}}
    recipe["revise"] |= {"stop": 0.9, "resample": {"times": 1}}
    principles = [{"id": name, "critique": "Is it?", "revision": "Be so."} for name in ("kind", "honest", "calm")]
    given: dict[str, Any] = {
        "recipe": Recipe.model_validate(recipe),
        "constitution": Constitution.model_validate({"name": "three rules", "principles": principles}),
        "ablated": made,
        "ablated_scores": scores(made, 0.25),
        "distilled": [distilled(place, 0.0, place - 1.0) for place in range(4)],
    }
    return findings(**given | changes)


def test_a_run_with_every_stage_shows_each_and_the_same_each_time(tmp_path: Path) -> None:
    html, markdown = written(with_all(), tmp_path)
    assert re.findall(r'<section id="([^"]+)"', html) == [*SECTIONS[:3], "preamble", *SECTIONS[3:]]
    for text in (
        "Score by round and number of principles",
        "Score by round, with and without critiques",
        "Critiqued revisions of round 2 against direct ones, 3 harmful prompts",
        "Revisions of round 2 under all 3 principles against those under 1 principle, 3 harmful prompts",
        "Rounds that found nothing to change",
        "Critiques asked for again",
        "earlier/preference_model",
        "ablated rounds</th><td>12</td>",
    ):
        assert text in html, text
    assert "Critiqued revisions of round 2 against direct ones" in markdown and "| Score rose | 2 of 4" in markdown
    assert written(shuffled(with_all()), tmp_path) == (html, markdown)


def test_a_run_without_the_optional_stages_says_nothing_of_them(page: tuple[str, str]) -> None:
    for text in page:
        assert not re.search(r"preamble|revised otherwise|ablated|asked for again|nothing to change", text)


def test_ablations_change_no_figure_of_the_run_itself(page: tuple[str, str], tmp_path: Path) -> None:
    """What stands in the page of the plain findings stands there still."""
    plain = findings(recipe=with_all().recipe, constitution=with_all().constitution)
    before, now = (written(given, tmp_path)[0] for given in (plain, with_all(distilled=[])))
    opening = "<h3>The same first answers, revised otherwise</h3>"
    start = now.index(opening)
    end = now.index("</section>", start)
    counted = re.search(r"<tr><th scope=\"row\">ablated rounds</th>.*\n", now)
    assert counted
    assert _without_lines(now[:start] + now[end:].replace(counted[0], "")) == _without_lines(before)


def _without_lines(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_a_round_that_found_nothing_to_change_is_shown_as_such(tmp_path: Path) -> None:
    revisions = chain("Question", ["One.", "One."])
    revisions[1] = revisions[1].model_copy(update={"flags": ("stopped",), "critique": None})
    html, _ = written(findings(**EMPTY | {"revisions": revisions}), tmp_path)
    assert "Round 1: nothing to change" in html
    assert html.count(">One.</div>") == 1


def test_what_a_flag_means_stands_with_what_it_left_out(tmp_path: Path) -> None:
    dropped = {"sft: rows left out, meta-talk": 3, "sft: rows left out, helpful_share": 2}
    html, _ = written(findings(**EMPTY | {"dropped": dropped}), tmp_path)
    assert f'<td>3</td><td class="quiet">dropped: {FLAGS["meta-talk"]}</td>' in html
    assert '<td>2</td><td class="quiet">dropped</td>' in html


def test_matplotlib_is_left_as_it_was_and_its_settings_change_nothing(page: tuple[str, str], tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 33.0}):
        before = dict(matplotlib.rcParams)
        assert written(findings(), tmp_path) == page
        assert dict(matplotlib.rcParams) == before


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    html, markdown = written(findings(**EMPTY), tmp_path)
    assert "<svg" not in html
    for sentence in (
        "No two models answered the same held-out prompts",
        "No comparison was parsed, so there is nothing to draw.",
        "No round was scored, so there is nothing to draw.",
        "No model was measured, so there is nothing to draw.",
        "the training log has no &#39;reward&#39;",
        "No transcript is shown: there are no critique-revision chains.",
        "No comparison was made, so none is shown.",
        "No stage was timed.",
    ):
        assert sentence in html
    assert "No stage was timed." in markdown and "No transcript is shown." in markdown


@pytest.mark.parametrize("given", sorted(EMPTY))
def test_any_one_thing_may_be_there_alone(given: str, tmp_path: Path) -> None:
    nothing = {name: value for name, value in EMPTY.items() if name != given}
    html, _ = written(findings(**nothing), tmp_path)
    assert html.endswith("</html>\n")


def test_odd_numbers_do_not_stop_the_report(tmp_path: Path) -> None:
    revisions = chain("Question", ["One.", "Two."])
    minus_infinity = Reading(first="a", logprobs={" (A)": -math.inf, " (B)": -1.0})
    unread = comparison("unread", 0.0).model_copy(update={"verdict": judged(minus_infinity)})
    html, _ = written(
        findings(
            revisions=revisions,
            round_scores=[score.model_copy(update={"reward": math.nan}) for score in scores(revisions)],
            comparisons=[unread],
            measurements=[measurement("base", 0, math.nan), measurement("base", 1, 1.0)],
            curves={"rl": [{"reward": math.inf}, {"reward": 1.0, "entropy": math.nan}, {}]},
        ),
        tmp_path,
    )
    assert "scores not finite</th><td>3</td>" in html
    assert "1 infinite or not a number, not drawn" in html
    assert "every logged value is infinite or not a number" in html
    assert "1 of 1 questions were not read: a label has no finite log-probability" in html


@pytest.mark.parametrize(
    ("parameters", "small", "size"),
    [
        (134_515_008, True, "135M parameters"),
        (1_711_376_384, False, "1.71B parameters"),
        (None, False, "size not known"),
    ],
)
def test_a_small_judge_is_said_to_be_no_judge(parameters: int | None, small: bool, size: str, tmp_path: Path) -> None:
    for text in written(findings(**EMPTY | {"judge_parameters": parameters}), tmp_path):
        plain = text.replace("&#39;", "'").replace("\N{NO-BREAK SPACE}", " ")
        assert (TOO_SMALL in plain) is small
        assert ("says “A” 93 % of the time and scores 50 %" in plain) is small
        assert size in plain


def test_scripted_replies_are_said_to_be_made_up(tmp_path: Path) -> None:
    given = findings(**EMPTY)
    scripted = given.recipe.model_copy(update={"engine": ScriptedEngine.model_validate({})})
    assert "No model took part." not in written(given, tmp_path)[0]
    assert "No model took part." in written(dataclasses.replace(given, recipe=scripted), tmp_path)[0]


def test_a_part_that_no_model_played_is_named() -> None:
    models = {"assistant": "tiny-random", "feedback": {"use": "assistant", "engine": {"type": "scripted"}}}
    recipe = Recipe.model_validate({"name": "t", "models": models, "engine": {"type": "transformers"}})
    first, *others = caveats(recipe, "tiny-random", 1000)
    assert first.grave and "made up all that these parts said: feedback." in first.reason
    assert not [caveat for caveat in others if "scripted" in caveat.reason]


def test_the_judge_is_measured_on_its_own_verdicts() -> None:
    unread = comparison("x", 0.0)
    unread = unread.model_copy(update={"verdict": Verdict(state="refused", p_a=None, reason="no")})
    first_seat = [Reading(first=first, logprobs={" (A)": 0.0, " (B)": -1e-9 - 3.0}) for first in ("a", "b")]
    biased = comparison("y", 0.0).model_copy(update={"verdict": judged(*first_seat)})
    facts = {fact.name: fact.value for fact in judge_facts([unread, biased, comparison("z", 3.0)])}
    assert facts["Comparisons"] == "2 parsed, 0 unparsed, 1 refused, 0 error"
    assert facts["Position bias"] == "50 % (9 to 91) of 2 pairs"
    assert facts["Mean P(first seat)"] == f"{(2 * 0.952574 + 0.952574 + 0.047426) / 4:.2f}"
    assert judge_facts([])[1].value == "not measured"


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 parameters"), (12_300, "12.3k parameters"), (7e9, "7B parameters")]
)
def test_a_size_is_said_as_people_say_it(count: int, text: str) -> None:
    assert parameters_text(int(count)) == text


def test_without_matplotlib_the_pip_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[report\]"):
        write_report(findings(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_prefix_cache_stands_with_the_timings_of_stages_that_counted_it(page: tuple[str, str]) -> None:
    html, markdown = page
    assert "| revise | 12.5 | 9 | 300 | 24 | 62 % |" in markdown
    assert "| report | 1.0 | 0 | 0 | - |  |" in markdown
    assert "<td>62&nbsp;%</td>" in html
