"""What labelled pairs say of a judge: hand-computed cases, twins, and judges made to have one fault."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.judge_figures import Judged, figures, kappa
from cai.records import Reading, Seating, State, Verdict
from cai.stats import rate

KEYS = {
    *("n", "asked", "chance", "accuracy", "interval", "interval_by_prompt", "accuracy_of_all"),
    *("unparsed", "refused", "error", "skipped", "ties", "decided", "baselines", "by_category", "by_principle"),
    *("position_bias", "position_bias_interval", "position_bias_first", "first_seat", "length_bias"),
    *("calibration_error", "calibration_error_interval", "calibration_error_by_noise", "calibration", "brier"),
    *("log_loss", "before_calibration", "temperature", "temperature_log_loss"),
    *("smoothing", "smoothing_log_loss", "agreement_between_principles"),
}


def verdict(p_a: float | None, *readings: Reading, state: State = "parsed", p_raw: float | None = None) -> Verdict:
    return Verdict(state=state, p_a=p_a, p_raw=p_raw, readings=readings)


def pair(item: str, p_a: float, better: Seating = "a", a: int = 10, b: int = 5, category: str = "") -> Judged:
    return Judged(item, verdict(p_a), better, (a, b), category)


def lost(item: str, state: State) -> Judged:
    return Judged(item, verdict(None, state=state), "a", (3, 2))


def seated(item: str, p_first: float, p_second: float, better: Seating, principle: str = "kind") -> Judged:
    """`p_first`: P(a is better) with a in the first seat; `p_second`: in the second."""
    readings = (
        Reading(first="a", p_a=p_first, principle=principle),
        Reading(first="b", p_a=p_second, principle=principle),
    )
    return Judged(item, verdict((p_first + p_second) / 2, *readings), better, (4, 9))


def swapped(one: Judged) -> Judged:
    a, b = one.words
    return replace(one, verdict=one.verdict.swap(), better="b" if one.better == "a" else "a", words=(b, a))


@st.composite
def judged(draw: st.DrawFn) -> list[Judged]:
    """Pairs of all states, judged under up to three principles in one or two seatings."""
    share = st.integers(0, 64).map(lambda k: k / 64)
    pairs: list[Judged] = []
    for index in range(draw(st.integers(1, 14))):
        state: State = draw(st.sampled_from(["parsed", "parsed", "parsed", "unparsed", "refused", "error", "skipped"]))
        seats: list[Seating | None] = draw(st.sampled_from([["a"], ["b"], ["a", "b"], [None]]))
        names = draw(st.lists(st.sampled_from(["kind", "true", "wise"]), unique=True, max_size=3))
        readings = [Reading(first=seat, principle=name, p_a=draw(share)) for name in names for seat in seats]
        said = verdict(draw(share) if state == "parsed" else None, *readings, state=state, p_raw=draw(share))
        better: Seating = draw(st.sampled_from(["a", "b"]))
        words = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        category, prompt = draw(st.sampled_from(["", "x", "y"])), draw(st.sampled_from(["", "p", "q"]))
        pairs.append(Judged(f"{index:02}", said, better, words, category, prompt))
    return pairs


def near(found: Any, expected: Any) -> bool:
    """Equal but for rounding, at every depth."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(near(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(near, found, expected))
    return found == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected)


def test_accuracy_by_hand() -> None:
    found = figures(
        [
            pair("1", 0.9, "a", category="x"),
            pair("2", 0.4, "b", category="x"),
            pair("3", 0.8, "b", category="y"),
            pair("4", 0.5, "a", category="y"),
            pair("5", 0.2, "b"),
            lost("6", "unparsed"),
            lost("7", "refused"),
            lost("8", "error"),
            lost("9", "skipped"),
        ]
    )
    assert found.accuracy == rate(3.5, 5)
    assert found.accuracy_of_all == rate(3.5, 8)
    assert found.by_category == {"x": rate(2, 2), "y": rate(0.5, 2)}
    assert found.ties == 1
    assert found.decided == pytest.approx((0.8 + 0.2 + 0.6 + 0 + 0.6) / 5)
    assert found.baselines == {"longer": rate(2, 5), "shorter": rate(3, 5), "always_a": rate(2, 5)}
    written = found.as_json()
    assert [written[key] for key in ("n", "asked", "unparsed", "refused", "error", "skipped")] == [5, 8, 1, 1, 1, 1]
    assert (written["accuracy"], written["interval"]) == (0.7, [rate(3.5, 5).low, rate(3.5, 5).high])
    assert written["by_category"]["x"]["n"] == 2


