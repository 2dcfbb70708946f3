"""Scores answers with a preference model."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.encoding import answered
from cai.errors import InputError
from cai.prompts import Rendered
from cai.quiet import hush
from cai.trainers.shared import Row, common_start, lay_out, rewards, width_if_shared
from cai.weights import resolve

hush()


class PreferenceScorer:
    """A trained preference model, ready to score up to `batch_size` answers at once.

    Answers to the same prompt are scored behind one copy of it, where the model allows and it is less work. Raises
    InputError for a tokenizer without a padding token, which tells the model where an answer ends.
    """

    def __init__(self, folder: Path | str, batch_size: int = 16) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = AutoTokenizer.from_pretrained(resolve(str(folder)), trust_remote_code=False)
        if self._tokenizer.pad_token_id is None:
            raise InputError(
                f"{folder}: its tokenizer names no padding token; save it with the one it was trained with"
            )
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            resolve(str(folder)), num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        self._model: Any = model.to(device).eval()
        self._batch_size = batch_size
        self._width = width_if_shared(self._model, self._tokenizer.pad_token_id, self._tokenizer.eos_token_id)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[Rendered, str]]) -> list[float]:
        """The reward of each (prompt, answer), in log-odds: P(a better than b) = s(r_a - r_b)."""
        found = [0.0] * len(pairs)
        for batch in self._batches(pairs):
            laid = lay_out([row for row, _ in batch], self._tokenizer.pad_token_id, self._width)
            scores = rewards(self._model, {name: tensor.to(self._model.device) for name, tensor in laid.items()})
            places = [place for _, these in batch for place in these]
            for place, reward in zip(places, scores.tolist(), strict=True):
                found[place] = reward
        return found

    def close(self) -> None:
        """Gives the memory back."""
        del self._model
        gc.collect()

    def _batches(self, pairs: Sequence[tuple[Rendered, str]]) -> Iterator[list[tuple[Row, list[int]]]]:
        """Rows of like length, each with the places of its answers in `pairs`."""
        rows = sorted(self._rows(pairs), key=_length)
        batch: list[tuple[Row, list[int]]] = []
        for row, places in rows:
            if batch and sum(len(these) for _, these in batch) + len(places) > self._batch_size:
                yield batch
                batch = []
            batch.append((row, places))
        if batch:
            yield batch

    def _rows(self, pairs: Sequence[tuple[Rendered, str]]) -> Iterator[tuple[Row, list[int]]]:
        asked: defaultdict[Rendered, list[int]] = defaultdict(list)
        for place, (prompt, _) in enumerate(pairs):
            asked[prompt].append(place)
        for prompt, places in asked.items():
            for start in range(0, len(places), self._batch_size):
                these = places[start : start + self._batch_size]
                yield common_start([answered(self._tokenizer, prompt, pairs[place][1])[0] for place in these]), these


def _length(row: tuple[Row, list[int]]) -> int:
    (prompt, answers), _ = row
    return len(prompt) + sum(map(len, answers))
