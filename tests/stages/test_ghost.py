"""Ghost attention: the model is told in every turn, SL-CAI learns as if it had been told once."""

from __future__ import annotations

import pytest
from recorder import Recorder, collect, text_of

from cai.config import GhostConfig, SelectionConfig
from cai.dialogues import dialogues
from cai.engines.base import Speaker
from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Dialogue, Ghost, Message, Prompt
from cai.selection import answer_of, select
from cai.stages.ghost import HaveDialogue

DIALOGUE = Dialogue(id="d", instruction="BE BRIEF", questions=("ONE", "TWO", "THREE"), source="test")
CONFIG = GhostConfig(max_tokens=7, temperature=0.5)


def ghost(engine: Recorder, dialect: str = "chat") -> Ghost:
    stage = HaveDialogue(Speaker(engine, Templates(dialect)), CONFIG, None, 5)
    (record,) = collect(stage, DIALOGUE)
    return record


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_every_turn_is_asked_with_the_instruction_before_it(dialect: str) -> None:
    engine = Recorder()
    ghost(engine, dialect)
    shown = [text_of(request.prompt) for request in engine.requests]
    assert [text.count("BE BRIEF") for text in shown] == [1, 2, 3]
    assert [text.count("reply") for text in shown] == [0, 1, 2]
    assert {(request.max_tokens, request.temperature) for request in engine.requests} == {(7, 0.5)}
    assert len({request.seed for request in engine.requests}) == 3


def test_what_is_learned_shows_it_in_the_first_turn_alone() -> None:
    record = ghost(Recorder())
    assert [(one.role, one.content) for one in record.prompt.messages] == [
        ("user", "BE BRIEF\n\nONE"),
        ("assistant", "reply 1"),
        ("user", "TWO"),
        ("assistant", "reply 2"),
        ("user", "THREE"),
    ]
    assert answer_of(record) == "reply 3"
    assert [reply.text for reply in record.replies()] == ["reply 1", "reply 2", "reply 3"]


def test_a_stored_conversation_is_not_had_again() -> None:
    engine = Recorder()
    record = ghost(engine)
    stage = HaveDialogue(Speaker(engine, Templates("chat")), CONFIG, None, 5)
    assert collect(stage, DIALOGUE, [record]) == [] and len(engine.requests) == 3


def test_its_answers_count_as_helpful_rows() -> None:
    record = ghost(Recorder())
    flagged = record.model_copy(update={"id": "e", "flags": ("empty",)})
    chosen = select([], [record, flagged], [], SelectionConfig(), 0)
    assert (chosen.rows, chosen.counts) == ((record,), {"empty": 1})


def prompts(count: int, turns: int = 1) -> list[Prompt]:
    more = [Message(role=role, content="x") for _ in range(turns - 1) for role in ("assistant", "user")]
    return [
        Prompt.of((Message(role="user", content=f"QUESTION {n}"), *more), "helpful", f"f:{n}") for n in range(count)
    ]


TOLD = [Prompt.of((Message(role="user", content=f"RULE {n}"),), "helpful", "r") for n in range(4)]


def test_a_conversation_asks_different_questions_and_begins_with_its_own() -> None:
    asked = prompts(9)
    found = dialogues(asked, TOLD, 3, None, 0)
    assert [one.questions[0] for one in found] == [one.messages[0].content for one in asked]
    assert all(len(set(one.questions)) == 3 for one in found)
    assert {one.instruction for one in found} <= {one.messages[0].content for one in TOLD}
    assert len({one.questions[1] for one in found}) > 1 < len({one.instruction for one in found})


def test_draws_depend_on_the_seed_and_the_question_alone() -> None:
    asked = prompts(9)
    assert dialogues(asked, TOLD, 3, 4, 0) == dialogues(asked, TOLD, 3, None, 0)[:4]
    assert dialogues(asked, TOLD, 3, None, 0) != dialogues(asked, TOLD, 3, None, 1)


def test_prompts_of_several_turns_are_left_aside_and_too_few_are_refused() -> None:
    assert len(dialogues([*prompts(3), *prompts(2, turns=2)], TOLD, 3, None, 0)) == 3
    with pytest.raises(InputError, match=r"ghost: 2 helpful prompts .* asks 3"):
        dialogues([*prompts(2), *prompts(2, turns=2)], TOLD, 3, None, 0)
