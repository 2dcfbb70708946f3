"""People's labels beside a run: kept as they came, the last counts, and set beside the judge's."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai.agreement import cohens_kappa, fleiss_kappa
from cai.errors import InputError, StoreError
from cai.labels import HumanLabel, add, agreements, checked_name, in_turn, labels_of, seated_first
from cai.store import RunFolder


def label(comparison: str, labeller: str = "ana", choice: str = "a", **more: object) -> HumanLabel:
    return HumanLabel.of(comparison, labeller, choice, **more)  # type: ignore[arg-type]


def test_labels_are_kept_by_labeller_and_the_last_counts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "made")
    assert labels_of(run) == {}
    assert add(run, [label("1"), label("2", choice="tie"), label("1", "ben"), label("1", choice="b")]) == 4
    said = labels_of(run)
    assert {name: {key: one.choice for key, one in labels.items()} for name, labels in said.items()} == {
        "ana": {"1": "b", "2": "tie"},
        "ben": {"1": "a"},
    }
    assert (run.path / "labels" / "ana.jsonl").read_text("utf-8").count("\n") == 3


def test_what_is_stored_already_is_not_stored_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "made")
    add(run, [label("1", note="x")])
    assert add(run, [label("1", note="x", seconds=3.0)]) == 0
    assert add(run, [label("1", note="y")]) == 1


def test_a_torn_last_line_is_dropped_and_a_bad_one_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "made")
    add(run, [label("1")])
    path = run.path / "labels" / "ana.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "2/ana", "compar')
    assert list(labels_of(run)["ana"]) == ["1"]
    add(run, [label("3")])
    assert list(labels_of(run)["ana"]) == ["1", "3"]
    path.write_text("{}\n")
    with pytest.raises(StoreError, match=r"ana\.jsonl:1"):
        labels_of(run)


@pytest.mark.parametrize("name", ["ana", "Ana.B-2_x", "ana@example.org", "7"])
def test_names_of_people_and_addresses_are_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-ana", "a/b", "a b", "a\nb", "\u00e4", "x" * 61, "ana\n"])
def test_what_could_be_a_path_or_an_option_is_no_name(name: str) -> None:
    with pytest.raises(InputError, match="no name of a labeller"):
        checked_name(name)


def test_seats_and_orders_are_drawn_for_each_labeller_and_stay() -> None:
    keys = [f"{n}/0-1" for n in range(400)]
    share = sum(seated_first(key, "ana") == "a" for key in keys) / len(keys)
    assert 0.42 < share < 0.58
    assert [seated_first(key, "ana") for key in keys] != [seated_first(key, "ben") for key in keys]
    assert in_turn(keys, "ana") == in_turn(keys[::-1], "ana") != in_turn(keys, "ben")
    assert sorted(in_turn(keys, "ana")) == sorted(keys)


JUDGE = {"1": 0.9, "2": 0.2, "3": 0.6, "4": None, "5": 0.5}
VOTES = {
    "ana": {"1": "a", "2": "b", "3": "b", "4": "a", "5": "a"},
    "ben": {"1": "a", "2": "a", "3": "tie", "4": "skip", "6": "b"},
    "cyn": {"1": "a", "2": "b", "3": "b"},
}


def votes() -> dict[str, dict[str, HumanLabel]]:
    return {name: {key: label(key, name, said) for key, said in some.items()} for name, some in VOTES.items()}


def test_agreement_with_the_judge_is_counted_by_hand() -> None:
    found = agreements(votes(), JUDGE, resamples=200)
    ana, ben, _ = found.voices
    assert ana.judge.share and (ana.judge.share.value, ana.judge.share.n) == (pytest.approx(2 / 3), 3)
    assert (ana.judge.ties, ana.judge.unread) == (1, 1)  # the judge's tie on 5, what it did not read of 4
    assert ben.judge.share and (ben.judge.share.value, ben.judge.share.n) == (0.5, 2)
    assert (ben.judge.ties, ben.judge.unread) == (1, 2)  # ben's own tie; what was skipped, and a pair not judged
    assert dict(ana.choices) == {"a": 3, "b": 2}


def test_agreement_between_people_is_that_of_the_kappas() -> None:
    found = agreements(votes(), JUDGE, resamples=200)
    between = {(one, other): agreement for one, other, agreement in found.pairs}
    assert between[("ana", "ben")] == cohens_kappa([1, 0, 0, 1], [1, 1, 0.5, None], resamples=200)
    assert found.all == fleiss_kappa([[1, 1, 1], [0, 1, 0], [0, 0.5, 0], [1], [1], [0]], resamples=200)
    assert agreements({name: votes()[name] for name in ("ana", "ben")}, JUDGE).all is None
    assert agreements({}, JUDGE).voices == ()


@pytest.mark.parametrize(("choice", "p"), [("a", 1.0), ("b", 0.0), ("tie", 0.5), ("skip", None)])
def test_a_choice_is_a_probability(choice: str, p: float | None) -> None:
    assert label("1", choice=choice).p_a == p
