"""What is logged of a policy's answers beside their reward, since a reward that rises may be a reward that is fooled.

Bai et al. 2022, section 4.3: over-trained models say the same things to everybody ("you are valid, valued, and cared
for"), or are harsh. None of it is learned from; rules see it, which read English best (cai/refusals.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from cai.refusals import evasive, refuses
from cai.repeats import share_repeated, word_count
from cai.sameness import distinct, stock_phrases
from cai.trainers.reward import OverAll, Reward, Rewarded, Sample, alone

ANSWERS = "answers/"
"""What the names of these figures begin with."""


class Watched:
    """A reward, with figures of the answers beside its parts; `over`: which answers are set beside each other."""

    def __init__(self, reward: Reward, over: OverAll = alone) -> None:
        self._reward, self._over = reward, over

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """The reward's total, its parts, and the figures of each answer."""
        found = self._reward(samples)
        told = self._over(samples, _by_answer)
        names = told[0].keys() if told else ()
        return Rewarded(found.total, {**found.parts, **{name: tuple(one[name] for one in told) for name in names}})

    def close(self) -> None:
        """Closes the reward."""
        self._reward.close()


def figures(samples: Sequence[Sample]) -> dict[str, tuple[float, ...]]:
    """Figures of each answer of a step.

    `words`; `refusal` and `evasive`: 1 where a rule says so; `repeated`: share of its runs of three words that it had
    before; `stock_phrases`: share of its runs of four words that an answer to another prompt has too; `distinct`: share
    of the two-word runs of all answers together that are different, the same number for each.
    """
    answers = [sample.answer for sample in samples]
    found: dict[str, Sequence[float]] = {
        "words": [float(word_count(answer)) for answer in answers],
        "refusal": [float(refuses(answer)) for answer in answers],
        "evasive": [float(evasive(answer)) for answer in answers],
        "repeated": [share_repeated(answer, 3) for answer in answers],
        "stock_phrases": stock_phrases(answers, [sample.prompt for sample in samples]),
        "distinct": [distinct(answers)] * len(answers),
    }
    return {f"{ANSWERS}{name}": tuple(values) for name, values in found.items()}


def _by_answer(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """The figures of each answer."""
    found = figures(samples)
    return [{name: values[row] for name, values in found.items()} for row in range(len(samples))]
