"""Labels and answers as a server's tokens spell them: scores from texts and log-probabilities alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cai.errors import EngineError, ItemFailed

_UNLIKELY = -9999.0
"""What OpenAI and vLLM write for a log-probability that is not known, or minus infinity."""


@dataclass(frozen=True)
class Labels:
    """Labels after a prompt: `start`, with which all begin, joins the prompt; `rests` is what tells them apart."""

    start: str
    rests: tuple[str, ...]

    @classmethod
    def after(cls, given: str, labels: Sequence[str]) -> Labels:
        """Splits labels that follow `given`; nothing begins with a space. Raises EngineError on labels alike."""
        whole = labels if given else [label.lstrip() for label in labels]
        start = _beginning(whole).rstrip()  # a space belongs to the token that follows it
        rests = tuple(label[len(start) :] for label in whole)
        if any(other.startswith(rest) for i, rest in enumerate(rests) for j, other in enumerate(rests) if i != j):
            raise EngineError(
                f"the labels {tuple(labels)} are empty, or one begins another; expected labels that differ"
            )
        return cls(start, rests)

    def scores(self, tokens: Sequence[tuple[str, float]]) -> list[float]:
        """Log-probability of each label: the sum of the probabilities of all tokens that begin it and no other."""
        return [_logsumexp([value for text, value in tokens if self._spells(text, rest)]) for rest in self.rests]

    def _spells(self, text: str, rest: str) -> bool:
        """Whether a token says `rest`: "A", "A)" and "A)." do for "A)"; "An" does not."""
        if text.startswith(rest):
            return True
        return bool(text) and [other for other in self.rests if other.startswith(text)] == [rest]


def likeliest(logprobs: dict[str, Any]) -> list[tuple[str, float]]:
    """The likeliest first tokens, in the shape of chat completions or that of completions."""
    if "content" in logprobs:
        first = (logprobs["content"] or [{"top_logprobs": []}])[0]
        found = [(entry["token"], float(entry["logprob"])) for entry in first["top_logprobs"]]
    else:
        found = [(text, float(value)) for text, value in (logprobs["top_logprobs"] or [{}])[0].items()]
    return [(text, value) for text, value in found if value > _UNLIKELY]


def answer_logprob(logprobs: dict[str, Any], answer: str) -> float:
    """Log p(answer) from an echoed prompt that ends with it, and one token more.

    Counted from the end: offsets from the start are shifted by the special tokens that a server shows. A token that
    holds the prompt's end and the answer's beginning is the answer's. Raises ItemFailed where the tokens spell another
    text.
    """
    tokens, values = logprobs["tokens"][:-1], logprobs["token_logprobs"][:-1]
    spelled, first = "", len(tokens)
    while len(spelled) < len(answer) and first > 0:
        first -= 1
        spelled = tokens[first] + spelled
    if not spelled.endswith(answer):
        raise ItemFailed(
            "the server's tokens do not spell the answer; score it with an engine of type vllm or transformers"
        )
    return sum(map(float, values[first:]))


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last of them in order share."""
    low, high = min(texts), max(texts)
    return low[: next((i for i, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))]


def _logsumexp(values: Sequence[float]) -> float:
    """Without overflow; nothing adds up to -inf."""
    if not values:
        return -math.inf
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
