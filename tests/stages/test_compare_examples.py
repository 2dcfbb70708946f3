"""Worked comparisons that leave their principle or their seats open get them anew for each prompt, by seed."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from recorder import Recorder, collect, comparing, judging, text_of

from cai.constitution import Constitution
from cai.feedback_config import CompareConfig
from cai.few_shot import ComparisonExample, comparison_examples
from cai.records import Message, Prompt

RULES = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "plain", "comparison": "PLAIN", "tags": ["few"]},
            {"id": "often", "comparison": "OFTEN", "weight": 3},
            {"id": "never", "critique": "NEVER", "revision": "NEVER"},
        ],
    }
)
SAID = {"messages": (Message(role="user", content="SHOWN"),)}
OPEN = ComparisonExample.model_validate({"id": "open", **SAID, "better": "GOOD", "worse": "BAD"})
SEATED = ComparisonExample.model_validate({"id": "seated", **SAID, "a": "BAD", "b": "GOOD", "answer": "B"})
ASKED = ComparisonExample.model_validate(
    {"id": "asked", **SAID, "instruction": "ASKED", "better": "GOOD", "worse": "BAD"}
)
BLOCK = re.compile(
    r"SHOWN\n\n\n(\w+) Options:\n \(A\) \[\[\[(\w+)\]\]\]\n \(B\) \[\[\[(\w+)\]\]\]\n\nThe answer is: \((\w)\)"
)
PROMPTS = [Prompt.of((Message(role="user", content=f"Q{i}"),), "harmful", "test") for i in range(60)]


def questions(
    prompt: Prompt, shown: tuple[ComparisonExample, ...], seed: int = 5, rules: Constitution = RULES, **settings: Any
) -> list[str]:
    judge = Recorder()
    collect(comparing(Recorder(), judge, rules, CompareConfig(**settings), "transcript", shown, seed), prompt)
    return [text_of(question) for question, _ in judge.questions]


def draws(prompt: Prompt, shown: tuple[ComparisonExample, ...], **settings: Any) -> list[tuple[str, ...]]:
    """Instruction, answers and letter of each worked example, the same in both seatings of the pair."""
    there, back = (BLOCK.findall(text) for text in questions(prompt, shown, **settings))
    assert there == back and len(there) == len(shown)
    return there


def test_seats_and_principles_are_drawn_for_each_prompt_and_told_rightly() -> None:
    found = Counter(draw for prompt in PROMPTS for draw in draws(prompt, (OPEN,)))
    assert set(found) == {
        (rule, *seats) for rule in ("PLAIN", "OFTEN") for seats in (("GOOD", "BAD", "A"), ("BAD", "GOOD", "B"))
    }
    assert sum(count for draw, count in found.items() if draw[0] == "OFTEN") > 36, "three times as heavy as the other"
    assert 20 < sum(count for draw, count in found.items() if draw[3] == "A") < 40


def test_what_is_written_is_kept() -> None:
    for prompt in PROMPTS[:20]:
        asked, seated = draws(prompt, (ASKED, SEATED))
        assert asked[0] == "ASKED" and seated[1:] == ("BAD", "GOOD", "B")


def test_draws_depend_on_seed_prompt_and_example_alone() -> None:
    other = OPEN.model_copy(update={"id": "other"})
    drawn = [draws(prompt, (OPEN, other)) for prompt in PROMPTS]
    assert drawn == [draws(prompt, (OPEN, other)) for prompt in PROMPTS]
    assert [pair[::-1] for pair in drawn] == [draws(prompt, (other, OPEN)) for prompt in PROMPTS]
    for part in (0, 3):  # the principle, and the better answer's letter
        assert [pair[0][part] for pair in drawn] != [pair[1][part] for pair in drawn]
    assert drawn != [draws(prompt, (OPEN, other), seed=6) for prompt in PROMPTS]


def test_a_recipe_s_tags_hold_for_the_question_and_its_examples() -> None:
    for prompt in PROMPTS[:10]:
        texts = questions(prompt, (OPEN,), tags=("few",))
        assert all("OFTEN" not in text and text.count("PLAIN") == 2 for text in texts)


def test_whole_examples_are_handed_on_as_they_are() -> None:
    shown = comparison_examples("few_shot/comparison", 2)
    judge = judging(Recorder(), RULES, CompareConfig(), "transcript", shown, 5)
    assert judge._examples(PROMPTS[0].id) is shown


def test_the_constitution_s_opening_begins_every_question() -> None:
    rules = RULES.model_copy(update={"opening": "LOOK HERE:"})
    for text in questions(PROMPTS[0], (OPEN, SEATED), rules=rules):
        assert text.startswith("\n\nLOOK HERE:\n\nHuman: SHOWN") and text.count("\n\nLOOK HERE:\n\nHuman: ") == 3
    assert all("person and an assistant" in text for text in questions(PROMPTS[0], ()))
