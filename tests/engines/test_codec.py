"""From requests to tokens and from replies to completions: thoughts, special tokens, system turns."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from cai.engines.base import Request
from cai.engines.codec import Codec, split_thoughts
from cai.errors import ItemFailed
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion, Message
from cai.weights import TINY, resolve

THINKER = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% elif enable_thinking is defined %}<think>\n{% endif %}"
)
"""Qwen 3's manner, with thoughts opened by the prompt where they are asked for."""
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Gemma's manner."""


def tokenizer(template: str | None = None, special_thoughts: bool = False) -> Any:
    made: Any = AutoTokenizer.from_pretrained(resolve(TINY))
    if template:
        made.chat_template = template
    if special_thoughts:
        made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<think>", "</think>"]})
    return made


def codec(made: Any = None, thinking: bool | None = None, context: int | None = None) -> Codec:
    return Codec(made or tokenizer(), ModelConfig(model=TINY, thinking=thinking), context)


def request(*messages: tuple[str, str], reply_start: str = "", stop: tuple[str, ...] = ()) -> Request:
    turns = tuple(Message.model_validate({"role": role, "content": content}) for role, content in messages)
    return Request(Rendered(messages=turns, reply_start=reply_start, stop=stop), 8, 1.0, 1.0, 5)


ASKED = request(("user", "Hi"))


def completed(by: Codec, reply: str, asked: Request = ASKED, **options: Any) -> Completion:
    tokens = by.tokenizer(reply, add_special_tokens=False)["input_ids"]
    return by.completion(asked, by.prompt(asked), tokens, "stop", seeded=True, **options)


@pytest.mark.parametrize(
    ("text", "opened", "reasoning", "answer"),
    [
        pytest.param("<think>\nHm.\n</think>\n\nYes.", False, "Hm.", "\n\nYes.", id="with both tags"),
        pytest.param("  <think>Hm.</think>Yes.", False, "Hm.", "Yes.", id="after spaces"),
        pytest.param("Hm.\n</think>Yes.", True, "Hm.", "Yes.", id="opened by the prompt"),
        pytest.param("<think>Hm.</think>Yes.", True, "Hm.", "Yes.", id="opened by both"),
        pytest.param("<think>Hm. And", False, "Hm. And", "", id="never ended"),
        pytest.param("Hm. And", True, "Hm. And", "", id="opened by the prompt, never ended"),
        pytest.param("Write </think> at the end.", False, "", "Write </think> at the end.", id="an ordinary reply"),
        pytest.param("So: <think>x</think>", False, "", "So: <think>x</think>", id="tags within a reply"),
        pytest.param("<think></think>Yes.", False, "", "Yes.", id="no thoughts"),
        pytest.param("<think>a</think>b</think>c", False, "a", "b</think>c", id="only the first end counts"),
        pytest.param("", False, "", "", id="nothing"),
    ],
)
def test_thoughts_are_split_from_the_answer(text: str, opened: bool, reasoning: str, answer: str) -> None:
    assert split_thoughts(text, opened) == (reasoning, answer)


@pytest.mark.parametrize("special", [False, True], ids=["plain tags", "special tags"])
@pytest.mark.parametrize(
    ("thinking", "reply", "reasoning", "text"),
    [
        (None, "<think>Hm.</think>\n\nYes.<|im_end|>", "Hm.", "Yes."),
        (True, "Hm.</think>\n\nYes.<|im_end|>", "Hm.", "Yes."),
        (True, "Hm. And so", "Hm. And so", ""),
        (False, "Yes.", "", "Yes."),
        (False, "The tag </think> ends it.", "", "The tag </think> ends it."),
    ],
)
def test_a_completion_holds_thoughts_apart_from_its_text(
    special: bool, thinking: bool | None, reply: str, reasoning: str, text: str
) -> None:
    found = completed(codec(tokenizer(THINKER, special), thinking), reply)
    assert (found.reasoning, found.text, found.raw) == (reasoning, text, reply)


def test_a_template_that_knows_the_word_is_told_whether_to_think() -> None:
    made = tokenizer(THINKER)
    shown = {think: made.decode(codec(made, think).prompt(ASKED)) for think in (None, True, False)}
    assert shown[None].endswith("assistant\n")
    assert shown[True] == shown[None] + "<think>\n"
    assert shown[False] == shown[None] + "<think>\n\n</think>\n\n"


def test_a_forced_start_of_the_reply_and_labels_leave_no_room_for_thoughts() -> None:
    made = tokenizer(THINKER)
    asked = request(("user", "Hi"), reply_start="The answer is")
    assert made.decode(codec(made, True).prompt(asked)).endswith("<think>\n\n</think>\n\nThe answer is")
    question = codec(made, True).question(ASKED.prompt, (" A", " B"))
    assert made.decode(question.ids).endswith("<think>\n\n</think>\n\n ")


def test_a_template_that_knows_no_thoughts_is_left_alone() -> None:
    assert codec(thinking=True).prompt(ASKED) == codec(thinking=False).prompt(ASKED) == codec().prompt(ASKED)


def test_a_system_turn_opens_the_first_turn_where_the_template_rejects_it() -> None:
    turns = (("user", "Hi"), ("assistant", "Hello."), ("user", "Why?"))
    asked, folded = request(("system", "Be kind."), *turns), request(("user", "Be kind.\n\nHi"), *turns[1:])
    made = codec(tokenizer(NO_SYSTEM))
    assert made.prompt(asked) == made.prompt(folded)
    assert codec().prompt(asked) != codec().prompt(folded)


def test_a_completion_says_what_was_asked_and_counted() -> None:
    found = completed(codec(), " Yes.<|im_end|> ", cached=3)
    prompt = len(codec().prompt(ASKED))
    assert (found.text, found.raw, found.finish) == ("Yes.", " Yes.<|im_end|> ", "stop")
    assert (found.prompt_tokens, found.tokens, found.cached_tokens, found.seed) == (prompt, 7, 3, 5)


def test_a_completion_ends_before_the_first_stop() -> None:
    asked = request(("user", "Hi"), stop=("Human:", "\n\n"))
    assert completed(codec(), "Yes. Human: no\n\nmore", asked).text == "Yes."
    assert completed(codec(), "Yes.\n\nHuman: no", asked).text == "Yes."


def test_what_does_not_fit_is_told_with_what_to_lower() -> None:
    room = len(codec().prompt(ASKED)) + 8
    assert codec(context=room).prompt(ASKED)
    with pytest.raises(ItemFailed, match=f"exceed the model's {room - 1}; lower few_shot"):
        codec(context=room - 1).prompt(ASKED)
    with pytest.raises(ItemFailed, match="lower few_shot"):
        codec(context=room).question(ASKED.prompt, ("x" * 20, "y"))
