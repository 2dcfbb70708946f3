"""The human check in the viewer: blind, shuffled, kept as records, and compared with the judge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from view_data import comparison, stored, unread, visitor

from cai.labels import HumanLabel, in_turn, labels_of, seated_first
from cai.records import Comparison
from cai.store import RunFolder

ORIGIN = {"origin": "http://127.0.0.1:8321"}


@pytest.fixture
def pairs() -> list[Comparison]:
    texts = [(f"Zürich {n}.", f"Yokohama {n}.") for n in range(12)]
    made = [comparison(f"Which {n}?", n - 5.5, *both) for n, both in enumerate(texts)]
    return [*made, unread("Identical?", "skipped")]


@pytest.fixture
def run(tmp_path: Path, pairs: list[Comparison]) -> RunFolder:
    return stored(tmp_path / "runs", "made", {"compare": pairs})


def shown(viewer: TestClient, labeller: str, more: str = "") -> dict[str, str]:
    page = viewer.get(f"/run/made/label?as={labeller}&n=12{more}").text
    fields = dict(re.findall(r'name="(csrf|comparison|since|as|n)" value="([^"]*)"', page))
    return {**fields, "page": page}


def pick(viewer: TestClient, labeller: str, choice: str, note: str = "", more: str = "") -> str:
    fields = shown(viewer, labeller, more)
    fields.pop("page")
    assert (
        viewer.post("/run/made/label", data={**fields, "choice": choice, "note": note}, headers=ORIGIN).status_code
        == 303
    )
    return fields["comparison"]


def test_a_sample_is_labelled_pair_by_pair_until_its_end(run: RunFolder, pairs: list[Comparison]) -> None:
    viewer = visitor(run.root)
    seen = [pick(viewer, "ana", ("first", "second", "tie", "skip")[n % 4], note=f"note {n}") for n in range(12)]
    assert seen == in_turn([one.id for one in pairs[:12]], "ana")
    assert "All of this sample are labelled" in viewer.get("/run/made/label?as=ana&n=12").text
    said = labels_of(run)["ana"]
    for n, key in enumerate(seen):
        first = seated_first(key, "ana")
        expected = (first, "b" if first == "a" else "a", "tie", "skip")[n % 4]
        assert (said[key].choice, said[key].first, said[key].note) == (expected, first, f"note {n}")
        assert 0 <= (said[key].seconds or 0) < 60
    lines = (run.path / "labels" / "ana.jsonl").read_text("utf-8").splitlines()
    assert [HumanLabel.model_validate_json(line).comparison for line in lines] == seen


def test_the_page_is_blind_and_the_seats_are_drawn(run: RunFolder, pairs: list[Comparison]) -> None:
    viewer, firsts = visitor(run.root), []
    for n, one in enumerate(pairs[:12]):
        page = shown(viewer, "ana", f"&pair={one.id}")["page"]
        assert f"Which {n}?" in page
        main = page[page.index("<main") : page.index("</main>")]
        assert not re.search(r"privacy|samples|P\(a|verdict|readings|0\.\d{3}|harmful", main)
        first = "a" if main.index(f"Zürich {n}.") < main.index(f"Yokohama {n}.") else "b"
        assert first == seated_first(one.id, "ana")
        firsts.append(first)
    assert set(firsts) == {"a", "b"}


def test_labellers_see_the_same_pairs_in_orders_of_their_own(pairs: list[Comparison]) -> None:
    keys = [one.id for one in pairs]
    assert in_turn(keys, "ana") != in_turn(keys, "ben")
    assert sorted(in_turn(keys, "ana")) == sorted(in_turn(keys, "ben")) == sorted(keys)


def test_a_label_can_be_changed_and_both_are_kept(run: RunFolder) -> None:
    viewer = visitor(run.root)
    key = pick(viewer, "ana", "first")
    pick(viewer, "ana", "tie", more=f"&pair={key}")
    assert labels_of(run)["ana"][key].choice == "tie"
    assert len((run.path / "labels" / "ana.jsonl").read_text("utf-8").splitlines()) == 2
    assert 'class="on"' in shown(viewer, "ana", f"&pair={key}")["page"]


def test_a_torn_label_is_dropped_and_labelling_goes_on(run: RunFolder) -> None:
    viewer = visitor(run.root)
    first = pick(viewer, "ana", "first")
    with (run.path / "labels" / "ana.jsonl").open("a") as file:
        file.write('{"id": "torn')
    second = pick(viewer, "ana", "second")
    assert list(labels_of(run)["ana"]) == [first, second]


def test_agreement_counts_what_the_judge_and_people_prefer(run: RunFolder, pairs: list[Comparison]) -> None:
    viewer = visitor(run.root)
    by_id = {one.id: one for one in pairs}
    for labeller, wrong in (("ana", 0), ("ben", 3)):
        for n in range(12):
            key = shown(viewer, labeller)["comparison"]
            better = "a" if (by_id[key].verdict.p_a or 0) > 0.5 else "b"
            choice = "first" if (better == seated_first(key, labeller)) is (n >= wrong) else "second"
            assert pick(viewer, labeller, choice) == key
    page = " ".join(re.sub(r"<[^>]+>", " ", viewer.get("/run/made/agreement").text).split())
    assert "ana 1.00 [0.76, 1.00] 1.00 [1.00, 1.00] 12 0 0" in page
    assert "ben 0.75 [0.47, 0.91] 0.50" in page
    assert "ana and ben 0.75 [0.47, 0.91] 0.50" in page


def test_a_run_without_comparisons_has_no_label_page(tmp_path: Path) -> None:
    stored(tmp_path / "runs", "made", {"revise": []})
    assert visitor(tmp_path / "runs").get("/run/made/label?as=ana").status_code == 404
