"""A model behind a server that speaks OpenAI's completions and chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from cai.engine_config import OpenAIEngine
from cai.engines.base import Request
from cai.engines.codec import THOUGHTS, split_thoughts
from cai.engines.http import BrokenReply, Client, Pause
from cai.engines.spelling import Labels, answer_logprob, likeliest
from cai.errors import EngineError, ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion

_UNFINISHED = frozenset({"abort", "error"})
"""Ends with which servers say that a reply broke off: vLLM's, OpenRouter's."""
_SILENT = 3
"""Replies without log-probabilities, and none with them, after which a server is taken to send none."""


class OpenAIBackend:
    """One model of one server. The key is read once, from the environment. `pause` is awaited between two tries."""

    def __init__(self, config: OpenAIEngine, model: ModelConfig, pause: Pause = asyncio.sleep) -> None:
        self._config, self._model = config, model
        self._client = Client(config, model.model, pause)
        self.concurrency = config.concurrency
        self._tells, self._silent = False, 0  # whether log-probabilities ever came, and how many replies lacked them

    async def generate(self, request: Request) -> Completion:
        """One reply. Raises ItemFailed where it cannot be had, EngineError where the server refuses us."""
        path, body = self._ask(request.prompt, request.prompt.reply_start)
        body |= {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if request.prompt.stop:
            body["stop"] = request.prompt.stop
        if request.choices and request.prompt.messages:
            body["response_format"] = _one_of(request.choices)
        return await self._client.post(path, self._with_extra(body), partial(_completion, request))

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """Log-probabilities summed over the likeliest tokens that spell each label; -inf where none of them does.

        One label is an answer as a whole, which only completions can score. Raises as `generate`.
        """
        if len(labels) == 1:
            return [await self._score_answer(prompt, labels[0])]
        spelled = Labels.after(prompt.reply_start or prompt.text, labels)
        path, body = self._ask(prompt, prompt.reply_start + spelled.start, spelled.start)
        count = self._config.top_logprobs
        wanted = {"logprobs": True, "top_logprobs": count} if prompt.messages else {"logprobs": count}
        body = self._scoring(body, wanted)
        return spelled.scores(await self._client.post(path, body, lambda reply: likeliest(self._logprobs(reply))))

    def close(self) -> None:
        """Closes the connections; closing twice does no harm. Later calls raise EngineError."""
        self._client.close()

    async def _score_answer(self, prompt: Rendered, answer: str) -> float:
        if prompt.messages:
            raise EngineError(
                "a server does not tell the log-probability of a whole answer in a chat; give the model "
                f"{self._model.model!r} an engine of type vllm or transformers, or `dialect: transcript`"
            )
        path, body = self._ask(prompt, "", answer)
        body = self._scoring(body, {"echo": True, "logprobs": 1})
        return await self._client.post(path, body, lambda reply: answer_logprob(self._logprobs(reply), answer))

    def _ask(self, prompt: Rendered, start: str, more: str = "") -> tuple[str, dict[str, Any]]:
        """Endpoint and body. A chat's reply continues `start`; a transcript gets `more` at its end."""
        if not prompt.messages:
            return "completions", {"model": self._model.model, "prompt": prompt.text + more}
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        body: dict[str, Any] = {"model": self._model.model, "messages": messages}
        if start:
            messages.append({"role": "assistant", "content": start})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self._model.thinking is not None:  # a begun reply leaves no room for thoughts
            body["chat_template_kwargs"] = {"enable_thinking": self._model.thinking and not start}
        return "chat/completions", body

    def _scoring(self, body: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        """One token, without thoughts before it."""
        if "chat_template_kwargs" in body:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return {**self._with_extra({**body, "max_tokens": 1, "temperature": 0.0}), **wanted}

    def _logprobs(self, reply: Any) -> dict[str, Any]:
        """Raises BrokenReply where there are none, EngineError where a server that never sent any lacks them again."""
        found = _choice(reply).get("logprobs")
        if found is not None:
            self._tells = True
            return found
        self._silent += 1
        if self._tells or self._silent < _SILENT:
            raise BrokenReply("a reply without log-probabilities")
        raise EngineError(
            "the server sends no log-probabilities; give models.feedback another engine, or another model"
        )

    def _with_extra(self, body: dict[str, Any]) -> dict[str, Any]:
        """The recipe's own fields, on top; chat_template_kwargs is joined with ours."""
        extra, ours = self._config.extra, body.get("chat_template_kwargs")
        if ours and isinstance(theirs := extra.get("chat_template_kwargs"), dict):
            return {**body, **extra, "chat_template_kwargs": {**ours, **theirs}}
        return {**body, **extra}


def _one_of(choices: tuple[str, ...]) -> dict[str, Any]:
    """Holds a reply to a JSON object with one of these in it (OpenAI's structured outputs)."""
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": list(choices)}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def _completion(request: Request, reply: Any) -> Completion:
    choice = _choice(reply)
    raw, thoughts = _words(choice)
    reasoning, text = (thoughts, raw) if thoughts else split_thoughts(raw, opened=THOUGHTS[1] in raw)
    for stop in request.prompt.stop:
        text = text.split(stop, 1)[0]
    usage = reply.get("usage") or {}
    return Completion(
        text=text.strip(),
        raw=raw,
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=usage.get("prompt_tokens") or 0,
        tokens=usage.get("completion_tokens") or 0,
        seed=request.seed,
        reasoning=reasoning.strip(),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
    )


def _choice(reply: Any) -> dict[str, Any]:
    """The one choice of a reply. Raises BrokenReply, or ItemFailed where the server withholds it."""
    if not reply["choices"]:
        raise BrokenReply("a reply without choices")
    choice = reply["choices"][0]
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        raise ItemFailed("the server's content filter withheld the reply (finish_reason: content_filter)")
    if reason in _UNFINISHED or choice.get("error"):
        raise BrokenReply(f"a reply that broke off (finish_reason: {reason})")
    return choice


def _words(choice: dict[str, Any]) -> tuple[str, str]:
    """What the model wrote, and the thoughts that the server took out of it. All thoughts and no answer is a reply."""
    if "message" not in choice:
        return choice["text"], ""
    message = choice["message"]
    thoughts = message.get("reasoning_content") or message.get("reasoning") or ""
    content = message.get("content")
    if content is None and not thoughts:
        raise BrokenReply("a reply without content")
    return content or "", thoughts
