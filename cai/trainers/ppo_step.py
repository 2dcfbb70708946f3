"""One step of PPO: from answers and their scores to advantages, and from these to new weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from cai.rl_config import PpoConfig
from cai.trainers.ppo_data import Texts
from cai.trainers.ppo_terms import (
    advantages,
    explained_variance,
    finished_scores,
    log_ratio_kl,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from cai.trainers.rollout import Rollout


@dataclass(frozen=True)
class Lesson:
    """A rollout, and what each of its tokens is judged to have been worth: advantages and returns (rows, answer)."""

    rollout: Rollout
    advantages: Tensor
    returns: Tensor


def lesson(rollout: Rollout, scores: Sequence[float], kl_weight: float, config: PpoConfig) -> Lesson:
    """Advantages and returns of a rollout whose answers got `scores`. Bai et al. 2022a, section 4.1."""
    mask, samples = rollout.written.mask, rollout.written.samples
    given = torch.tensor(scores, dtype=mask.dtype, device=mask.device)
    finished = torch.tensor([sample.finished for sample in samples], device=mask.device)
    given = finished_scores(given, finished, config.unfinished)
    if config.whiten == "scores":
        given = whiten(given, torch.ones_like(given))
    kl = log_ratio_kl(rollout.log_probs, rollout.reference, config.kl_estimator)
    rewards = token_rewards(given, kl, mask, kl_weight)
    if config.whiten == "tokens":
        rewards = whiten(rewards, mask, shift=False)
    found, returns = advantages(rewards, rollout.values, mask, config.discount, config.gae)
    return Lesson(rollout, whiten(found, mask) if config.whiten_advantages else found, returns)


def described(taught: Lesson) -> dict[str, float]:
    """What is logged of the answers themselves: KL to the reference (nats), length (tokens), what values foresaw."""
    rollout, mask = taught.rollout, taught.rollout.written.mask
    kl = log_ratio_kl(rollout.log_probs, rollout.reference, "k1") * mask
    samples = rollout.written.samples
    return {
        "kl": float(masked_mean(kl, mask)),
        "kl_answer": float(kl.sum(1).mean()),
        "answer_length": float(mask.sum(1).mean()),
        "truncated": sum(not sample.finished for sample in samples) / len(samples),
        "explained_variance": float(explained_variance(rollout.values, taught.returns, mask)),
    }


class Learner:
    """Takes the optimizer steps of a lesson: `epochs` passes over its answers, a `minibatch` a step."""

    def __init__(
        self, model: Any, optimizer: Any, accelerator: Accelerator, config: PpoConfig, texts: Texts | None
    ) -> None:
        self._model, self._optimizer, self._accelerator = model, optimizer, accelerator
        self._config, self._texts = config, texts
        whole = accelerator.unwrap_model(model)
        self._parts = {"grad_norm": list(whole.policy.parameters()), "value_grad_norm": list(whole.critic.parameters())}

    def learn(self, taught: Lesson, step: int) -> dict[str, float]:
        """Learns, and returns the mean over minibatches of what is logged. Answers are shuffled by torch's state."""
        config, answers = self._config, len(taught.rollout.written.samples)
        rows: list[Mapping[str, float]] = []
        for epoch in range(config.epochs):
            for number, minibatch in enumerate(torch.randperm(answers).split(config.minibatch)):
                rows.append(self._update(taught, minibatch, (step, epoch, number)))
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def _update(self, taught: Lesson, minibatch: Tensor, place: tuple[int, int, int]) -> dict[str, float]:
        """One optimizer step. Gradients and figures are means over processes, each of which has a part of the rows."""
        mine, processes = self._mine(minibatch), self._accelerator.num_processes
        tokens = float(taught.rollout.written.mask[minibatch].sum()) / processes
        sums: dict[str, float] = {}
        for rows in mine.split(self._config.micro_batch):
            for name, value in self._accumulate(taught, rows, tokens).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / tokens
        if self._texts:
            sums["ptx_loss"] = self._mix_in(self._texts, len(minibatch), place)
        norms = {name: self._cut(parameters) for name, parameters in self._parts.items()}
        self._optimizer.step()
        self._optimizer.zero_grad()
        return {**sums, **norms}

    def _accumulate(self, taught: Lesson, rows: Tensor, count: int | float) -> dict[str, Tensor]:
        """Adds the gradient of some answers of a minibatch, `count` tokens a process; returns sums over its tokens."""
        config, rollout = self._config, taught.rollout
        tokens, seen, width = rollout.written.rows(rows)
        mask, old, old_values, advantage, returns = (
            whole[rows, :width]
            for whole in (
                rollout.written.mask,
                rollout.log_probs,
                rollout.values,
                taught.advantages,
                taught.returns,
            )
        )
        new = self._model(tokens, seen, width, config.temperature)
        policy = policy_loss(new.log_probs, old, advantage, mask, config.clip)
        value = value_loss(new.values, old_values, returns, mask, config.value_clip)
        spread = (new.entropy * mask).sum()
        loss = policy.loss + config.value_weight * value - config.entropy * spread
        self._accelerator.backward(loss / count)
        told = {"policy_loss": policy.loss, "value_loss": value, "entropy": spread}
        return {**told, "clipped": policy.clipped, "approximate_kl": policy.kl}

    def _mix_in(self, texts: Texts, answers: int, place: tuple[int, int, int]) -> float:
        """Adds the gradient of the next-token loss on texts of pretraining; returns that loss, nats a token."""
        assert self._config.ptx
        processes = self._accelerator.num_processes
        count = processes * max(1, math.ceil(answers * self._config.ptx.ratio / processes))
        tokens, seen = (one.to(self._accelerator.device) for one in texts.drawn(count, *place))
        learned, total = seen[:, 1:].sum() / processes, 0.0
        for rows in self._mine(torch.arange(count)).split(self._config.micro_batch):
            said = self._model(tokens[rows], seen[rows], tokens.size(1) - 1, values=False)
            loss = -(said.log_probs * seen[rows, 1:]).sum() / learned
            self._accelerator.backward(self._config.ptx.weight * loss)
            total += float(loss.detach())
        return total

    def _mine(self, rows: Tensor) -> Tensor:
        return rows[self._accelerator.process_index :: self._accelerator.num_processes]

    def _cut(self, parameters: list[Any]) -> float:
        """Cuts the gradient of one part by itself, as a critic's is often many times the policy's. Returns its norm."""
        most = self._config.max_grad_norm or math.inf
        return float(self._accelerator.clip_grad_norm_(parameters, most) or 0.0)
