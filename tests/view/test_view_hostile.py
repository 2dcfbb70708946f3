"""What a model wrote does no harm on a page: markup, escape sequences, huge lines, texts that are dear to compare."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from view_data import HOSTILE, chain, comparison, completion, measurement, scores, stored, visitor

from cai.records import Record, Revision
from cai.view.texts import MOST, cut, difference

HUGE = 10_000_000


def hostile() -> dict[str, list[Record]]:
    """Everything that a model or a file of prompts could have written, in every kind of record."""
    rounds = [
        one.model_copy(update={"principles": (HOSTILE,) if one.round else (), "flags": (HOSTILE,)})
        for one in chain(
            HOSTILE, [HOSTILE, f"{HOSTILE} twice"], critique=completion(HOSTILE, reasoning=HOSTILE, raw="r" + HOSTILE)
        )
    ]
    pair = comparison(HOSTILE, a=HOSTILE, b=HOSTILE, principles=(HOSTILE,), source=HOSTILE)
    readings = tuple(
        one.model_copy(update={"reply": completion(HOSTILE), "logprobs": {HOSTILE: -1.0}, "reason": HOSTILE})
        for one in pair.verdict.readings
    )
    pair = pair.model_copy(update={"verdict": pair.verdict.model_copy(update={"readings": readings})})
    answered = measurement("base", 0, response=completion(HOSTILE)).model_copy(update={"model": HOSTILE, "id": HOSTILE})
    return {"revise": [*rounds], "compare": [pair], "score_rounds": [*scores(rounds)], "evaluate": [answered]}


@pytest.mark.parametrize("stage", ["revise", "compare", "score_rounds", "evaluate"])
def test_nothing_that_a_model_wrote_is_markup_or_acts_on_a_terminal(tmp_path: Path, stage: str) -> None:
    stored(tmp_path / "runs", "made", hostile())
    viewer = visitor(tmp_path / "runs")
    page = viewer.get(f"/run/made/records/{stage}").text
    links = re.findall(r'data-row href="([^"]+)"', page)
    assert len(links) == 1
    item = viewer.get(links[0].replace("&amp;", "&"))
    label = viewer.get("/run/made/label?as=ana").text
    for text in (page, item.text, label):
        assert_tame(text)
    assert item.status_code == 200
    if stage != "score_rounds":
        assert "&lt;script&gt;alert" in item.text and "\u2039U+001B\u203a[31m" in item.text
        assert "{{ 7 * 7 }}" in item.text


def assert_tame(page: str) -> None:
    assert "<script>alert" not in page and "<img" not in page
    assert not set("\x1b\x07\x00\u202e") & set(page)
    assert re.findall(r"<script\b[^>]*>", page) == re.findall(r'<script src="/static/[\w/.]+" defer>', page)


def test_the_raw_text_is_plain_and_can_be_no_page(tmp_path: Path) -> None:
    stored(tmp_path / "runs", "made", hostile())
    viewer = visitor(tmp_path / "runs")
    key = hostile()["compare"][0].id  # type: ignore[attr-defined]
    answer = viewer.get("/run/made/records/compare/raw", params={"id": key})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "\x1b" not in answer.text and "\\u001b[31m" in answer.text


def test_a_name_of_a_stage_or_a_run_is_escaped_too(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", "made", {"revise": []})
    text = (run.path / "run.json").read_text("utf-8")
    (run.path / "run.json").write_text(text.replace('"description": "', '"description": "<script>alert(1)</script>'))
    viewer = visitor(tmp_path / "runs")
    for path in ("/", "/run/made", "/run/<script>alert(1)</script>", "/run/made/records/<script>alert(1)</script>",
                 "/compare?a=<script>alert(1)</script>&b=made", "/run/made/records/revise?q=\"><script>1</script>",
                 "/run/made/label?as=<script>alert(1)</script>"):  # fmt: skip
        assert_tame(viewer.get(path).text)


def test_a_line_of_ten_megabytes_is_shown_cut_with_the_way_to_all_of_it(tmp_path: Path) -> None:
    huge = "word " * (HUGE // 5)
    revisions = chain("Go on.", ["short", huge, huge + "x"])
    stored(tmp_path / "runs", "made", {"revise": revisions, "compare": [comparison("Long?", a=huge)]})
    viewer = visitor(tmp_path / "runs")
    key = revisions[0].id.rpartition("/")[0]
    started = time.monotonic()
    page = viewer.get("/run/made/records/revise/item", params={"id": key})
    assert page.status_code == 200 and len(page.text) < 10 * MOST
    assert time.monotonic() - started < 20
    assert "more characters" in page.text and "Too long or too repetitive" in page.text
    way = re.search(r'href="(/run/made/records/revise/raw[^"]+)"', page.text)
    assert way and len(viewer.get(way[1].replace("&amp;", "&")).text) > 2 * HUGE
    assert len(viewer.get("/run/made/label?as=ana").text) < 10 * MOST
    assert len(viewer.get("/run/made/records/compare").text) < MOST


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ab " * 4000, "ba " * 4000),
        (" ".join("ab"[n * n % 7 % 2] for n in range(3000)), " ".join("ab"[n * n * n % 11 % 2] for n in range(3000))),
        ("\u6f22" * 15_000, "\u6f22" * 14_999),
        ("x" * 19_999, "y" * 19_999),
    ],
)
def test_no_pair_of_texts_takes_long_to_compare(before: str, after: str) -> None:
    started = time.monotonic()
    difference(before, after)
    assert time.monotonic() - started < 3


def test_what_is_short_enough_is_compared_word_by_word() -> None:
    assert difference("We must not do that.", "We can not do it here.") is not None
    found = difference("Take a pick and open it now please.", "Take a good pick and open it now please.")
    assert found == [("kept", "Take a"), ("added", " good"), ("kept", " pick and open it now please.")]


@pytest.mark.parametrize(("text", "most", "rest"), [("", 3, 0), ("abc", 3, 0), ("abcd", 3, 1)])
def test_a_text_is_cut_and_says_by_how_much(text: str, most: int, rest: int) -> None:
    assert (cut(text, most).text, cut(text, most).rest) == (text[:most], rest)


def test_records_of_lone_surrogates_are_shown(tmp_path: Path) -> None:
    one: Revision = chain("Odd?", ["plain"])[0]
    run = stored(tmp_path / "runs", "made", {"revise": []})
    line = one.model_dump_json().replace('"plain"', '"\\ud83d lone"')
    (run.steps["revise"].path / "items.jsonl").write_text(f"{line}\n", "utf-8")
    viewer = visitor(tmp_path / "runs")
    assert viewer.get("/run/made/records/revise").status_code == 200
