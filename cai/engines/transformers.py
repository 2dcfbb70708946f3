"""Generation and scoring with transformers, in batches, on the CPU or one GPU."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.config import TransformersEngine
from cai.encoding import encode, prompt_text
from cai.engines.base import Request
from cai.engines.batching import Batcher
from cai.engines.decode import Decoder, Question, Row
from cai.engines.packing import pack_linears
from cai.errors import EngineError
from cai.prompts import Rendered
from cai.quiet import hush
from cai.records import Completion
from cai.weights import resolve

hush()

_SCORED_POSITIONS = 2048
"""Most positions whose logits are held at once while scoring: 2048 x 50k words x 4 bytes = 400 MB."""
_STOP_WINDOW = 24
"""Last tokens in which a stop string is looked for."""


class TransformersBackend:
    """One model, loaded once. Calls are gathered into batches that run in a worker thread."""

    def __init__(self, config: TransformersEngine, model: str) -> None:
        path = resolve(model)
        device = _device(config.device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, config.dtype))
        self._model: Any = loaded.to(device).eval()
        pack_linears(self._model)
        self._closed = threading.Event()
        self._context = getattr(self._model.config, "max_position_embeddings", None)
        self._decoder: Decoder | None = Decoder(self._model, _eos(self._model, self._tokenizer), self._closed.is_set)
        self._replies = Batcher(self._generate, config.batch_size, lambda call: len(call[0]), self._closed.set)
        self._scores = Batcher(self._score, config.batch_size, lambda call: len(call.ids), self._closed.set)
        self.concurrency = 2 * config.batch_size

    async def generate(self, request: Request) -> Completion:
        """One reply, drawn by its seed. Raises EngineError where prompt and reply exceed the model's context."""
        ids = encode(self._tokenizer, prompt_text(self._tokenizer, request.prompt), request.prompt)
        self._check_fits(len(ids), request.max_tokens)
        return await self._replies.submit((ids, request))

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log-probabilities by one forward pass.

        Of several labels only the tokens in which they differ are scored: what they share at their start becomes
        part of the prompt, what they share at their end is left out.
        """
        text = prompt_text(self._tokenizer, prompt)
        given, *whole = (encode(self._tokenizer, text + label, prompt) for label in ("", *labels))
        question = as_question(given, whole)
        self._check_fits(max(map(len, whole)), 0)
        return await self._scores.submit(question)

    def close(self) -> None:
        """Ends the batch that runs and drops the model; closing twice does no harm. Later calls raise EngineError."""
        self._closed.set()
        self._decoder = self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _check_fits(self, prompt: int, reply: int) -> None:
        if self._context and prompt + reply > self._context:
            raise EngineError(
                f"a prompt of {prompt} tokens and a reply of {reply} exceed the model's {self._context}; "
                "lower few_shot, max_tokens, or the length of the prompts"
            )

    def _generate(self, calls: Sequence[tuple[list[int], Request]]) -> list[Completion]:
        rows = [Row(ids, r.max_tokens, r.temperature, r.top_p, r.seed) for ids, r in calls]
        stops = {id(row): request.prompt.stop for row, (_, request) in zip(rows, calls, strict=True)}
        self._open().sample(rows, lambda row: self._met_stop(row, stops[id(row)]))
        return [self._completion(row, request) for row, (_, request) in zip(rows, calls, strict=True)]

    def _met_stop(self, row: Row, stop: tuple[str, ...]) -> bool:
        if not stop:
            return False
        tail = self._tokenizer.decode(row.tokens[-_STOP_WINDOW:])
        return any(text in tail for text in stop)

    def _completion(self, row: Row, request: Request) -> Completion:
        if row.finish is None:
            raise EngineError("the engine was closed while it was replying")
        raw = self._tokenizer.decode(row.tokens)
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True)
        for stop in request.prompt.stop:
            text = text.split(stop, 1)[0]
        return Completion(
            text=text.strip(),
            raw=raw,
            finish=row.finish,
            prompt_tokens=len(row.ids),
            tokens=len(row.tokens),
            seed=row.seed,
        )

    def _score(self, questions: Sequence[Question]) -> list[list[float]]:
        results: list[list[float]] = []
        for part in _bounded(questions):
            results += self._open().score(part)
        return results

    def _open(self) -> Decoder:
        if self._decoder is None or self._closed.is_set():
            raise EngineError("the engine is closed")
        return self._decoder


def as_question(prompt: list[int], whole: Sequence[list[int]]) -> Question:
    """Splits tokenised prompt + label into what is given and what is scored. Raises EngineError on labels alike."""
    start = _shared(whole) if len(whole) > 1 else _shared([prompt, *whole])
    tails = [ids[start:] for ids in whole]
    end = min(_shared([tail[::-1] for tail in tails]), *(len(tail) - 1 for tail in tails)) if len(tails) > 1 else 0
    tails = [tail[: len(tail) - end] for tail in tails]
    if not all(tails) or start == 0:
        raise EngineError("a label is empty, or the beginning of another; labels must differ in what they add")
    return Question(whole[0][:start], tails)


def _shared(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with."""
    return next(
        (i for i, column in enumerate(zip(*sequences, strict=False)) if len(set(column)) > 1), min(map(len, sequences))
    )


def _bounded(questions: Sequence[Question]) -> list[list[Question]]:
    """Parts whose padded logits stay within `_SCORED_POSITIONS`."""
    parts: list[list[Question]] = [[]]
    for question in questions:
        together = [*parts[-1], question]
        rows = sum(len(q.tails) for q in together)
        if parts[-1] and rows * max(len(tail) for q in together for tail in q.tails) > _SCORED_POSITIONS:
            parts.append([])
        parts[-1].append(question)
    return parts


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _eos(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the tokenizer's and those of the generation config."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
