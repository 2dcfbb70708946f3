"""A whole step of PPO, from scores to new weights, against what the papers' formulas say of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_data import classifier, learner, rolled, small
from transformers import AutoModelForCausalLM

from cai.trainers.actor_critic import load
from cai.trainers.ppo_step import lesson
from cai.trainers.rollout import Rollout
from cai.weights import resolve

SCORES = [float(number**2) / 10 for number in range(8)]


def reinforce(policy: Any, rollout: Rollout, kl: float) -> None:
    """Puts into `policy` the gradient of the mean over all tokens of -log p x (reward to go - baseline).

    One answer at a time, without padding; the critic's value is the baseline. Williams 1992.
    """
    written = rollout.written
    for row, score in enumerate(SCORES):
        prompt = written.prompts[row][written.given[row] == 1]
        answer = written.answers[row][written.mask[row] == 1]
        logits = policy(input_ids=torch.cat([prompt, answer])[None]).logits[0, len(prompt) - 1 : -1]
        log_p = logits.log_softmax(-1)[range(len(answer)), answer]
        rewards = [-kl * float(ratio) for ratio in (rollout.log_probs - rollout.reference)[row, : len(answer)]]
        rewards[-1] += score
        for place in range(len(answer)):
            gain = sum(rewards[place:]) - float(rollout.values[row, place])
            (-log_p[place] * gain / float(written.mask.sum())).backward(retain_graph=True)


@pytest.mark.parametrize("micro_batch", [3, 8])
def test_with_one_epoch_and_no_clipping_a_step_is_reinforce_with_a_baseline(tmp_path: Path, micro_batch: int) -> None:
    config = small(clip=1e9, value_clip=None, gae=1.0, discount=1.0, whiten_advantages=False, max_grad_norm=0.0,
                   epochs=1, minibatch=8, max_tokens=6).model_copy(update={"micro_batch": micro_batch})  # fmt: skip
    model, reference = load("tiny-random", classifier(tmp_path / "critic"), config, torch.device("cpu"))
    plain: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the reference, so that the KL counts
        for weight, twin in zip(model.policy.parameters(), plain.parameters(), strict=True):
            weight.add_(0.02 * torch.randn(weight.shape, generator=draw))
            twin.copy_(weight)
    rollout = rolled(config, model, reference)
    told = learner(config, model).learn(lesson(rollout, SCORES, 0.5, config), 1)
    reinforce(plain, rollout, kl=0.5)
    assert (rollout.log_probs - rollout.reference).abs().max() > 0.01 and rollout.values.abs().max() > 0.01
    assert (told["clipped"], told["approximate_kl"]) == (0.0, pytest.approx(0, abs=1e-6))
    for (name, weight), twin in zip(model.policy.named_parameters(), plain.parameters(), strict=True):
        moved = twin.detach() - 0.1 * twin.grad
        assert not torch.equal(weight, twin), name
        torch.testing.assert_close(weight - twin, moved - twin, rtol=1e-3, atol=1e-6, msg=name)
