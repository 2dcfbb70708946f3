"""Roomy storage holds what transformers' growing cache holds."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, DynamicCache, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicLayer

from cai.engines.decode import Decoder, Row
from cai.engines.kv import RoomyLayer, in_place, roomy_cache
from cai.weights import TINY, resolve


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_a_roomy_layer_is_a_growing_one(rows: int, seed: int) -> None:
    draw = random.Random(seed)
    roomy, plain = RoomyLayer(), DynamicLayer()
    for _ in range(12):
        states = torch.randn(2, rows, 2, draw.choice([1, 1, 1, 5, 70]), 4)
        for found, expected in zip(roomy.update(*states), plain.update(*states), strict=True):
            assert torch.equal(found, expected)
        assert roomy.get_seq_length() == plain.get_seq_length()
        if rows > 1 and draw.random() < 0.4:
            kept = in_place(sorted(draw.sample(range(rows), draw.randint(1, rows - 1))))
            rows = len(kept)
            for layer in (roomy, plain):
                layer.reorder_cache(torch.tensor(kept))  # type: ignore[arg-type]
    assert torch.equal(roomy.values, plain.values)  # type: ignore[arg-type]


@given(st.sets(st.integers(0, 20), min_size=1))
def test_rows_stay_in_place_where_they_can(kept: set[int]) -> None:
    order = in_place(sorted(kept))
    assert set(order) == kept
    assert all(row == at for at, row in enumerate(order) if at in kept)


@torch.inference_mode()
def test_a_model_says_the_same_with_either_cache() -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=torch.float32).eval()
    roomy, plain = roomy_cache(model), DynamicCache()
    for width in (7, 1, 1, 80, 1):
        ids = torch.randint(3, 200, (3, width))
        logits = [model(input_ids=ids, past_key_values=cache).logits for cache in (roomy, plain)]
        torch.testing.assert_close(*logits, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("window", [8, None])
def test_a_family_that_shares_nothing_is_decoded_as_transformers_does(window: int | None) -> None:
    """Among them layers that see only a window of the past."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=window, initializer_range=0.3, pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    model: Any = MistralForCausalLM(config).eval()
    prompts = [[*range(3, 43)], [*range(3, 40), 9, 8, 7, 6], [5, 6, 7]]
    rows = [Row(ids, 6 + at, 0.0, 1.0, 0) for at, ids in enumerate(prompts)]
    Decoder(model, frozenset(), lambda: False).sample(rows, lambda row: False)
    for row in rows:
        whole = model.generate(torch.tensor([row.ids]), do_sample=False, max_new_tokens=row.max_tokens)
        assert row.tokens == whole[0, len(row.ids) :].tolist()
        assert row.cached == 0
