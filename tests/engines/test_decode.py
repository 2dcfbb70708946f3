"""Sampling and scoring against transformers' own `generate` and against slow twins, on a tiny random model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from cai.engines.decode import Decoder, Row, common_prefix
from cai.engines.labels import Question
from cai.engines.sampling import nucleus
from cai.weights import TINY, resolve

WORDS = 259
LONG = random.Random(7).choices(range(3, WORDS), k=64)
"""Enough tokens to be worth sharing."""
STRANGER = Row([5, 6, 7], 1, 1.0, 1.0, 0)
"""A row that begins as no other here does, so that nothing is shared."""


def load(dtype: torch.dtype = torch.float32) -> Any:
    """The tiny model with attention made sharp, so that what stands where matters."""
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(TINY), dtype=dtype).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            for part, factor in (("q_proj", 12), ("k_proj", 12), ("v_proj", 8), ("o_proj", 8)):
                getattr(layer.self_attn, part).weight.mul_(factor)
    return model


@cache
def plain() -> Any:
    """The model as transformers runs it."""
    return load()


@cache
def decoder(*eos: int) -> Decoder:
    return Decoder(load(), frozenset(eos), lambda: False)


def row(ids: Sequence[int], seed: int = 0, **options: Any) -> Row:
    chosen: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0, "top_p": 1.0, **options}
    return Row(ids, seed=seed, **chosen)


def sampled(*rows: Row, eos: tuple[int, ...] = ()) -> list[list[int]]:
    """The tokens of new rows that are `rows` otherwise."""
    fresh = [Row(row.ids, row.max_tokens, row.temperature, row.top_p, row.seed) for row in rows]
    decoder(*eos).sample(fresh, lambda row: False)
    assert all(row.finish for row in fresh)
    return [row.tokens for row in fresh]


@torch.inference_mode()
def next_logp(ids: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
    return (plain()(torch.tensor([list(ids)])).logits[0, -1].double() / temperature).log_softmax(-1)


@torch.inference_mode()
def slow_score(ids: Sequence[int], tail: Sequence[int]) -> float:
    """One forward pass over the whole text."""
    logp = plain()(torch.tensor([[*ids, *tail]])).logits[0].double().log_softmax(-1)
    return sum(logp[len(ids) + index - 1, token].item() for index, token in enumerate(tail))


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(3, WORDS) for _ in range(draw.randint(1, 50))] for _ in range(count)]


@pytest.mark.parametrize("start", [[], LONG], ids=["nothing shared", "a shared start"])
def test_greedy_replies_are_those_of_transformers(start: list[int]) -> None:
    asked = [start + ids for ids in prompts(6)]
    replies = sampled(*(row(ids, temperature=0.0) for ids in asked), eos=(2,))
    for ids, tokens in zip(asked, replies, strict=True):
        whole = plain().generate(torch.tensor([ids]), do_sample=False, max_new_tokens=8, pad_token_id=0)
        expected = [token for token in whole[0, len(ids) :].tolist() if token != 2]
        assert tokens == expected


def test_a_draw_depends_on_its_prompt_and_seed_and_on_nothing_else() -> None:
    """Not on neighbours, their number, how soon they end, or whether a start is shared with them."""
    wanted = row([*LONG, 9, 8, 7], seed=11, temperature=0.7, top_p=0.9)
    (alone,) = sampled(wanted)
    twins = [row([*LONG, 9, 8, 7], seed=seed, temperature=0.7, top_p=0.9) for seed in range(8)]
    shorter = [row(LONG[:40], seed=seed, max_tokens=seed + 1) for seed in range(5)]
    mixed = [row(ids, seed=3, temperature=0.0) for ids in prompts(7, seed=1)]
    for neighbours in (twins, shorter, mixed, [STRANGER], [*twins, *shorter, *mixed]):
        assert sampled(wanted, *neighbours)[0] == alone
        assert sampled(*neighbours, wanted)[-1] == alone


def test_seeds_give_different_draws_and_the_same_seed_the_same() -> None:
    first = sampled(*(row([3, 4], seed) for seed in range(20)))
    assert len({tuple(tokens) for tokens in first}) == 20
    assert sampled(*(row([3, 4], seed) for seed in range(20))) == first
    assert len({tuple(tokens) for tokens in sampled(*(row([3, 4], seed, temperature=0.0) for seed in range(5)))}) == 1


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.05, 1.0), (0.05, 0.8), (0.1, 0.5)])
def test_tokens_are_drawn_as_often_as_the_model_says(temperature: float, top_p: float) -> None:
    ids, draws = LONG[:9], 3000
    drawn = sampled(*(row(ids, seed, max_tokens=1, temperature=temperature, top_p=top_p) for seed in range(draws)))
    counts = Counter(tokens[0] for tokens in drawn)
    expected = nucleus(next_logp(ids, temperature).exp()[None], torch.tensor([[top_p]]))[0].tolist()
    expected = [value / sum(expected) for value in expected]
    assert {token for token in counts if not expected[token]} == set()
    # Pearson's statistic over the tokens expected at least five times, the rest as one: mean and variance are about
    # its degrees of freedom n and 2 n.
    cells = [(counts[token], draws * value) for token, value in enumerate(expected) if draws * value >= 5]
    cells.append((draws - sum(seen for seen, _ in cells), draws - sum(mean for _, mean in cells)))
    statistic = sum((seen - mean) ** 2 / mean for seen, mean in cells if mean > 1)
    assert len(cells) > 3
    assert statistic < len(cells) + 5 * (2 * len(cells)) ** 0.5


def test_a_reply_ends_at_its_limit() -> None:
    rows = [row([3, 4, 5], seed, max_tokens=seed + 1) for seed in range(6)]
    decoder().sample(rows, lambda row: False)
    assert [len(row.tokens) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row.finish for row in rows} == {"length"}


@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_reply_ends_before_a_token_that_ends_texts(at: int) -> None:
    (free,) = sampled(row([3, 4, 5], seed=1))
    end = free[at]
    first = free.index(end)
    ended, other = row([3, 4, 5], seed=1), row([9], seed=2, max_tokens=2)
    decoder(end).sample([ended, other], lambda row: False)
    assert ended.tokens == free[:first]
    assert ended.finish == "stop"
    assert other.finish is not None


def test_a_reply_ends_where_it_has_met_a_stop() -> None:
    rows = [row([3, 4, 5], seed, max_tokens=6) for seed in (1, 2)]
    decoder().sample(rows, lambda asked: asked is rows[0] and len(asked.tokens) == 3)
    assert [(len(row.tokens), row.finish) for row in rows] == [(3, "stop"), (6, "length")]


def test_a_stop_that_is_met_at_the_limit_is_a_stop() -> None:
    last = row([3], max_tokens=2)
    decoder().sample([last], lambda asked: len(asked.tokens) == 2)
    assert last.finish == "stop"


@pytest.mark.parametrize("steps", [0, 3])
def test_sampling_leaves_off_when_it_is_told_to(steps: int) -> None:
    rows = [row([3, 4], seed, max_tokens=1000) for seed in range(3)]
    Decoder(load(), frozenset(), lambda: len(rows[0].tokens) >= steps).sample(rows, lambda row: False)
    assert all(row.finish is None for row in rows)
    assert all(len(row.tokens) <= steps + 1 for row in rows)


QUESTIONS = [
    Question([3, 4, 5], [[10], [11], [12]]),
    Question([*LONG, 9], [[20], [21]]),
    Question([*LONG, 7, 7, 7], [[20, 30, 40], [21]]),
    Question(LONG[:40], [[*range(50, 75)], [60, 61]]),
    Question([8], [[9, 9]]),
]
SHARING = [
    Question([*LONG, 9], [[20], [21]]),
    Question([*LONG, 7, 7], [[20, 30], [21]]),
    Question(LONG, [[1]]),
]


@pytest.mark.parametrize(
    "questions",
    [*([question] for question in QUESTIONS), QUESTIONS, QUESTIONS[::-1], SHARING, [*SHARING, QUESTIONS[0]]],
    ids=["one token", "one token, long", "unlike tails", "long tails", "one tail", "all", "reversed", "shared", "not"],
)
def test_scores_are_those_of_one_forward_pass_for_each_label(questions: list[Question]) -> None:
    scores = decoder().score(questions)
    for question, found in zip(questions, scores, strict=True):
        assert found == pytest.approx([slow_score(question.ids, tail) for tail in question.tails], abs=1e-4)


def test_a_score_does_not_depend_on_whether_a_start_is_shared() -> None:
    shared = decoder().score(SHARING)
    apart = decoder().score([*SHARING, QUESTIONS[0]])[:-1]
    for one, other in zip(shared, apart, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_model_of_these_tests_heeds_the_order_of_its_prompt() -> None:
    swapped = [LONG[1], LONG[0], *LONG[2:]]
    assert (next_logp(LONG) - next_logp(swapped)).abs().max() > 0.02


def test_one_decoder_serves_many_prefixes_one_after_another() -> None:
    starts = [[token, *LONG] for token in range(3, 9)]
    before = [sampled(row([*start, 5], seed=1))[0] for start in starts]
    assert [sampled(row([*start, 5], seed=1), STRANGER)[0] for start in starts] == before
    assert [sampled(row([*start, 5], seed=1))[0] for start in starts] == before


def test_the_row_that_pays_for_a_shared_start_is_told_apart_from_those_that_use_it() -> None:
    fresh = Decoder(load(), frozenset(), lambda: False)
    asked = [row([*LONG, token], max_tokens=1) for token in (5, 6, 7)]
    fresh.sample(asked, lambda row: False)
    assert [row.cached for row in asked] == [0, len(LONG), len(LONG)]
    again = [row([*LONG, token], max_tokens=1) for token in (8, 9)]
    fresh.sample(again, lambda row: False)
    assert [row.cached for row in again] == [len(LONG)] * 2
    apart = [row([*LONG, 5], max_tokens=1), row([9, 9], max_tokens=1)]
    fresh.sample(apart, lambda row: False)
    assert [row.cached for row in apart] == [0, 0]


def test_half_precision_gives_nearly_the_same() -> None:
    half = Decoder(load(torch.bfloat16), frozenset(), lambda: False)
    for questions in (SHARING, QUESTIONS):
        for found, exact in zip(half.score(questions), decoder().score(questions), strict=True):
            assert found == pytest.approx(exact, rel=0.02)
    asked = row(LONG, max_tokens=3)
    half.sample([asked], lambda row: False)
    assert len(asked.tokens) == 3


sequences = st.builds(
    lambda start, tails: [start + tail for tail in tails],
    st.lists(st.integers(0, 1), max_size=80),
    st.lists(st.lists(st.integers(0, 1), max_size=20), min_size=1, max_size=5),
)


@settings(deadline=None, max_examples=150)
@given(sequences, st.integers(1, 5))
def test_a_common_prefix_begins_every_row_and_leaves_what_is_needed(rows: list[list[int]], needed: int) -> None:
    prefix = common_prefix(rows, needed)
    assert all(tuple(ids[: len(prefix)]) == prefix for ids in rows)
    assert not prefix or all(len(ids) - len(prefix) >= needed for ids in rows)
    assert common_prefix(rows[::-1], needed) == prefix


def test_nearly_all_that_is_common_is_found() -> None:
    common = [1] * 200
    assert 180 <= len(common_prefix([[*common, 2, 3], [*common, 4]], 1)) <= 200
    assert 180 <= len(common_prefix([common], 1)) < 200
    assert common_prefix([[1, *common], [2, *common]], 1) == ()
