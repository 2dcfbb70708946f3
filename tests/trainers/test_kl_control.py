"""The weight of the KL: fixed, or steered towards a target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.trainers.kl_control import KlControl


@given(st.lists(st.floats(-5, 50), max_size=5))
def test_without_a_target_it_stays(kls: list[float]) -> None:
    control = KlControl(0.02)
    for kl in kls:
        control.update(kl)
    assert control.weight == 0.02


@pytest.mark.parametrize(
    ("kl", "weight"), [(6.0, 0.2), (6.6, 0.2 * 1.01), (60.0, 0.2 * 1.02), (0.0, 0.2 * 0.98), (5.4, 0.2 * 0.99)]
)
def test_it_moves_by_gain_times_the_relative_error_of_up_to_a_fifth(kl: float, weight: float) -> None:
    control = KlControl(0.2, target=6.0, gain=0.1)
    control.update(kl)
    assert control.weight == pytest.approx(weight)


def test_it_brings_a_policy_whose_kl_falls_with_the_weight_to_the_target() -> None:
    control = KlControl(0.001, target=4.0)
    for _ in range(500):
        control.update(1 / control.weight)
    assert 1 / control.weight == pytest.approx(4.0, rel=0.01)


def test_it_goes_on_from_a_checkpoint() -> None:
    control, other = KlControl(0.2, 6.0), KlControl(0.2, 6.0)
    control.update(60.0)
    other.load_state_dict(control.state_dict())
    assert other.weight == control.weight != 0.2
