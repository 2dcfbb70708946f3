"""From a record to the row of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cai.records import Answer, Comparison, Completion, Distilled, Ghost, Message, Prompt, Reading, Revision
from cai.selection import Row, answer_of

_STAGES = {Revision: "revise", Answer: "respond", Distilled: "distill", Ghost: "ghost"}


def learned(record: Row, copies: int) -> dict[str, Any]:
    """A row of `sl`. `copies`: how often SL-CAI learned from it."""
    chain = record if isinstance(record, Revision) else None
    return {
        "messages": [*_messages(record.prompt.messages), *_answer(answer_of(record))],
        **_prompt(record.prompt),
        "stage": _STAGES[type(record)],
        "sample": 0 if isinstance(record, Distilled | Ghost) else record.sample,
        "round": chain.round if chain else None,
        "principles": list(chain.principles) if chain else [],
        "critique": chain.critique.text if chain and chain.critique else None,
        "flags": list(record.flags),
        "used": copies > 0,
        "copies": copies,
    }


def audited(revision: Revision) -> dict[str, Any]:
    """A row of `chains`."""
    return {
        "id": revision.id,
        **_prompt(revision.prompt),
        "prompt": _messages(revision.prompt.messages),
        "variant": revision.variant,
        "sample": revision.sample,
        "round": revision.round,
        "principles": list(revision.principles),
        "check": None if revision.check is None else _logprobs(revision.check),
        "critique": revision.critique and _completion(revision.critique),
        "critique_flags": list(revision.critique_flags),
        "response": _completion(revision.response),
        "flags": list(revision.flags),
        "attempts": [
            {"step": one.step, "flags": list(one.flags), "reply": _completion(one.reply)} for one in revision.attempts
        ],
    }


def preferred(comparison: Comparison) -> dict[str, Any]:
    """A row of `preferences`: the form that TRL calls an explicit prompt, conversational."""
    p_a, a, b = comparison.verdict.p_a, comparison.a.text, comparison.b.text
    better, worse = (a, b) if p_a is None or p_a >= 0.5 else (b, a)
    return {
        "id": comparison.id,
        "prompt": _messages(comparison.prompt.messages),
        "chosen": None if p_a is None else _answer(better),
        "rejected": None if p_a is None else _answer(worse),
        "label": None if p_a is None else max(p_a, 1 - p_a),
        "p_a": p_a,
        "p_raw": comparison.verdict.p_raw,
        "state": comparison.verdict.state,
        "reason": comparison.verdict.reason,
        "principles": list(comparison.principles),
        "paired": comparison.source,
        "a": a,
        "b": b,
        "readings": [_reading(one) for one in comparison.verdict.readings],
        **_prompt(comparison.prompt),
    }


def asked(prompt: Prompt) -> dict[str, Any]:
    """A row of `prompts`: the form that TRL calls prompt-only, conversational."""
    return {"prompt": _messages(prompt.messages), **_prompt(prompt)}


def _prompt(prompt: Prompt) -> dict[str, str]:
    return {"prompt_id": prompt.id, "kind": prompt.kind, "source": prompt.source}


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _completion(completion: Completion) -> dict[str, Any]:
    return completion.model_dump()


def _reading(reading: Reading) -> dict[str, Any]:
    reply = reading.reply and _completion(reading.reply)
    return {**reading.model_dump(), "logprobs": _logprobs(reading.logprobs), "reply": reply}


def _logprobs(logprobs: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": label, "logprob": value} for label, value in logprobs.items()]
