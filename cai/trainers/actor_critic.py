"""The policy and its value function as one module, and the frozen model that the policy is held to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from cai.rl_config import PpoConfig
from cai.trainers.critic import Critic, ValueHead, load_critic
from cai.trainers.lora import frozen, in_float32, lora, named, quantization
from cai.trainers.ppo_terms import chosen_log_probs, entropy
from cai.weights import resolve


@dataclass(frozen=True)
class Read:
    """What a forward pass says of the last tokens of each row, all (rows, width).

    `log_probs`: of each token, given those before it; `entropy`: of its distribution, both in nats; `values`: of
    standing before it, None where they weren't asked for.
    """

    log_probs: Tensor
    entropy: Tensor
    values: Tensor | None


class ActorCritic(nn.Module):
    """One module, so that one optimizer, one checkpoint and one gradient exchange hold both."""

    def __init__(self, policy: Any, critic: Critic | ValueHead, entropy_counts: bool = False) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic
        self._entropy_counts = entropy_counts

    def forward(self, tokens: Tensor, seen: Tensor, width: int, temperature: float = 1.0, values: bool = True) -> Read:
        """Reads the last `width` of `tokens` (rows, length); `seen` (rows, length) is 0 at padding, on either side."""
        places = positions(seen)
        with _before_head(self.policy) as hidden:
            logits = _logits(self.policy, tokens, seen, places, width, temperature)
        asked = self._values(tokens, seen, places, hidden[0], width) if values else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._entropy_counts):
            spread = entropy(logits)
        return Read(chosen_log_probs(logits, tokens[:, -width:]), spread, asked)

    def _values(self, tokens: Tensor, seen: Tensor, places: Tensor, hidden: Tensor, width: int) -> Tensor:
        if isinstance(self.critic, ValueHead):
            return self.critic(hidden)[:, :-1]
        return self.critic(tokens, seen, places)[:, -width - 1 : -1]


class Reference:
    """The model that the policy started from: a frozen copy, or where there is an adapter the policy without it."""

    def __init__(self, policy: Any, copy: Any | None) -> None:
        self._policy, self.copy = policy, copy

    @torch.no_grad()
    def log_probs(self, tokens: Tensor, seen: Tensor, width: int, temperature: float) -> Tensor:
        """Log-probability of each of the last `width` tokens (rows, width), nats."""
        if self.copy is None:
            with self._policy.disable_adapter():
                logits = _logits(self._policy, tokens, seen, positions(seen), width, temperature)
        else:
            logits = _logits(self.copy, tokens, seen, positions(seen), width, temperature)
        return chosen_log_probs(logits, tokens[:, -width:])


def load(
    start: str, critic_start: str | None, config: PpoConfig, device: torch.device
) -> tuple[ActorCritic, Reference]:
    """The policy `start` with its critic, and its reference. Raises InputError where layers or tokens don't fit."""
    policy = _policy(start, config)
    copy = None if config.adapter else _causal(start).requires_grad_(False).eval().to(device)
    model = ActorCritic(policy, _critic(policy, start, critic_start, config), config.entropy > 0)
    _without_dropout(model)
    return model, Reference(policy, copy)


def positions(seen: Tensor) -> Tensor:
    """Where each token stands in its text, padding not counted."""
    return (seen.long().cumsum(1) - 1).clamp(min=0)


def _logits(model: Any, tokens: Tensor, seen: Tensor, places: Tensor, width: int, temperature: float) -> Tensor:
    """For each of the last `width` tokens, the logits (rows, width, vocabulary) that it was drawn from, in float32."""
    found = model(input_ids=tokens, attention_mask=seen, position_ids=places, use_cache=False, logits_to_keep=width + 1)
    return found.logits[:, :-1].float() / temperature


@contextmanager
def _before_head(policy: Any) -> Iterator[list[Tensor]]:
    """The hidden states that the output layer reads: those of the positions whose logits are kept."""
    seen: list[Tensor] = []
    hook = policy.get_output_embeddings().register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def _causal(start: str, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        resolve(start), trust_remote_code=False, **{"dtype": torch.float32, "use_safetensors": True, **options}
    )


def _policy(start: str, config: PpoConfig) -> Any:
    adapter = config.adapter
    if adapter is None:
        policy = _causal(start)
    else:
        bits = {"quantization_config": quantization(adapter)} if adapter.bits else {}
        policy = _causal(start, **frozen(adapter), **bits)
        if adapter.bits:
            policy = prepare_model_for_kbit_training(policy, use_gradient_checkpointing=False)
        with named(adapter, "rl"):
            policy = get_peft_model(policy, lora(adapter))
        in_float32(policy)
    _checkpointing(policy, config)
    return policy


def _critic(policy: Any, start: str, critic_start: str | None, config: PpoConfig) -> Critic | ValueHead:
    if config.critic == "head":
        return ValueHead(policy.get_output_embeddings().in_features)
    vocabulary = policy.get_input_embeddings().num_embeddings
    critic = load_critic(critic_start or start, vocabulary, fresh=critic_start is None)
    _checkpointing(critic.backbone, config)
    return critic


def _checkpointing(model: Any, config: PpoConfig) -> None:
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()  # the weights below an adapter are frozen, and nothing would be kept


def _without_dropout(model: nn.Module) -> None:
    """A policy's ratio to itself is 1 only where nothing is dropped at random."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):  # what some layers hand to a function
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
