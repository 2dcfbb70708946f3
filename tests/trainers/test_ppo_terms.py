"""The formulas of PPO, each against a slow twin in plain Python, by hand, or against an exact value."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cai.trainers.ppo_terms import (
    advantages,
    chosen_log_probs,
    entropy,
    explained_variance,
    finished_scores,
    log_ratio_kl,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)

NUMBER = st.floats(-3, 3, width=32)


@st.composite
def answers(draw: Any, fields: int) -> tuple[list[list[list[float]]], list[int]]:
    """So many numbers for each token of some answers, by field, and each answer's length."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    tables = [[draw(st.lists(NUMBER, min_size=n, max_size=n)) for n in lengths] for _ in range(fields)]
    return tables, lengths


def padded(rows: list[list[float]], filler: float = 7.0, more: int = 0) -> Tensor:
    """Float64, padded on the right with what must not count."""
    width = max(map(len, rows)) + more
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], dtype=torch.float64)


def mask_of(lengths: list[int], more: int = 0) -> Tensor:
    width = max(lengths) + more
    return torch.tensor([[1.0] * n + [0.0] * (width - n) for n in lengths], dtype=torch.float64)


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


def close(found: Tensor | float, expected: float) -> bool:
    return float(found) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(answers(1))
def test_means_and_whitening_are_over_the_tokens_that_count(case: Any) -> None:
    (rows,), lengths = case
    values, mask = padded(rows), mask_of(lengths)
    mean = sum(flat(rows)) / len(flat(rows))
    variance = sum((v - mean) ** 2 for v in flat(rows)) / len(flat(rows))
    assert close(masked_mean(values, mask), mean)
    for shift in (True, False):
        found = whiten(values, mask, shift)
        assert (found[mask == 0] == 0).all()
        expected = [(v - mean) / math.sqrt(variance + 1e-8) + (0 if shift else mean) for v in flat(rows)]
        assert found[mask == 1].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_whitened_values_have_deviation_1_and_the_mean_that_was_asked_for() -> None:
    values, mask = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)) * 5 + 3, torch.ones(6, 9)
    for shift, mean in ((True, 0.0), (False, float(values.mean()))):
        found = whiten(values, mask, shift)
        assert close(found.mean(), mean) and float(found.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_a_mean_over_nothing_is_0() -> None:
    assert masked_mean(torch.ones(2, 3), torch.zeros(2, 3)) == 0


POLICY, REFERENCE = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.3, 0.3, 0.3, 0.1])
EXACT = float((POLICY * (POLICY / REFERENCE).log()).sum())


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(estimator: str) -> None:
    """Their expectation, summed over the four outcomes, is the KL itself."""
    found = log_ratio_kl(POLICY.log(), REFERENCE.log(), estimator)
    assert float((POLICY * found).sum()) == pytest.approx(EXACT, abs=1e-6)


def test_k2_is_biased_and_k3_is_never_negative() -> None:
    k2, k3 = (log_ratio_kl(POLICY.log(), REFERENCE.log(), name) for name in ("k2", "k3"))
    assert abs(float((POLICY * k2).sum()) - EXACT) > 0.003
    assert (k2 >= 0).all() and (k3 >= 0).all()


def test_k3_varies_less_than_k1_and_samples_come_near_the_exact_value() -> None:
    drawn = torch.multinomial(POLICY, 20000, True, generator=torch.Generator().manual_seed(1))
    log_p, log_q = POLICY.log()[drawn], REFERENCE.log()[drawn]
    k1, k3 = (log_ratio_kl(log_p, log_q, name) for name in ("k1", "k3"))
    assert k3.var() < k1.var()
    for found in (k1, k3):
        assert float(found.mean()) == pytest.approx(EXACT, abs=4 * float(found.std()) / math.sqrt(20000))


