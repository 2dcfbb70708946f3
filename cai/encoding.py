"""One way from prompt and answer to tokens: what is sampled, trained on and scored is the same text."""

from __future__ import annotations

import re
from typing import Any

import jinja2

from cai.errors import EngineError, InputError
from cai.prompts import Rendered, neutralise


def prompt_text(tokenizer: Any, prompt: Rendered, thinking: bool | None = None) -> str:
    """The text a model continues. Raises EngineError where a chat is asked of a tokenizer without a chat template.

    `thinking` is passed to a template that knows the word (`enable_thinking`). A forced start of the reply leaves no
    room for thoughts before it, and turns them off.
    """
    if not prompt.messages:
        return neutralise(prompt.text, _special(tokenizer))
    asked = False if prompt.reply_start else thinking
    options = {} if asked is None else {"enable_thinking": asked}
    return _chat(tokenizer, chat_turns(tokenizer, prompt), add_generation_prompt=True, **options) + prompt.reply_start


def chat_turns(tokenizer: Any, prompt: Rendered) -> list[dict[str, str]]:
    """The messages as plain dictionaries; special tokens inside a message are broken up, so they open no turn."""
    special = _special(tokenizer)
    return [{"role": m.role, "content": neutralise(m.content, special)} for m in prompt.messages]


def encode(tokenizer: Any, text: str, prompt: Rendered) -> list[int]:
    """Tokens of `text`; a chat template writes its own special tokens, a transcript gets the tokenizer's."""
    return tokenizer(text, add_special_tokens=not prompt.messages)["input_ids"]


def answered(tokenizer: Any, prompt: Rendered, answer: str) -> tuple[list[int], int]:
    """Tokens of prompt and answer up to the end-of-text token, and how many of them are the prompt's."""
    start = encode(tokenizer, prompt_text(tokenizer, prompt), prompt)
    end = tokenizer.eos_token_id
    text = neutralise(answer, _special(tokenizer))
    if not prompt.messages:
        return [*start, *tokenizer(f" {text}", add_special_tokens=False)["input_ids"], end], len(start)
    turn = {"role": "assistant", "content": f"{prompt.reply_start} {text}" if prompt.reply_start else text}
    ids = encode(tokenizer, _chat(tokenizer, [*chat_turns(tokenizer, prompt), turn]), prompt)
    if ids[: len(start)] != start:
        raise EngineError("the chat template changes a prompt once it is answered; use one that only adds to it")
    tail = ids[len(start) :]
    stop = len(tail) - 1 - tail[::-1].index(end) if end in tail else len(tail)
    return [*start, *tail[:stop], end], len(start)


def earlier_answers(tokenizer: Any, prompt: Rendered) -> list[tuple[int, int]]:
    """Where the assistant spoke before, among the prompt's tokens: each turn's first token and the one after its last.

    A turn of a chat ends with the token that closes it, one of a transcript with the last token that begins before the
    next turn opens. Raises EngineError where a chat template writes a turn otherwise once others follow, InputError
    where a transcript does not end as the assistant's turns open.
    """
    if prompt.messages:
        return _chat_answers(tokenizer, prompt)
    return _transcript_answers(tokenizer, prompt)


def _chat_answers(tokenizer: Any, prompt: Rendered) -> list[tuple[int, int]]:
    ids, turns = encode(tokenizer, prompt_text(tokenizer, prompt), prompt), chat_turns(tokenizer, prompt)
    spans = []
    for number in (n for n, turn in enumerate(turns) if turn["role"] == "assistant"):
        known = encode(tokenizer, _chat(tokenizer, turns[:number], add_generation_prompt=True), prompt)
        first = len(known)
        if tokenizer.eos_token_id in ids[first:]:  # the turn's end: special tokens within a message are broken up
            end = ids.index(tokenizer.eos_token_id, first) + 1
        else:
            known = encode(tokenizer, _chat(tokenizer, turns[: number + 1]), prompt)
            end = len(known)
        if ids[: len(known)] != known:
            raise EngineError(
                "the chat template changes a turn once others follow, so the assistant's turns cannot be told; take "
                "`loss: answer`, or a template that only adds to what is there"
            )
        spans.append((first, end))
    return spans


def _transcript_answers(tokenizer: Any, prompt: Rendered) -> list[tuple[int, int]]:
    text = prompt_text(tokenizer, prompt)
    opening = next((stop for stop in prompt.stop if text.endswith(stop)), None)
    if opening is None:
        known = ", ".join(map(repr, prompt.stop)) or "nothing"
        raise InputError(f"a transcript ends with {text[-20:]!r}; expected what opens a turn, of `stop`: {known}")
    if not tokenizer.is_fast:
        raise EngineError("this tokenizer does not tell where its tokens lie in a transcript; take `loss: answer`")
    begins = [begin for begin, _ in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]
    spans = []
    for turn in list(re.finditer(re.escape(opening), text))[:-1]:
        end = min(at for stop in prompt.stop if (at := text.find(stop, turn.end())) >= 0)
        said = [number for number, begin in enumerate(begins) if turn.end() <= begin < end]
        spans += [(said[0], said[-1] + 1)] if said else []
    return spans


def _special(tokenizer: Any) -> list[str]:
    return [token for token in tokenizer.all_special_tokens if len(token) > 1]


def _chat(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    if not tokenizer.chat_template:
        raise EngineError(f"{tokenizer.name_or_path} has no chat template; give this model `dialect: transcript`")
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, **options)
    except jinja2.TemplateError:
        if turns[0]["role"] != "system" or len(turns) == 1:
            raise
    return tokenizer.apply_chat_template(_without_system(turns), tokenize=False, **options)


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """For templates that know no system turn (Gemma's, older ones of Mistral): its text opens the user's first turn."""
    system, first, *rest = turns
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *rest]
