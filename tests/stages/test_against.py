"""Two evaluations beside each other: what fell, by how much, and when a command says so."""

from __future__ import annotations

import re

import pytest
from evaluation_data import classified, evaluation, harm, match, over_refusal

from cai.against import METRICS, Fall, allowances, falls
from cai.errors import InputError
from cai.evaluation import Evaluation
from cai.records import Does


def rated(values: list[float]) -> Evaluation:
    return Evaluation(harms=[harm("RL-CAI", place, value) for place, value in enumerate(values)])


def fall(ours: Evaluation, theirs: Evaluation, **allowed: float) -> Fall:
    (found,) = falls(ours, theirs, ["RL-CAI"], allowed, 500)
    return found


def test_a_fall_by_hand() -> None:
    """Harmfulness 1.6 and 2.0 in place of 1.0 and 1.2: harmlessness is 0.15 or 0.2 lower, 0.175 in the mean."""
    found = fall(rated([1.6, 2.0] * 10), rated([1.0, 1.2] * 10), harmlessness=0.05)
    assert found.change.estimate.value == pytest.approx(-0.175)
    assert found.too_far
    interval = r"\[0\.1\d, 0\.\d\d\]"
    told = rf"RL-CAI: harmlessness fell by 0\.1[78] {interval} on 20 prompts, more than 0\.05"
    assert re.fullmatch(told, found.sentence)


@pytest.mark.parametrize(
    ("ours", "allowed", "too_far", "said"),
    [
        ([1.4] * 20, 0.2, False, "fell by 0.10 [0.10, 0.10] on 20 prompts, no more than 0.2"),
        ([0.6] * 20, 0.0, False, "rose by 0.10 [0.10, 0.10] on 20 prompts"),
        ([1.0] * 20, 0.0, False, "no difference can be told from 20 prompts"),
        ([1.0] * 17 + [4.0] * 3, 0.0, False, "no difference can be told from 20 prompts"),
        ([4.0] * 9, 0.0, False, "no difference can be told from 9 prompts"),
        ([4.0] * 20, 0.1, True, "more than 0.1"),
    ],
)
def test_only_what_the_prompts_tell_is_too_far(ours: list[float], allowed: float, too_far: bool, said: str) -> None:
    found = fall(rated(ours), rated([1.0] * 20), harmlessness=allowed)
    assert found.too_far is too_far
    assert said in found.sentence


def test_only_prompts_that_both_asked_count() -> None:
    ours = Evaluation(harms=[harm("RL-CAI", place, 2.0) for place in range(5, 25)])
    assert fall(ours, rated([1.0] * 20)).change.estimate.n == 15


def test_a_check_that_cannot_be_made_does_not_pass() -> None:
    with pytest.raises(InputError, match="share no prompt with this figure; both need the suite 'over_refusal'"):
        falls(rated([1.0] * 12), rated([1.0] * 12), ["RL-CAI"], {"safe_compliance": 0.1}, 100)


@pytest.mark.parametrize("given", ["harm=0.1", "harmlessness", "harmlessness=x", "harmlessness=-0.1", "harmlessness=2"])
def test_an_allowance_names_a_figure_and_a_share(given: str) -> None:
    with pytest.raises(InputError, match="expected NAME=SHARE from 0 to 1, with one of harmlessness"):
        allowances([given])


def test_a_collapse_that_too_few_prompts_show_is_no_pass() -> None:
    found = fall(rated([4.0] * 9), rated([0.0] * 9), harmlessness=0.05)
    assert not found.too_far and found.unmade == "9 prompts can't tell a fall of any size; 10 are needed"
    assert found.sentence.endswith("so 0.05 can't be checked")


def test_a_fall_that_is_too_far_and_may_be_chance_is_no_pass() -> None:
    """On 3 of 20 prompts from 1 to 4: harmlessness 0.11 lower in the mean."""
    ours, theirs = rated([1.0] * 17 + [4.0] * 3), rated([1.0] * 20)
    found = fall(ours, theirs, harmlessness=0.05)
    assert not found.too_far
    assert found.unmade.startswith("it is 0.11 lower, more than 0.05, and 20 prompts are too few to tell")
    assert fall(ours, theirs, harmlessness=0.2).unmade == "", "what was seen is within what is allowed"
    assert fall(ours, theirs).unmade == "", "nothing is to be checked"


def test_no_fall_on_enough_prompts_passes() -> None:
    found = fall(rated([1.0] * 10), rated([1.0] * 10), harmlessness=0.0)
    assert not found.too_far and found.unmade == ""


def test_every_model_is_checked_and_not_base_alone() -> None:
    base = Evaluation(harms=[harm("base", place, 1.0) for place in range(12)])
    with pytest.raises(InputError, match="share no prompt with this figure of SL-CAI, RL-CAI; both need the suite"):
        falls(base, base, ["base", "SL-CAI", "RL-CAI"], {"harmlessness": 0.1}, 100)
    played = Evaluation(matches=[match(place, "base", "RL-CAI", 0.5) for place in range(12)])
    (found,) = falls(played, played, ["base", "RL-CAI"], {"harmless_wins": 0.1}, 100)
    assert found.model == "RL-CAI", "base wins nothing against itself"


def test_allowances_are_read() -> None:
    assert allowances(["harmlessness=0.05", "helpfulness=0"]) == {"harmlessness": 0.05, "helpfulness": 0.0}


def test_every_figure_by_hand() -> None:
    does: list[Does] = ["full refusal", "partial refusal", "compliance", "compliance"]
    found = Evaluation(
        harms=[harm("RL-CAI", 0, 1.0), harm("RL-CAI", 1, None), harm("base", 0, 4.0)],
        matches=[match(0, "base", "RL-CAI", 0.1), match(0, "base", "RL-CAI", 0.9, "helpful")],
        classified=[
            *(classified("RL-CAI", place, one, "helpful") for place, one in enumerate(does)),
            *(classified("RL-CAI", place, one, evasive=0.9) for place, one in enumerate(does)),
        ],
        borderline=[
            over_refusal("RL-CAI", place, safe, one) for safe in (True, False) for place, one in enumerate(does)
        ],
    )
    values = {name: list(metric.of(found, "RL-CAI").values()) for name, metric in METRICS.items()}
    assert values == {
        "harmlessness": [0.75],
        "harmless_wins": [1.0],
        "helpfulness": [0.0],
        "answering": [0.0, 0.0, 1.0, 1.0],
        "openness": [0.0, 0.0, 1.0, 1.0],
        "safe_compliance": [0.0, 0.0, 1.0, 1.0],
        "unsafe_refusal": [1.0, 0.0, 0.0, 0.0],
    }


def test_an_evaluation_does_not_differ_from_itself() -> None:
    same = evaluation()
    found = falls(same, same, ["base", "SL-CAI", "RL-CAI"], dict.fromkeys(METRICS, 0.0), 100)
    assert {one.metric for one in found} == METRICS.keys()
    assert not any(one.too_far or one.change.told for one in found)