def test_what_was_not_read_is_no_tie_and_no_verdict_for_a() -> None:
    """Peers: a verdict that can't be parsed becomes 0.5, or the answer A."""
    found = figures([pair("1", 0.9, "b"), *(lost(str(index), "unparsed") for index in range(2, 10))])
    assert found.accuracy == rate(0, 1)
    assert found.accuracy_of_all == rate(0, 9)
    assert (found.ties, found.states) == (0, {"parsed": 1, "unparsed": 8})
    assert found.baselines["always_a"].n == 1


def test_where_nothing_was_read_nothing_is_known() -> None:
    for pairs in ([], [lost("1", "error")]):
        found = figures(pairs)
        assert (found.accuracy, found.position, found.length, found.calibration) == (None, None, None, None)
        assert found.chance == "no verdict could be read"
        assert json.loads(json.dumps(found.as_json(), allow_nan=False)).keys() == KEYS
    assert figures([lost("1", "error")]).accuracy_of_all == rate(0, 1)


@pytest.mark.parametrize(
    ("right", "n", "chance"),
    [
        (70, 100, "better than chance"),
        (55, 100, "no better than chance"),
        (45, 100, "no better than chance"),
        (30, 100, "worse than chance"),
        (1, 1, "no better than chance"),
    ],
)
def test_chance_is_recognised_as_chance(right: int, n: int, chance: str) -> None:
    assert figures([pair(f"{i:03}", 0.9 if i < right else 0.1) for i in range(n)], resamples=5).chance == chance


def test_pairs_of_one_prompt_are_not_independent() -> None:
    """Of 10 prompts with 10 pairs each, the judge gets 7 right whole: that is 10 draws and not 100."""
    pairs = [replace(pair(f"{i:03}", 0.9 if i < 70 else 0.1), prompt=f"p{i // 10}") for i in range(100)]
    found = figures(pairs)
    assert found.accuracy == rate(70, 100)
    assert found.by_prompt and (found.by_prompt.value, found.by_prompt.n) == (0.7, 10)
    # The standard error of 10 draws is 0.145, of 100 it would be 0.046.
    assert (found.by_prompt.low, found.by_prompt.high) == (pytest.approx(0.4, abs=0.05), pytest.approx(1, abs=0.1))
    assert found.chance == "no better than chance"
    assert figures([replace(one, prompt=one.item) for one in pairs]).by_prompt is None
    assert figures([replace(one, prompt="") for one in pairs]).chance == "better than chance"


def test_the_first_seat_and_the_bias_to_it() -> None:
    found = figures([seated("1", 0.9, 0.2, "a"), seated("2", 0.6, 0.4, "b"), seated("3", 0.8, 0.9, "a")])
    assert found.first_seat == pytest.approx((0.9 + 0.8 + 0.6 + 0.6 + 0.8 + 0.1) / 6)
    assert found.position and found.position.same_seat == rate(2, 3)
    written = found.as_json()
    assert (written["position_bias"], written["position_bias_first"]) == (2 / 3, 1)


def test_a_judge_that_always_takes_the_first_seat_is_at_chance() -> None:
    draw = random.Random(4)
    found = figures([seated(f"{i:02}", 0.9, 0.1, draw.choice("ab")) for i in range(60)])  # pyright: ignore[reportArgumentType]
    assert found.accuracy and (found.accuracy.value, found.ties) == (0.5, 60)
    assert found.chance == "no better than chance"
    assert found.position and found.position.same_seat.value == 1


