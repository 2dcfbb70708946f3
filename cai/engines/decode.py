"""Batched sampling and scoring with a causal language model: tokens in, tokens or log-probabilities out.

The prompt tokens that all rows share are run once (attention.py); rows are left-padded; each row draws from its own
seed (sampling.py), so that its tokens do not depend on its neighbours; a finished row leaves the batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import Cache

from cai.engines.attention import Prefix, SharedPrefix
from cai.engines.kv import in_place, roomy_cache
from cai.engines.labels import Question
from cai.engines.sampling import sample

_PREFIX_STEP = 16
"""Shared prefixes are cut to a multiple of this, so that a prefix kept from one batch fits the next."""


@dataclass
class Row:
    """One sequence being sampled; `tokens` grows until `finish` is set. `cached` of `ids` were not computed for it."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    tokens: list[int] = field(default_factory=list)
    finish: Literal["stop", "length"] | None = None
    cached: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)


class Decoder:
    """One model. `stopped` is asked before every step, so that closing an engine ends a batch at once."""

    def __init__(self, model: Any, eos: frozenset[int], stopped: Callable[[], bool]) -> None:
        self._model, self._eos, self._stopped = model, eos, stopped
        self._prefixes = SharedPrefix(model)

    @torch.inference_mode()
    def sample(self, rows: Sequence[Row], ended: Callable[[Row], bool]) -> None:
        """Fills `tokens` and `finish` of every row; `ended` says whether a row has met one of its stop strings."""
        prefix = self._shared(rows)
        batch = _Batch.of([row.ids[prefix.length :] for row in rows], self._model)
        active = list(rows)
        logits = self._forward(batch, prefix, keep=1)[:, -1]
        while not self._stopped():
            for row, token in zip(active, sample(logits, active), strict=True):
                self._extend(row, token, ended)
            kept = [index for index, row in enumerate(active) if row.finish is None]
            if not kept:
                return
            if len(kept) < len(active):
                kept = in_place(kept)
                active = [active[index] for index in kept]
                batch.keep(kept)
            batch.extend([row.tokens[-1] for row in active])
            logits = self._forward(batch, prefix, keep=1)[:, -1]

    @torch.inference_mode()
    def score(self, questions: Sequence[Question]) -> list[list[float]]:
        """For each question, the log-probability (nats) of each tail. What its tails follow is run once."""
        branching, plain = ([q for q in questions if q.branches == wanted] for wanted in (True, False))
        branched = iter(self._branched(branching) if branching else [])
        others = iter(self._in_rows(plain) if plain else [])
        return [next(branched if question.branches else others) for question in questions]

    def _in_rows(self, questions: Sequence[Question]) -> list[list[float]]:
        """Questions of one tail, or with tails of one token: a row each."""
        rows = [[*question.ids, *(() if question.single else question.tails[0][:-1])] for question in questions]
        keep = max(1 if question.single else len(question.tails[0]) for question in questions)
        prefix = self._prefixes.of(common_prefix(rows, needed=keep))
        batch = _Batch.of([ids[prefix.length :] for ids in rows], self._model)
        logp = self._forward(batch, prefix, keep).float().log_softmax(-1).cpu()
        return [_gather(question, own) for question, own in zip(questions, logp, strict=True)]

    def _branched(self, questions: Sequence[Question]) -> list[list[float]]:
        """Questions with several tails: what they follow in a row each, then each tail after a copy of its row."""
        prefix = self._prefixes.of(common_prefix([question.ids for question in questions], needed=1))
        batch = _Batch.of([question.ids[prefix.length :] for question in questions], self._model)
        first = self._forward(batch, prefix, keep=1)[:, -1].float().log_softmax(-1).cpu()
        tails = [(owner, tail) for owner, question in enumerate(questions) for tail in question.tails]
        width = batch.branch([owner for owner, _ in tails], [tail[:-1] for _, tail in tails])
        rest = self._forward(batch, prefix, keep=width).float().log_softmax(-1).cpu()
        scores = iter([_followed(first[owner], own, tail) for (owner, tail), own in zip(tails, rest, strict=True)])
        return [[next(scores) for _ in question.tails] for question in questions]

    def _shared(self, rows: Sequence[Row]) -> Prefix:
        """What all prompts begin with; the first row pays for one that was not kept."""
        ids = common_prefix([row.ids for row in rows], needed=1)
        paying = 0 if self._prefixes.holds(ids) else 1
        prefix = self._prefixes.of(ids)
        for row in rows[paying:]:
            row.cached = prefix.length
        return prefix

    def _forward(self, batch: _Batch, prefix: Prefix, keep: int) -> torch.Tensor:
        """Logits of the last `keep` positions, (rows, keep, vocabulary)."""
        output = self._model(
            input_ids=batch.new,
            position_ids=batch.positions + prefix.length,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=keep,
            **prefix.arguments(batch.real, batch.new.shape[1], self._model.dtype),
        )
        return output.logits

    def _extend(self, row: Row, token: int, ended: Callable[[Row], bool]) -> None:
        if token in self._eos:
            row.finish = "stop"
            return
        row.tokens.append(token)
        if ended(row):
            row.finish = "stop"
        elif len(row.tokens) >= row.max_tokens:
            row.finish = "length"


