"""Scores answers with a preference model."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.encoding import answered
from cai.prompts import Rendered
from cai.quiet import hush

hush()


class PreferenceScorer:
    """A trained preference model, ready to score."""

    def __init__(self, folder: Path | str, batch_size: int = 16) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        self._model: Any = model.to(device).eval()
        self._batch_size = batch_size

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[Rendered, str]]) -> list[float]:
        """The reward of each (prompt, answer), in log-odds: P(a better than b) = s(r_a - r_b)."""
        encoded = [answered(self._tokenizer, prompt, answer)[0] for prompt, answer in pairs]
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        rewards = [0.0] * len(encoded)
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            for index, reward in zip(chosen, self._run([encoded[i] for i in chosen]), strict=True):
                rewards[index] = reward
        return rewards

    def close(self) -> None:
        """Gives the memory back."""
        del self._model
        gc.collect()

    def _run(self, sequences: list[list[int]]) -> list[float]:
        padded = self._tokenizer.pad({"input_ids": sequences}, padding_side="right", return_tensors="pt")
        return self._model(**padded.to(self._model.device)).logits[:, 0].float().tolist()
