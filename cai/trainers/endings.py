"""Where an answer of a policy ends: at its end-of-text token, or at the token that completes a stop string.

A transcript's answer ends where its next turn would begin, and that is all a reward sees of it. Tokens after it would
be learned for a reward that they had no part in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList


class Stopped(StoppingCriteria):
    """Which rows hold a stop string of their own among the tokens after the first `start`."""

    def __init__(self, tokenizer: Any, stops: Sequence[Sequence[str]], start: int) -> None:
        self._tokenizer, self._stops, self._start = tokenizer, stops, start

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """(rows,), bool."""
        rows = zip(self._stops, input_ids[:, self._start :].tolist(), strict=True)
        found = [_holds(self._tokenizer, stops, ids) for stops, ids in rows]
        return torch.tensor(found, device=input_ids.device)


def up_to_stop(tokenizer: Any, ids: list[int], stops: Sequence[str]) -> list[int]:
    """The tokens up to the one that completes a stop string; all of them where none does."""
    if not _holds(tokenizer, stops, ids):
        return ids
    return next(ids[:n] for n in range(1, len(ids) + 1) if _holds(tokenizer, stops, ids[:n]))


def end_at(trainer: Any, tokenizer: Any, stops: Sequence[str]) -> None:
    """Has a trainer of TRL, which knows no stop strings, write and learn answers only up to one of these."""
    write = trainer._generate_single_turn

    def ended(*given: Any, **more: Any) -> Any:
        with _stopping(trainer.accelerator.unwrap_model(trainer.model_wrapped), tokenizer, stops):
            return _ended(write(*given, **more), tokenizer, stops)

    trainer._generate_single_turn = ended


def _ended(found: Any, tokenizer: Any, stops: Sequence[str]) -> Any:
    """What TRL wrote, without what follows a stop string: tokens of each answer, and GRPO's log-probabilities."""
    if not isinstance(found, tuple):
        return [up_to_stop(tokenizer, list(ids), stops) for ids in found]
    answers, log_probs = found
    kept = [up_to_stop(tokenizer, list(ids), stops) for ids in answers]
    return kept, log_probs and [one[: len(ids)] for one, ids in zip(log_probs, kept, strict=True)]


@contextmanager
def _stopping(model: Any, tokenizer: Any, stops: Sequence[str]) -> Iterator[None]:
    """Meanwhile the model stops writing a row at a stop string, rather than at the limit."""
    generate: Callable[..., Any] = model.generate

    def stopped(input_ids: Any, **more: Any) -> Any:
        criterion = Stopped(tokenizer, [stops] * len(input_ids), input_ids.size(1))
        return generate(input_ids=input_ids, stopping_criteria=StoppingCriteriaList([criterion]), **more)

    model.generate = stopped
    try:
        yield
    finally:
        del model.generate


def _holds(tokenizer: Any, stops: Sequence[str], ids: list[int]) -> bool:
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return any(stop in text for stop in stops)