class _Batch:
    """Left-padded rows, their key-value cache, and which positions are real."""

    def __init__(self, new: torch.Tensor, real: torch.Tensor, cache: Cache) -> None:
        self.new, self.real, self.cache = new, real, cache

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], model: Any) -> _Batch:
        width, device = max(len(ids) for ids in sequences), model.device
        new = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in sequences], device=device)
        real = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in sequences], device=device)
        return cls(new, real, roomy_cache(model))

    @property
    def positions(self) -> torch.Tensor:
        """Where each new token stands among the real tokens of its row, (rows, new)."""
        return (self.real.cumsum(-1) - 1).clamp(min=0)[:, -self.new.shape[1] :]

    def keep(self, rows: list[int]) -> None:
        chosen: Any = torch.tensor(rows, device=self.real.device)
        self.real = self.real[chosen]
        self.cache.reorder_cache(chosen)

    def branch(self, owners: list[int], following: Sequence[Sequence[int]]) -> int:
        """A row for each of `following`, tokens after a copy of the row of its owner. Returns the longest's length."""
        width, device = max(map(len, following)), self.real.device
        chosen = torch.tensor(owners, device=device)
        self.cache.batch_select_indices(chosen)
        self.new = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in following], device=device)
        real = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in following], device=device)
        self.real = torch.cat([self.real[chosen], real], dim=1)
        return width

    def extend(self, tokens: list[int]) -> None:
        self.new = torch.tensor(tokens, device=self.real.device)[:, None]
        self.real = torch.cat([self.real, torch.ones_like(self.real[:, :1])], dim=1)


def common_prefix(sequences: Sequence[Sequence[int]], needed: int) -> tuple[int, ...]:
    """What all sequences begin with, `needed` tokens short of each, cut to a multiple of `_PREFIX_STEP`."""
    shortest = min(sequences, key=len)
    length = max(0, len(shortest) - needed)
    for ids in sequences:
        length = next((i for i in range(length) if ids[i] != shortest[i]), length)
    return tuple(shortest[: length - length % _PREFIX_STEP])


def _gather(question: Question, logp: torch.Tensor) -> list[float]:
    """Picks the tails' log-probabilities out of `logp` (positions, vocabulary), whose last are theirs."""
    if question.single:
        return [logp[-1, tail[0]].item() for tail in question.tails]
    (tail,) = question.tails
    return [_picked(logp[-len(tail) :], tail)]


def _followed(first: torch.Tensor, rest: torch.Tensor, tail: Sequence[int]) -> float:
    """Log p of a tail: of its first token by `first` (vocabulary), of the others by `rest` (positions, vocabulary)."""
    return first[tail[0]].item() + (_picked(rest[: len(tail) - 1], tail[1:]) if len(tail) > 1 else 0.0)


def _picked(logp: torch.Tensor, tokens: Sequence[int]) -> float:
    return float(logp.gather(1, torch.tensor(tokens)[:, None]).double().sum())
