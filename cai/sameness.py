"""Whether answers to different prompts say the same things: stock phrases, and how many pairs of words are different.

Bai et al. 2022, section 4.3: an over-trained model says the same things to everybody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from cai.repeats import runs_of

_PHRASE = 4
"""Words of a phrase: fewer are shared by chance."""


def stock_phrases(answers: Sequence[str], prompts: Sequence[Hashable]) -> list[float]:
    """The share of each answer's runs of four words that an answer to another prompt has too; 0 for a shorter answer.

    Phrases are thus learned from the answers themselves, and not from a list.
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
