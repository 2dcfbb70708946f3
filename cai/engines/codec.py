"""From a request to tokens and from a reply's tokens to a completion, for engines that hold the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from cai.encoding import encode, prompt_text
from cai.engines.base import Request
from cai.engines.labels import Question, as_question
from cai.errors import ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion

THOUGHTS = "<think>", "</think>"
"""What thinking models write around their reasoning (Qwen 3, DeepSeek R1, SmolLM 3)."""


class Codec:
    """A model's tokenizer, and the words it uses. `context`: the longest prompt and reply together, tokens."""

    def __init__(self, tokenizer: Any, model: ModelConfig, context: int | None) -> None:
        self.tokenizer, self._model, self._context = tokenizer, model, context
        added = tokenizer.added_tokens_decoder.items()
        self._hidden = {index for index, token in added if token.special and token.content not in THOUGHTS}

    def prompt(self, request: Request) -> list[int]:
        """Tokens of a prompt. Raises ItemFailed where prompt and reply exceed the model's context."""
        ids = encode(self.tokenizer, prompt_text(self.tokenizer, request.prompt, self._model.thinking), request.prompt)
        self._check_fits(len(ids), request.max_tokens)
        return ids

    def question(self, prompt: Rendered, labels: Sequence[str]) -> Question:
        """The tokens in which the labels differ, after the prompt. Raises EngineError, or ItemFailed as `prompt`."""
        text = prompt_text(self.tokenizer, prompt, thinking=False)
        given, *whole = (encode(self.tokenizer, text + label, prompt) for label in ("", *labels))
        self._check_fits(max(map(len, whole)), 0)
        return as_question(given, whole)

    def completion(
        self,
        request: Request,
        prompt: Sequence[int],
        tokens: Sequence[int],
        finish: Literal["stop", "length"],
        seeded: bool,
        cached: int = 0,
    ) -> Completion:
        """What a reply says: cut before a stop string, thoughts and special tokens taken out of `text`."""
        raw = self.tokenizer.decode(tokens)
        shown = self.tokenizer.decode([token for token in tokens if token not in self._hidden])
        reasoning, text = split_thoughts(shown, self._opens_with_thoughts(prompt))
        for stop in request.prompt.stop:
            text = text.split(stop, 1)[0]
        return Completion(
            text=text.strip(),
            raw=raw,
            finish=finish,
            prompt_tokens=len(prompt),
            tokens=len(tokens),
            seed=request.seed,
            seeded=seeded,
            reasoning=reasoning,
            cached_tokens=cached,
        )

    def _opens_with_thoughts(self, prompt: Sequence[int]) -> bool:
        """Some chat templates open the thoughts themselves, at the end of the prompt."""
        return self.tokenizer.decode(prompt[-8:]).rstrip().endswith(THOUGHTS[0])

    def _check_fits(self, prompt: int, reply: int) -> None:
        if self._context and prompt + reply > self._context:
            raise ItemFailed(
                f"a prompt of {prompt} tokens and a reply of {reply} exceed the model's {self._context}; "
                "lower few_shot, max_tokens, or the length of the prompts"
            )


def split_thoughts(text: str, opened: bool = False) -> tuple[str, str]:
    """A reply's reasoning and its answer. Thoughts that never end are all reasoning, with no answer."""
    start, end = THOUGHTS
    if not opened and not text.lstrip().startswith(start):
        return "", text
    thoughts, _, answer = text.partition(end)
    return thoughts.strip().removeprefix(start).strip(), answer
