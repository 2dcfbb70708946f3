"""What is logged of a policy's answers beside their reward, since a reward that rises may be a reward that is fooled.

Bai et al. 2022, section 4.3: over-trained models say the same things to everybody ("you are valid, valued, and cared
for"), or are harsh. None of it is learned from; rules see it, which read English best (cai/refusals.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from cai.refusals import evasive, refuses
from cai.repeats import runs_of, share_repeated, word_count
from cai.trainers.reward import Reward, Rewarded, Sample

ANSWERS = "answers/"
"""What the names of these figures begin with."""

_PHRASE = 4
"""Words of a phrase: fewer are shared by chance."""


class Watched:
    """A reward, with figures of the answers beside its parts."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        """The reward's total, its parts, and the figures of each answer."""
        found = self._reward(samples)
        return Rewarded(found.total, {**found.parts, **figures(samples)})

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


def stock_phrases(answers: Sequence[str], prompts: Sequence[Hashable]) -> list[float]:
    """The share of each answer's runs of four words that an answer to another prompt has too; 0 for a shorter answer.

    Phrases are thus learned from the run itself, and not from a list.
    """
    runs = [runs_of(answer, _PHRASE) for answer in answers]
    said_to: defaultdict[Hashable, set[Hashable]] = defaultdict(set)
    for prompt, these in zip(prompts, runs, strict=True):
        for run in these:
            said_to[run].add(prompt)
    return [sum(len(said_to[run]) > 1 for run in these) / len(these) if these else 0.0 for these in runs]


def distinct(answers: Sequence[str]) -> float:
    """Different two-word runs over all two-word runs of all answers; 1 where there are none.

    Li et al. 2016 (arXiv 1510.03055), distinct-2.
    """
    counts = Counter(run for answer in answers for run in runs_of(answer, 2))
    return len(counts) / counts.total() if counts else 1.0
