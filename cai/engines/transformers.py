"""Generation and scoring with transformers, in batches, on the CPU or one GPU."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from typing import Any

import torch

from cai.engine_config import TransformersEngine
from cai.engines.base import Request
from cai.engines.batching import Batcher
from cai.engines.codec import Codec
from cai.engines.decode import Decoder, Row
from cai.engines.labels import Question
from cai.engines.loading import load
from cai.errors import EngineError
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion

_SCORED_POSITIONS = 2048
"""Most positions whose logits are held at once while scoring: 2048 x 50k words x 4 bytes = 400 MB."""
_COPIED_POSITIONS = 16384
"""Most positions whose keys and values are copied at once for labels of several tokens: a gigabyte or two."""
_STOP_WINDOW = 24
"""Last tokens in which a stop string is looked for."""


class TransformersBackend:
    """One model, loaded once. Calls are gathered into batches that run in a worker thread."""

    def __init__(self, config: TransformersEngine, model: ModelConfig) -> None:
        self._model, tokenizer = load(config, model)
        self._closed = threading.Event()
        self._turn = threading.Lock()  # replies and scores come in threads of their own; a model runs one batch
        self._codec = Codec(tokenizer, model, getattr(self._model.config, "max_position_embeddings", None))
        self._decoder: Decoder | None = Decoder(self._model, _eos(self._model, tokenizer), self._closed.is_set)
        self._replies = Batcher(self._generate, config.batch_size, lambda call: len(call[0]), self._closed.set)
        self._scores = Batcher(self._score, config.batch_size, lambda call: len(call.ids), self._closed.set)
        self.concurrency = 2 * config.batch_size

    async def generate(self, request: Request) -> Completion:
        """One reply, drawn by its seed. Raises ItemFailed where prompt and reply exceed the model's context."""
        return await self._replies.submit((self._codec.prompt(request), request))

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log-probabilities by one forward pass of the tokens in which the labels differ."""
        return await self._scores.submit(self._codec.question(prompt, labels))

    def close(self) -> None:
        """Ends the batch that runs and drops the model; closing twice does no harm. Later calls raise EngineError."""
        self._closed.set()
        self._decoder = self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _generate(self, calls: Sequence[tuple[list[int], Request]]) -> list[Completion]:
        rows = [Row(ids, r.max_tokens, r.temperature, r.top_p, r.seed) for ids, r in calls]
        stops = {id(row): request.prompt.stop for row, (_, request) in zip(rows, calls, strict=True)}
        with self._turn:
            self._open().sample(rows, lambda row: self._met_stop(row, stops[id(row)]))
        return [self._completion(row, request) for row, (_, request) in zip(rows, calls, strict=True)]

    def _met_stop(self, row: Row, stop: tuple[str, ...]) -> bool:
        if not stop:
            return False
        tail = self._codec.tokenizer.decode(row.tokens[-_STOP_WINDOW:])
        return any(text in tail for text in stop)

    def _completion(self, row: Row, request: Request) -> Completion:
        if row.finish is None:
            raise EngineError("the engine was closed while it was replying")
        return self._codec.completion(request, row.ids, row.tokens, row.finish, seeded=True, cached=row.cached)

    def _score(self, questions: Sequence[Question]) -> list[list[float]]:
        results: list[list[float]] = []
        for part in _bounded(questions):
            with self._turn:
                results += self._open().score(part)
        return results

    def _open(self) -> Decoder:
        if self._decoder is None or self._closed.is_set():
            raise EngineError("the engine is closed")
        return self._decoder


def _bounded(questions: Sequence[Question]) -> list[list[Question]]:
    """Parts whose padded logits stay within `_SCORED_POSITIONS`, and copied prompts within `_COPIED_POSITIONS`."""
    parts: list[list[Question]] = [[]]
    for question in questions:
        if parts[-1] and not _fit([*parts[-1], question]):
            parts.append([])
        parts[-1].append(question)
    return parts


def _fit(questions: Sequence[Question]) -> bool:
    rows, copied = (sum(len(q.tails) for q in some) for some in (questions, [q for q in questions if q.branches]))
    longest, widest = max(len(tail) for q in questions for tail in q.tails), max(len(q.ids) for q in questions)
    return rows * longest <= _SCORED_POSITIONS and copied * widest <= _COPIED_POSITIONS


def _eos(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the tokenizer's and those of the generation config."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
