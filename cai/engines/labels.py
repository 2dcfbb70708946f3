"""Which tokens tell labels apart: the question that an engine answers by log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.errors import EngineError


@dataclass(frozen=True)
class Question:
    """Tails to be scored after `ids`: log p(tail | ids), summed over the tail's tokens."""

    ids: Sequence[int]
    tails: Sequence[Sequence[int]]

    @property
    def single(self) -> bool:
        """Whether every tail is one token, so that one distribution answers all."""
        return all(len(tail) == 1 for tail in self.tails)

    @property
    def branches(self) -> bool:
        """Whether several tails, some of several tokens, follow the same tokens."""
        return len(self.tails) > 1 and not self.single


def as_question(prompt: list[int], whole: Sequence[list[int]]) -> Question:
    """Splits tokenised prompt + label into what is given and what is scored. Raises EngineError on labels alike.

    Of several labels only the tokens in which they differ are scored: what they share at their start becomes part of
    the prompt, what they share at their end is left out, but for what tells a label from one that it begins: of
    "1/10" and "10/10" the "/" stays, since a model about to write the latter writes "1" first.
    """
    start = shared(whole) if len(whole) > 1 else shared([prompt, *whole])
    tails = [ids[start:] for ids in whole]
    end = min(shared([tail[::-1] for tail in tails]), *(len(tail) - 1 for tail in tails)) if len(tails) > 1 else 0
    while end > 0 and _one_begins_another([tail[: len(tail) - end] for tail in tails]):
        end -= 1
    tails = [tail[: len(tail) - end] for tail in tails]
    if not all(tails) or start == 0:
        raise EngineError("a label is empty, or the beginning of another; labels must differ in what they add")
    return Question(whole[0][:start], tails)


def shared(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with."""
    return next(
        (i for i, column in enumerate(zip(*sequences, strict=False)) if len(set(column)) > 1), min(map(len, sequences))
    )


def _one_begins_another(tails: Sequence[Sequence[int]]) -> bool:
    ordered = sorted(map(list, tails))  # what begins with a tail comes right after it
    return any(after[: len(one)] == one for one, after in pairwise(ordered))
