"""The formulas of PPO for language models: plain functions of tensors.

Unless said otherwise a tensor is (answers, tokens), answers padded on the right, and `mask` is 1 at tokens that the
policy wrote and 0 at padding. Log-probabilities are in nats. What stands at padding changes nothing, as long as it is
finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over tokens that count, a scalar; 0 where none does."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """`values` scaled to standard deviation 1, and shifted to mean 0 if asked; the mean stays as it is otherwise.

    Over tokens that count; 0 at the others. The variance is that of the tokens themselves, divided by their number.
    Ziegler et al. 2019 (arXiv 1909.08593; their code whitens rewards without the shift, advantages with it).
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift else whitened + mean) * mask


def log_ratio_kl(policy: Tensor, reference: Tensor, estimator: str) -> Tensor:
    """An estimate of KL(policy || reference) from each token that the policy drew, nats, of the same shape.

    Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html), with r = reference / policy: k1 is
    -log r, unbiased and of either sign; k2 is (log r)^2 / 2, biased; k3 is (r - 1) - log r, unbiased and never below 0.
    """
    log_r = reference - policy
    if estimator == "k1":
        return -log_r
    if estimator == "k2":
        return log_r**2 / 2
    if estimator == "k3":
        return torch.expm1(log_r) - log_r
    raise ValueError(f"no estimator {estimator!r}; expected k1, k2 or k3")


def finished_scores(scores: Tensor, finished: Tensor, penalty: float) -> Tensor:
    """Scores (answers,) less `penalty` where an answer did not end by itself (`finished` (answers,), bool)."""
    return torch.where(finished, scores, scores - penalty)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, weight: float) -> Tensor:
    """The reward of each token: -`weight` x its KL, and the answer's score (answers,) at its last token.

    Bai et al. 2022a, section 4.1, eq. 4.1: r = r_PM - weight x KL(policy || reference); a token at a time in Stiennon
    et al. 2020 and InstructGPT (section 3.5). Each answer holds a token at least.
    """
    rewards = -weight * kl * mask
    last = mask.sum(1).long() - 1
    return rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards.dtype))


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, decay: float) -> tuple[Tensor, Tensor]:
    """Generalised advantages, and the returns that values are to meet: advantage + value. 0 at padding.

    A_t = sum_l (discount x decay)^l delta_(t+l), delta_t = r_t + discount x V_(t+1) - V_t, and V is 0 after the last
    token: an answer that was cut short ends there too. Schulman et al. 2016 (arXiv 1506.02438), eq. 16; `decay` is
    their lambda.
    """
    values = values * mask
    found = torch.zeros_like(values)
    later = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(values[:, 0])
    for token in reversed(range(values.size(1))):
        delta = rewards[:, token] + discount * following - values[:, token]
        later = (delta + discount * decay * later) * mask[:, token]
        following = values[:, token]
        found[:, token] = later
    return found, (found + values) * mask


@dataclass(frozen=True)
class PolicyLoss:
    """Sums over tokens: the loss, how many ratios were clipped, and the KL from the policy that sampled (nats).

    Sums, so that micro-batches add up to what one batch would have: divide by the number of tokens that count.
    """

    loss: Tensor
    clipped: Tensor
    kl: Tensor


def policy_loss(new: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> PolicyLoss:
    """-min(ratio A, clip(ratio, 1 - clip, 1 + clip) A), ratio = exp(new - old). Schulman et al. 2017, eq. 7.

    `new`, `old`: log-probabilities under the policy that learns and the one that sampled. A token is clipped where the
    clipped term is the smaller one, so that it has no gradient. The KL is Schulman's k3.
    """
    log_ratio = (new - old) * mask
    ratio = log_ratio.exp()
    free, bounded = -advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)
    loss = (torch.maximum(free, bounded) * mask).sum()
    clipped = ((bounded > free) * mask).sum()
    kl = (log_ratio_kl(old, new, "k3").detach() * mask).sum()
    return PolicyLoss(loss, clipped, kl)


def value_loss(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None) -> Tensor:
    """Half the squared error of values, summed over tokens; the greater of that and the error of clipped values.

    Values are clipped to within `clip` of the `old` ones, of sampling time; None: not. The clip is that of PPO's first
    code and of Ziegler et al. 2019; the papers don't mention it.
    """
    error = (new - returns) ** 2
    if clip is not None:
        error = torch.maximum(error, (old + (new - old).clamp(-clip, clip) - returns) ** 2)
    return (error * mask).sum() / 2


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the next token, nats: (..., vocabulary) to (...)."""
    log_p = torch.log_softmax(logits, -1)
    return -(log_p.exp() * log_p).sum(-1)


def chosen_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token: logits (..., vocabulary) and ids (...) to (...)."""
    return torch.gather(logits, -1, tokens[..., None])[..., 0] - torch.logsumexp(logits, -1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns): 1 where values say it all, 0 where they say nothing. A scalar.

    0 where the returns don't vary.
    """
    rest, whole = _variance(returns - values, mask), _variance(returns, mask)
    return torch.where(whole > 0, 1 - rest / whole.clamp(min=1e-12), torch.zeros_like(whole))


def _variance(values: Tensor, mask: Tensor) -> Tensor:
    return masked_mean((values - masked_mean(values, mask)) ** 2, mask)