@given(NUMBER, NUMBER)
def test_estimators_against_their_formulas(p: float, q: float) -> None:
    ratio = math.exp(q - p)
    expected = {"k1": p - q, "k2": (p - q) ** 2 / 2, "k3": ratio - 1 - (q - p)}
    for name, value in expected.items():
        found = log_ratio_kl(torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64), name)
        assert close(found, value)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="expected k1, k2 or k3"):
        log_ratio_kl(torch.zeros(1), torch.zeros(1), "k4")


@given(answers(1), st.floats(0, 2), st.lists(NUMBER, min_size=4, max_size=4))
def test_the_score_is_paid_at_the_last_token_and_kl_at_each(case: Any, weight: float, scores: list[float]) -> None:
    (kl,), lengths = case
    scores = scores[: len(lengths)]
    found = token_rewards(torch.tensor(scores, dtype=torch.float64), padded(kl), mask_of(lengths), weight)
    for row, n in enumerate(lengths):
        expected = [-weight * one for one in kl[row]]
        expected[-1] += scores[row]
        assert found[row].tolist() == pytest.approx([*expected, *[0.0] * (max(lengths) - n)], abs=1e-6)


def test_an_answer_without_an_end_costs_the_penalty() -> None:
    found = finished_scores(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), 0.5)
    assert found.tolist() == [1.0, 1.5]


def slow_advantages(r: list[float], v: list[float], discount: float, decay: float) -> list[float]:
    """The sum over all later steps, as the definition has it."""
    following = [*v[1:], 0.0]
    delta = [r[t] + discount * following[t] - v[t] for t in range(len(r))]
    return [sum((discount * decay) ** (k - t) * delta[k] for k in range(t, len(r))) for t in range(len(r))]


@given(answers(2), st.floats(0.5, 1), st.floats(0, 1), st.integers(0, 3))
def test_advantages_against_the_definition_whatever_the_padding(
    case: Any, discount: float, decay: float, more: int
) -> None:
    (rewards, values), lengths = case
    mask = mask_of(lengths, more)
    found, returns = advantages(padded(rewards, 0.0, more), padded(values, 9.0, more), mask, discount, decay)
    for row, n in enumerate(lengths):
        expected = slow_advantages(rewards[row], values[row], discount, decay)
        met = [gain + value for gain, value in zip(expected, values[row], strict=True)]
        assert found[row, :n].tolist() == pytest.approx(expected, abs=1e-6)
        assert returns[row, :n].tolist() == pytest.approx(met, abs=1e-6)
    assert (found[mask == 0] == 0).all() and (returns[mask == 0] == 0).all()


def test_lambda_1_is_the_return_less_the_value_and_lambda_0_the_step_s_own_error() -> None:
    rewards, values, mask = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.5, 0.25, 3.0]]), torch.ones(1, 3)
    whole, returns = advantages(rewards, values, mask, 1.0, 1.0)
    assert whole.tolist() == [[6.5, 5.75, 1.0]] and returns.tolist() == [[7.0, 6.0, 4.0]]
    own, _ = advantages(rewards, values, mask, 1.0, 0.0)
    assert own.tolist() == [[0.75, 4.75, 1.0]]


@given(answers(3), st.floats(0.05, 0.5))
def test_the_policy_loss_against_a_loop(case: Any, clip: float) -> None:
    (new, old, advantage), lengths = case
    found = policy_loss(padded(new), padded(old, 1.0), padded(advantage), mask_of(lengths), clip)
    loss, clipped, kl = 0.0, 0, 0.0
    for n, o, a in zip(flat(new), flat(old), flat(advantage), strict=True):
        ratio = math.exp(n - o)
        bounded = min(max(ratio, 1 - clip), 1 + clip)
        loss -= min(ratio * a, bounded * a)
        clipped += bounded * a < ratio * a
        kl += ratio - 1 - (n - o)
    assert close(found.loss, loss) and close(found.clipped, clipped) and close(found.kl, kl)