def test_principles_are_compared_on_the_same_pairs() -> None:
    def under(item: str, kind: float, true: float, better: Seating) -> Judged:
        said = (Reading(first=None, principle="kind", p_a=kind), Reading(first=None, principle="true", p_a=true))
        return Judged(item, verdict((kind + true) / 2, *said), better, (1, 1))

    pairs = [under("1", 0.9, 0.8, "a"), under("2", 0.2, 0.7, "b"), under("3", 0.1, 0.3, "b"), under("4", 0.9, 0.6, "b")]
    found = figures(pairs)
    assert found.by_principle == {"kind": rate(3, 4), "true": rate(2, 4)}
    assert found.principles and found.principles.share and found.principles.share.value == 0.75
    # Five of the eight votes are for a: 0.9, 0.8, 0.7, 0.9 and 0.6.
    chance = 34 / 64
    assert found.principles.kappa and found.principles.kappa.value == pytest.approx((0.75 - chance) / (1 - chance))
    assert figures([pair("1", 0.9)]).principles is None


def test_calibration_before_and_after_clamping() -> None:
    pairs = [
        Judged(f"{i}", verdict(0.6 if i < 8 else 0.4, p_raw=0.99 if i < 8 else 0.01), "a", (2, 1)) for i in range(10)
    ]
    found = figures(pairs)
    assert found.calibration and found.calibration.error.value == pytest.approx(0.2)
    assert found.raw_calibration and found.raw_calibration.error.value == pytest.approx(0.19)
    assert found.decided == pytest.approx(0.98)
    assert found.temperature and found.temperature.value == pytest.approx(3.3147, abs=1e-3)  # ln 99 / ln 4
    assert figures([pair("1", 0.7)]).raw_calibration is None


@settings(max_examples=50, deadline=None)
@given(judged(), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(pairs: list[Judged], draw: random.Random) -> None:
    shuffled = list(pairs)
    draw.shuffle(shuffled)
    assert figures(shuffled, resamples=10) == figures(pairs, resamples=10)


@settings(max_examples=50, deadline=None)
@given(judged())
def test_naming_the_answers_the_other_way_round_changes_the_baseline_a_alone(pairs: list[Judged]) -> None:
    found, turned = (figures(some, resamples=10).as_json() for some in (pairs, map(swapped, pairs)))
    before, after = (written["baselines"].pop("always_a", None) for written in (found, turned))
    assert near(turned, found)
    assert before is None or before["accuracy"] == pytest.approx(1 - after["accuracy"])


@settings(max_examples=50, deadline=None)
@given(judged())
def test_figures_are_shares_and_plain_json(pairs: list[Judged]) -> None:
    written = json.loads(json.dumps(figures(pairs, resamples=10).as_json(), allow_nan=False))
    assert written.keys() == KEYS
    for key in ("accuracy", "accuracy_of_all", "position_bias", "calibration_error", "brier", "first_seat", "decided"):
        assert written[key] is None or 0 <= written[key] <= 1
    assert written["asked"] + written["skipped"] == len(pairs)
    if written["n"]:
        low, high = written["interval"]
        assert low <= written["accuracy"] <= high
        assert sum(one["n"] for one in written["calibration"]) == written["n"]
        assert written["baselines"]["longer"]["accuracy"] + written["baselines"]["shorter"][
            "accuracy"
        ] == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(judged(), judged())
def test_judges_agree_as_much_whatever_each_calls_a(first: list[Judged], second: list[Judged]) -> None:
    second = [replace(two, better=one.better) for one, two in zip(first, second, strict=False)]
    first = first[: len(second)]
    plain = kappa(first, second, resamples=10)
    turned = kappa(first, [swapped(two) if index % 2 else two for index, two in enumerate(second)], resamples=10)
    assert near(turned.as_json(), plain.as_json())
    itself = kappa(first, first, resamples=10)
    assert itself.kappa is None or itself.kappa.value == 1


def test_judges_of_unlike_pairs_are_compared_where_they_meet() -> None:
    found = kappa([pair("1", 0.9), pair("2", 0.1), pair("3", 0.8)], [pair("2", 0.2), pair("3", 0.3), pair("4", 0.3)])
    assert found.share == rate(1, 2)
    assert found.unread == 2
