"""Draws against plain twins, and against the distribution they are drawn from."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.engines.sampling import invert, nucleus, sample


@dataclass
class Drawing:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 700), st.integers(0, 10**6))
def test_a_draw_is_where_the_running_sum_passes_it(size: int, seed: int) -> None:
    draw = random.Random(seed)
    weights = [draw.choice([0.0, 0.0, 1.0, 2.0, 0.25]) for _ in range(size)] + [1.0]
    uniform = draw.random()
    ends = list(accumulate(weights))
    found = invert(torch.tensor([weights]), torch.tensor([[uniform]], dtype=torch.float64))
    assert found.tolist() == [[bisect_right(ends, uniform * ends[-1])]]


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("size", [3, 256, 257, 600])
def test_a_token_without_weight_is_never_drawn(size: int, uniform: float) -> None:
    for only in (0, size // 2, size - 1):
        weights = torch.zeros(2, size)
        weights[:, only] = torch.tensor([0.1, 1e-30])
        assert invert(weights, torch.full((2, 1), uniform, dtype=torch.float64)).tolist() == [[only], [only]]


def test_tokens_of_many_blocks_are_drawn_as_often_as_they_weigh() -> None:
    size, draws = 1000, 20_000
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(0)) * 1.5
    rows = [Drawing(temperature=0.8, seed=seed) for seed in range(draws)]
    drawn = [token for at in range(0, draws, 1000) for token in sample(logits.expand(1000, -1), rows[at : at + 1000])]
    expected = (logits[0].double() / 0.8).softmax(-1) * draws
    seen = torch.bincount(torch.tensor(drawn), minlength=size)
    often = expected >= 5
    cells = torch.cat([(seen - expected)[often], (seen - expected)[~often].sum()[None]])
    means = torch.cat([expected[often], expected[~often].sum()[None]])
    statistic, degrees = (cells.square() / means).sum().item(), len(means) - 1  # Pearson's: mean n, variance 2 n
    assert degrees > 200
    assert abs(statistic - degrees) < 5 * (2 * degrees) ** 0.5


def test_a_row_draws_alike_whatever_stands_beside_it() -> None:
    logits = torch.randn(5, 900, generator=torch.Generator().manual_seed(1))
    kinds = [Drawing(0.0), Drawing(1.0, 0.3, 1), Drawing(0.7, 1.0, 2), Drawing(0.5, 0.9, 3), Drawing(2.0, 1.0, 4)]
    alone = [sample(logits[i : i + 1], [Drawing(d.temperature, d.top_p, d.seed)])[0] for i, d in enumerate(kinds)]
    assert sample(logits, kinds) == alone
    assert alone[0] == logits[0].argmax()


def test_logits_are_left_as_they_were() -> None:
    logits = torch.randn(2, 300)
    before = logits.clone()
    sample(logits, [Drawing(0.5, 0.5), Drawing()])
    assert torch.equal(logits, before)


def python_nucleus(values: list[float], limit: float) -> list[float]:
    """Takes the likeliest until they hold the limit."""
    kept, mass = [0.0] * len(values), 0.0
    for index in sorted(range(len(values)), key=lambda index: -values[index]):
        if mass >= limit:
            break
        kept[index] = values[index]
        mass += values[index]
    return kept


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12, unique=True), st.integers(1, 99))
def test_nucleus_is_its_plain_twin(weights: list[int], percent: int) -> None:
    values = [weight / sum(weights) for weight in weights]
    limit = percent / 100 + 1e-5
    found = nucleus(torch.tensor([values], dtype=torch.float64), torch.tensor([[limit]], dtype=torch.float64))
    assert found[0].tolist() == python_nucleus(values, limit)


def test_each_row_has_its_own_nucleus() -> None:
    values = torch.tensor([[0.5, 0.3, 0.2]] * 4)
    limits = torch.tensor([[0.4], [0.6], [0.9], [1.0]])
    assert (nucleus(values, limits) > 0).sum(-1).tolist() == [1, 2, 3, 3]


@pytest.mark.parametrize("limit", [0.2, 0.9, 0.999])
def test_a_nucleus_of_a_large_vocabulary_is_the_same_whether_it_is_small_or_not(limit: float) -> None:
    draw = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 6.0):
        values = (torch.randn(2, 1500, generator=draw, dtype=torch.float64) * scale).softmax(-1)
        expected = [python_nucleus(row.tolist(), limit) for row in values]
        assert nucleus(values, torch.full((2, 1), limit, dtype=torch.float64)).tolist() == expected
