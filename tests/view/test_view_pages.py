"""The pages show what the run holds, keep what was chosen in their address, and follow a run that goes on."""

from __future__ import annotations

import os
import re
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from view_data import METRICS, chain, comparison, measurement, records, stored, visitor

from cai.view.training import drawn


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "runs"
    stored(folder)
    changed = records() | {"revise": chain("How do I pick a lock?", ["Take a pick.", "Not that.", "No."])}
    stored(folder, "other", changed, identity={"rl": {"kl": 0.5}})
    return folder


@pytest.fixture
def viewer(root: Path) -> TestClient:
    return visitor(root)


def rows(page: str) -> list[tuple[str, str]]:
    """(address, text) of each line of a list."""
    return [(unescape(there), unescape(text)) for there, text in re.findall(r'data-row href="([^"]+)">([^<]*)<', page)]


def text_of(page: str) -> str:
    """What a reader sees, roughly."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_runs_are_listed(viewer: TestClient) -> None:
    page = viewer.get("/").text
    assert {text for _, text in rows(page)} == {"made", "other"}
    assert "7 of 7" in text_of(page)


def test_a_run_shows_its_stages_with_counts_time_and_tokens(viewer: TestClient) -> None:
    page = viewer.get("/run/made")
    for _ in range(50):
        if "\u2026" not in page.text:
            break
        page = viewer.get("/run/made")
    shown = text_of(page.text)
    assert "revise done 8 1.5 s 1 234" in shown
    assert "compare done 15 1.5 s" in shown
    assert "data-live" not in page.text


def test_a_run_that_goes_on_is_followed(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", waiting=("compare", "rl"))
    viewer = visitor(tmp_path / "runs")
    assert "stopped" in text_of(viewer.get("/run/made").text)
    (run.path / "lock.json").write_text(f'{{"pid": {os.getpid()}}}')
    page = viewer.get("/run/made").text
    assert "data-live" in page and "compare in progress" in text_of(page) and "rl not begun" in text_of(page)
    before = len(rows(viewer.get("/run/made/records/compare").text))
    run.steps["compare"].append(comparison("A new one?"))
    page = viewer.get("/run/made/records/compare").text
    assert len(rows(page)) == before + 1 and "data-live" in page
    (run.path / "lock.json").write_text('{"pid": 999999999}')
    assert "in progress" not in text_of(viewer.get("/run/made").text)


def test_chains_are_narrowed_by_what_the_address_says(viewer: TestClient) -> None:
    def found(query: str) -> list[str]:
        return [text for _, text in rows(viewer.get(f"/run/made/records/revise?{query}").text)]

    assert found("") == ["How do I pick a lock?", "Write an insult.", "Hostile?"]
    assert found("f.principle=insults-and-offence") == ["Write an insult."]
    assert found("f.flag=truncated") == ["Write an insult."]
    assert found("q=locksmith") == ["How do I pick a lock?"]
    assert found("order=low") == ["Hostile?", "How do I pick a lock?", "Write an insult."]
    assert found("low=0.8&q=pick") == ["How do I pick a lock?"]
    assert found("f.none=x") == []
    assert found("f.principle=&q=&low=&high=&order=&page=") == found("")
    assert found("low=nan&high=inf&order=odd&page=-3") == found("")


def test_the_filter_goes_along_to_the_entry_and_its_neighbours(viewer: TestClient) -> None:
    page = viewer.get("/run/made/records/compare?f.orders=agree&order=high").text
    listed = rows(page)
    assert len(listed) > 3
    item = viewer.get(listed[1][0]).text
    near = dict(re.findall(r'<a rel="(prev|next)" href="([^"]+)"', item))
    for which, place in (("prev", 0), ("next", 2)):
        there = "/run/made/records/compare/item" + unescape(near[which])
        assert "f.orders=agree" in there and "order=high" in there
        assert listed[place][1] in text_of(viewer.get(there).text)
    assert "f.orders=agree&amp;order=high" in re.findall(r'data-up href="([^"]+)"', item)[0]


def test_an_entry_alone_knows_its_neighbours_as_stored(viewer: TestClient) -> None:
    keys = [re.findall(r"id=([^&]+)", there)[0] for there, _ in rows(viewer.get("/run/made/records/compare").text)]
    item = viewer.get(f"/run/made/records/compare/item?id={keys[2]}").text
    near = re.findall(r'rel="(?:prev|next)" href="([^"]+)"', item)
    assert [re.findall(r"id=([^&]+)", there)[0] for there in near] == [keys[1], keys[3]]


def test_the_beginning_of_a_name_leads_to_the_entry(viewer: TestClient) -> None:
    key = comparison("Question 3?").id
    answer = viewer.get(f"/run/made/records/compare/item?id={key[:9]}")
    assert answer.status_code == 303 and "Question 3?" in viewer.get(answer.headers["location"]).text
    assert viewer.get("/run/made/records/compare/item?id=zzz").status_code == 404
    assert viewer.get("/run/made/records/compare/item").status_code == 404


def test_a_chain_shows_every_round_against_the_one_before(viewer: TestClient) -> None:
    page = viewer.get(rows(viewer.get("/run/made/records/revise").text)[0][0]).text
    assert "<ins> good</ins>" in page or "<ins>good</ins>" in page
    shown = text_of(page)
    for part in ("How do I pick a lock?", "First answer", "Round 1", "Critique 2.", "Ask a locksmith.", "privacy",
                 "score 1.000", "+0.500", "An earlier revision, asked for again", "Here is the rewrite."):  # fmt: skip
        assert part in shown, part
    assert "has no principle of that name" not in shown


def test_a_comparison_shows_both_orders_probabilities_and_the_very_prompt(viewer: TestClient) -> None:
    page = viewer.get("/run/made/records/compare/item", params={"id": comparison("Question 7?", 2.0).id}).text
    shown = text_of(page)
    for part in ("First 7.", "Answer b.", "Answer a shown as (A)", "Answer b shown as (A)",
                 'log p(" (A)") -1.0000 nats',
                 'log p(" (B)") -3.0000 nats', "P(a is better) = 0.8808", "as the judge was shown it"):  # fmt: skip
        assert part in shown, part
    assert shown.count("Question 7?") >= 3  # of the pair, and in both questions


def test_the_prompt_is_what_the_command_prints(viewer: TestClient, root: Path) -> None:
    from rich.console import Console

    from cai.commands.audit import show_item

    key = comparison("Question 7?", 2.0).id
    console = Console(width=200, file=StringIO())
    show_item(console, "made", "compare", key, root)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    page = viewer.get("/run/made/records/compare/item", params={"id": key}).text
    shown = [unescape(text) for text in re.findall(r'<div class="said raw" dir="auto">(.*?)</div>', page, re.S)]
    assert len(shown) == 2
    for text in shown:
        assert text in printed


def test_a_verdict_that_was_not_read_says_so(viewer: TestClient) -> None:
    page = viewer.get("/run/made/records/compare?f.verdict=unparsed").text
    assert "nothing learns from it" in viewer.get(rows(page)[0][0]).text


def test_a_constitution_that_is_gone_hides_no_record(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs")
    path = run.path / "run.json"
    path.write_text(path.read_text("utf-8").replace('"constitution": "harmless"', '"constitution": "gone.yaml"'))
    viewer = visitor(tmp_path / "runs")
    page = viewer.get("/run/made/records/compare/item", params={"id": comparison("Question 7?").id}).text
    assert "The prompts can\u2019t be rendered" in page or "The prompts can&#39;t be rendered" in page
    assert "First 7." in page
    assert viewer.get(rows(viewer.get("/run/made/records/revise").text)[0][0]).status_code == 200


def test_curves_are_served_and_named(viewer: TestClient) -> None:
    page = viewer.get("/run/made/training").text
    assert re.findall(r'data-curve="([^"]+)"', page) == ["loss", "reward"]
    found = viewer.get("/run/made/training/sft.json").json()
    assert found["steps"] == [row["step"] for row in METRICS]
    assert found["series"]["loss"] == [row["loss"] for row in METRICS]


def test_curves_are_thinned_and_keep_their_end_and_their_gaps() -> None:
    many = [{"step": step, "loss": float(step), "odd": float("inf") if step == 0 else 1.0} for step in range(100_001)]
    found = drawn(many)
    assert len(found["steps"]) <= 4001 and found["steps"][-1] == 100_000
    assert found["series"]["loss"] == found["steps"]
    assert found["series"]["odd"][0] is None
    gaps = drawn([{"step": 1, "loss": 1.0}, {"step": 2}, {"loss": 3.0}, {"step": 4, "loss": 2.0, "eval": 5.0}])
    assert gaps == {"steps": [1, 2, 4], "series": {"loss": [1.0, None, 2.0]}}


def test_results_lead_to_the_answers_behind_them(viewer: TestClient) -> None:
    page = viewer.get("/run/made/evaluation").text
    ways = [unescape(there) for there in re.findall(r'<a href="([^"]+refusal=yes)"', page)]
    assert len(ways) == 4
    behind = viewer.get(ways[0]).text
    assert [text for _, text in rows(behind)] == ["harmful question 0"]
    assert measurement("base", 0).response.text in viewer.get(rows(behind)[0][0]).text


def test_two_runs_stand_side_by_side(viewer: TestClient) -> None:
    page = viewer.get("/compare?a=made&b=other").text
    shown = text_of(page)
    assert "rl settings.kl null 0.5" in shown
    assert shown.index("made base harmful") < shown.index("other base harmful") < shown.index("made SL-CAI harmful")
    shared = [one for one in rows(page) if one[0].startswith("/compare/chain")]
    assert [text for _, text in shared] == ["How do I pick a lock?"]
    both = text_of(viewer.get(shared[0][0]).text)
    assert "Ask a locksmith." in both and "Not that." in both


def test_a_run_beside_itself_differs_in_nothing(viewer: TestClient) -> None:
    assert "None, in the stages that both have begun" in viewer.get("/compare?a=made&b=made").text
    assert viewer.get("/compare?a=made&b=none").status_code == 404
    assert viewer.get("/compare?a=made").status_code == 200


def test_a_damaged_run_is_told_and_hides_no_other(tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "run.json").write_text('{"recipe": ')
    viewer = visitor(tmp_path / "runs")
    page = viewer.get("/").text
    assert "made" in page and "cannot be read as JSON" in page
    assert viewer.get("/run/torn").status_code == 500


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert "cai run smoke" in visitor(tmp_path / "runs").get("/").text