@given(answers(3), st.none() | st.floats(0.05, 0.5))
def test_the_value_loss_against_a_loop(case: Any, clip: float | None) -> None:
    (new, old, returns), lengths = case
    expected = 0.0
    for n, o, r in zip(flat(new), flat(old), flat(returns), strict=True):
        bounded = n if clip is None else o + min(max(n - o, -clip), clip)
        expected += max((n - r) ** 2, (bounded - r) ** 2) / 2
    assert close(value_loss(padded(new), padded(old), padded(returns), mask_of(lengths), clip), expected)


Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: list[Loss] = [
    lambda x, m: policy_loss(x, x.detach() - 0.1, x.detach() * 2, m, 0.2).loss,
    lambda x, m: value_loss(x, x.detach(), x.detach() + 1, m, 0.2),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_has_no_gradient(loss: Loss) -> None:
    values, mask = torch.randn(3, 4, requires_grad=True), mask_of([4, 2, 1]).float()
    loss(values, mask).backward()
    assert values.grad is not None
    assert (values.grad[mask == 0] == 0).all() and (values.grad[mask == 1] != 0).all()


@pytest.mark.parametrize(
    ("advantage", "ratio", "moves"), [(1, 1.5, False), (1, 0.5, True), (-1, 0.5, False), (-1, 1.5, True)]
)
def test_a_ratio_is_held_only_on_the_side_that_pays(advantage: int, ratio: float, moves: bool) -> None:
    new = torch.tensor([[math.log(ratio)]], requires_grad=True)
    told = policy_loss(new, torch.zeros(1, 1), torch.tensor([[float(advantage)]]), torch.ones(1, 1), 0.2)
    told.loss.backward()
    assert new.grad is not None and bool(new.grad.any()) is moves and bool(told.clipped) is not moves


def test_without_a_step_between_ppo_s_gradient_is_that_of_reinforce_with_a_baseline() -> None:
    """One inner epoch, one minibatch, no clipping in reach: the ratio is 1, its gradient that of log p."""
    logits = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(3), requires_grad=True)
    tokens = torch.randint(7, (5, 3), generator=torch.Generator().manual_seed(4))
    mask, gain = mask_of([3, 1, 2, 3, 2]).float(), torch.randn(5, 3, generator=torch.Generator().manual_seed(5))
    log_p = chosen_log_probs(logits, tokens)
    (ours,) = torch.autograd.grad(policy_loss(log_p, log_p.detach(), gain, mask, 1e9).loss, logits, retain_graph=True)
    (plain,) = torch.autograd.grad(-(log_p * gain * mask).sum(), logits)
    torch.testing.assert_close(ours, plain)


@given(st.lists(st.lists(NUMBER, min_size=3, max_size=3), min_size=1, max_size=4), st.integers(0, 2))
def test_log_probabilities_and_entropy_against_a_loop(rows: list[list[float]], token: int) -> None:
    logits = torch.tensor(rows, dtype=torch.float64)
    chosen, spread = chosen_log_probs(logits, torch.full((len(rows),), token)), entropy(logits)
    for number, row in enumerate(rows):
        p = [math.exp(x) / sum(map(math.exp, row)) for x in row]
        assert close(chosen[number], math.log(p[token]))
        assert close(spread[number], -sum(x * math.log(x) for x in p))


def test_explained_variance_of_perfect_values_of_a_constant_and_of_constant_returns() -> None:
    returns, mask = torch.tensor([[1.0, 2.0], [4.0, 99.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert explained_variance(returns, returns, mask) == 1
    assert float(explained_variance(torch.full((2, 2), 3.0), returns, mask)) == pytest.approx(0, abs=1e-6)
    assert explained_variance(returns, torch.ones(2, 2), mask) == 0
    half = torch.tensor([[1.5, 2.0], [3.0, -5.0]])  # errors -0.5, 0, 1: variance 0.3889 of 1.5556
    assert float(explained_variance(half, returns, mask)) == pytest.approx(0.75, abs=1e-5)
