"""The value function: what reward is still to come, in the policy's hands, after each token.

A model of its own that begins as the preference model, whose score is read at every position (InstructGPT, arXiv
2203.02155, App. C.4; Stiennon et al. 2020), or a small head beside the policy's own hidden states (Ziegler et al.
2019).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from cai.errors import InputError
from cai.weights import resolve


class Critic(nn.Module):
    """A backbone and the scalar head of a sequence classifier, applied at every position."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.backbone, self.head = classifier.base_model, classifier.score

    def forward(self, tokens: Tensor, seen: Tensor, positions: Tensor) -> Tensor:
        """A value for each token, (rows, tokens): what it is worth to stand right after it."""
        found = self.backbone(input_ids=tokens, attention_mask=seen, position_ids=positions, use_cache=False)
        return self.head(found.last_hidden_state)[..., 0].float()


class ValueHead(nn.Module):
    """A linear map from a hidden state to its value; it begins at 0, so that it says nothing until it has learned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, tokens, width) to (rows, tokens)."""
        return self.linear(hidden.to(self.linear.weight.dtype))[..., 0].float()


def load_critic(start: str, vocabulary: int, fresh: bool = False) -> Critic:
    """The critic that `start`, a preference model, becomes. `fresh`: its head begins at 0, as for any other model.

    `vocabulary` is the policy's. Raises InputError where the model knows fewer tokens, or has no scalar head.
    """
    found: Any = AutoModelForSequenceClassification.from_pretrained(
        resolve(start), num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    known = found.get_input_embeddings().num_embeddings
    if known < vocabulary:
        raise InputError(
            f"{start}: knows {known} tokens and the policy {vocabulary}; a critic reads the policy's tokens, so start "
            "it from a model with the same tokenizer, or take `critic: head`"
        )
    if not isinstance(getattr(found, "score", None), nn.Linear):
        raise InputError(f"{start}: has no linear head named `score` to read values by; take `critic: head`")
    if fresh:
        nn.init.zeros_(found.score.weight)
    return Critic(found)
