"""The loss of a preference model on probabilities instead of winners. Bai et al. 2022, section 4.2.

    loss = -w [p log s(d - m) + (1 - p) log s(-d - m)] + c (r_a + r_b)^2,    d = r_a - r_b

with p = P(a is better), s the logistic function, m a margin (Llama 2, section 3.2.2; their labels are hard), w the
pair's weight and c the pull of the rewards' mean towards 0 (Eisenstein et al. 2023, arXiv 2312.09244, equation 2; TRL).
Hard labels are the special case p = 0 or 1. As in InstructGPT (section 3.5) the pairs of a prompt are one element of a
batch, over which they are averaged; the batch is averaged over prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cai.preferences import Preference


@dataclass(frozen=True)
class Pairs:
    """The pairs of a batch, all (pairs,): places of their answers in it, labels, margins, weights and shares.

    A pair's share is 1 / (pairs of its prompt), so shares sum up to the number of prompts.
    """

    a: Tensor
    b: Tensor
    p: Tensor
    margin: Tensor
    weight: Tensor
    share: Tensor


def pairs_of(groups: Sequence[Sequence[Preference]], answers: Sequence[int]) -> Pairs:
    """The pairs of groups, of which each has so many answers; these lie end to end."""
    starts = [sum(answers[:group]) for group in range(len(groups))]
    every = [(pair, start, 1 / len(pairs)) for pairs, start in zip(groups, starts, strict=True) for pair in pairs]
    return Pairs(
        a=torch.tensor([start + pair.a for pair, start, _ in every]),
        b=torch.tensor([start + pair.b for pair, start, _ in every]),
        p=torch.tensor([pair.p for pair, _, _ in every]),
        margin=torch.tensor([pair.margin for pair, _, _ in every]),
        weight=torch.tensor([pair.weight for pair, _, _ in every]),
        share=torch.tensor([part for _, _, part in every]),
    )


def preference_loss(rewards: Tensor, pairs: Pairs, center: float = 0.0) -> Tensor:
    """The loss (nats) of rewards (answers,), summed over prompts: divide it by how many a whole step has."""
    r_a, r_b = rewards[pairs.a], rewards[pairs.b]
    lead = r_a - r_b
    told = pairs.p * logsigmoid(lead - pairs.margin) + (1 - pairs.p) * logsigmoid(-lead - pairs.margin)
    return (pairs.share * (center * (r_a + r_b) ** 2 - pairs.weight * told)).sum()
