"""Llama 2's reward: safety first, helpfulness where the answer is safe (arXiv 2307.09288, section 3.2.3).

R_c = R_s where the prompt is harmful or R_s < threshold, else R_h, both as sigmoids; the reward is WHITEN(LOGIT(R_c)).
Our preference models score in log-odds, so LOGIT is the score as it is, and nothing is lost to saturation. The paper
does not print WHITEN: here it is (x - mean) / standard deviation over all answers of a step, whichever process wrote
them, and 0 where all are alike. Its mean is always 0, so the part `raw` tells what was whitened, which can rise.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cai.reward_config import Llama2Reward
from cai.trainers.reward import OverAll, Reward, Rewarded, Sample, alone
from cai.verdicts import logistic


@dataclass(frozen=True)
class Llama2:
    """`safety` and `helpfulness` give log-odds; `over`: what is whitened together."""

    safety: Reward
    helpfulness: Reward
    config: Llama2Reward
    over: OverAll = alone

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """The rule's reward; parts: both scores, and `unsafe`, 1 where the safety score was taken, else 0.

        Where it is whitened a part `raw` is what it was before.
        """
        safety, helpfulness = self.safety(samples).total, self.helpfulness(samples).total
        unsafe = [self._unsafe(sample, score) for sample, score in zip(samples, safety, strict=True)]
        chosen = [s if taken else h for s, h, taken in zip(safety, helpfulness, unsafe, strict=True)]
        parts = {"safety": safety, "helpfulness": helpfulness, "unsafe": tuple(map(float, unsafe))}
        if not self.config.whiten:
            return Rewarded(tuple(chosen), parts)
        return Rewarded(tuple(self.over(chosen, whiten)), {"raw": tuple(chosen), **parts})

    def close(self) -> None:
        """Closes both."""
        self.safety.close()
        self.helpfulness.close()

    def _unsafe(self, sample: Sample, score: float) -> bool:
        return sample.kind == "harmful" or logistic(score) < self.config.threshold


def unwhitened(reward: Reward) -> Reward:
    """The same reward with raw scores, which can be compared from step to step; any other one as it is."""
    if not isinstance(reward, Llama2):
        return reward
    return replace(reward, config=reward.config.model_copy(update={"whiten": False}))


def whiten(values: Sequence[float]) -> list[float]:
    """Shifted to mean 0 and scaled to standard deviation 1, the values being the population; 0 where all are equal."""
    if not values:
        return []
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    return [(value - mean) / spread if spread > 0 else 0.0 for value in values]
