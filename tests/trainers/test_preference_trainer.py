"""In which order rows are read, and what a batch holds."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cai.preferences import Preference
from cai.trainers.preference_rows import Learned
from cai.trainers.preference_trainer import ByStep, GroupCollator, dataset

GROUPS = [
    Learned(([5, 6, 7], [[8], [9, 10]]), (Preference(0, 1, 0.9),)),
    Learned(([5], [[8, 9], [10], [11]]), (Preference(0, 1, 0.7, 0.5, 2.0), Preference(2, 0, 0.1))),
]


def steps(order: list[int], step: int) -> list[list[int]]:
    return [order[start : start + step] for start in range(0, len(order), step)]


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_step_holds_rows_drawn_by_seed_from_long_to_short(lengths: list[int], step: int, seed: int) -> None:
    sampler = ByStep(lengths, step, seed)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths))) and len(sampler) == len(lengths)
    assert order == list(ByStep(lengths, step, seed))
    unsorted = list(ByStep([1] * len(lengths), step, seed))
    for ours, theirs in zip(steps(order, step), steps(unsorted, step), strict=True):
        assert sorted(ours) == sorted(theirs)
        assert [lengths[row] for row in ours] == sorted((lengths[row] for row in ours), reverse=True)


def test_each_pass_has_an_order_of_its_own() -> None:
    sampler, orders = ByStep([1] * 50, 5, 3), []
    for epoch in (0, 1, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[3] != orders[1] == orders[2]
    assert orders[0] != list(ByStep([1] * 50, 5, 4))


@pytest.mark.parametrize("width", [None, 576])
def test_a_batch_by_hand(width: int | None) -> None:
    rows: list[Any] = list(dataset(GROUPS))
    batch = GroupCollator(0, width)(rows)
    if width is None:
        assert batch["input_ids"].tolist() == [
            [5, 6, 7, 8, 0],
            [5, 6, 7, 9, 10],
            [5, 8, 9, 0, 0],
            [5, 10, 0, 0, 0],
            [5, 11, 0, 0, 0],
        ]
        assert batch["attention_mask"].sum(1).tolist() == [4, 5, 3, 2, 2]
    else:
        assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9, 10], [5, 8, 9, 10, 11, 0]]
        assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 3, 4], [0, 1, 2, 1, 1, 0]]
        assert batch["segments"].tolist() == [[0, 0, 0, 1, 2, 2], [0, 1, 1, 2, 3, -1]]
        assert batch["ends"].tolist() == [[0, 3], [0, 5], [1, 2], [1, 3], [1, 4]]
    pairs = {name: column.tolist() for name, column in batch["pairs"].items()}
    assert (pairs["a"], pairs["b"]) == ([0, 2, 4], [1, 3, 2])
    assert pairs["p"] == pytest.approx([0.9, 0.7, 0.1])
    assert (pairs["margin"], pairs["weight"], pairs["share"]) == ([0, 0.5, 0], [1, 2, 1], [1, 0.5, 0.5])
    assert batch["tokens"] == torch.tensor(16)
