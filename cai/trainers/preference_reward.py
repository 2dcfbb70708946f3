"""The reward of RL-CAI: what a preference model says of each answer, raw (Bai et al. 2022, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cai.trainers.reward import Rewarded, Sample
from cai.trainers.scorer import PreferenceScorer


class PreferenceReward:
    """The score of a preference model, log-odds; one part, named `preference`. Raises what PreferenceScorer raises."""

    def __init__(self, folder: Path | str, batch_size: int = 16) -> None:
        self._scorer = PreferenceScorer(folder, batch_size)

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """One score a sample."""
        scores = tuple(self._scorer.score([(sample.prompt, sample.answer) for sample in samples]))
        return Rewarded(scores, {"preference": scores})

    def close(self) -> None:
        """Gives the memory back."""
        self._scorer.close()
