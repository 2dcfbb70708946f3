"""Critique-revision chains do what the paper's section 3.1 says, and what the recipe asks for beside it."""

import math
from typing import Any

import pytest
from recorder import PROMPT, Recorder, collect, text_of

from cai.config import ReviseConfig
from cai.constitution import Constitution
from cai.engines.base import Speaker
from cai.errors import InputError
from cai.few_shot import revision_examples
from cai.prompts import Templates
from cai.records import Message, Prompt
from cai.stages.revise import Revise

CONSTITUTION = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "one", "critique": "CRITIQUE ONE", "revision": "REVISION ONE", "tags": ["harm"]},
            {"id": "two", "critique": "CRITIQUE TWO", "revision": "REVISION TWO", "tags": ["tone"]},
            {"id": "judge", "comparison": "COMPARISON"},
            {"id": "late", "critique": "CRITIQUE LATE", "revision": "REVISION LATE", "rounds": [9]},
        ],
    }
)


def revise(
    engine: Recorder,
    dialect: str = "chat",
    rounds: int = 3,
    few_shot: int = 0,
    rules: Constitution = CONSTITUTION,
    **settings: Any,
) -> Revise:
    examples = revision_examples("few_shot/critique_revision", few_shot)
    config = ReviseConfig.model_validate({"rounds": rounds, **settings})
    return Revise(Speaker(engine, Templates(dialect)), rules, examples, config, 5)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_each_round_critiques_the_last_revision_and_drops_earlier_critiques(dialect: str) -> None:
    engine = Recorder()
    chain = collect(revise(engine, dialect), PROMPT)
    asked = [text_of(request.prompt) for request in engine.requests]
    assert [revision.response.text for revision in chain] == ["reply 1", "reply 3", "reply 5", "reply 7"]
    assert [revision.critique and revision.critique.text for revision in chain] == [
        None,
        "reply 2",
        "reply 4",
        "reply 6",
    ]
    assert "reply 1" in asked[1] and "reply 2" in asked[2] and "reply 3" in asked[3]
    for later in asked[3:]:
        assert "reply 1" not in later and "reply 2" not in later
    for number, revision in enumerate(chain[1:]):
        wording = revision.principles[0].upper()
        assert f"CRITIQUE {wording}" in asked[1 + 2 * number] and f"REVISION {wording}" in asked[2 + 2 * number]


def test_the_first_answer_sees_no_examples_and_the_critique_does() -> None:
    engine = Recorder()
    collect(revise(engine, few_shot=2, rounds=1), PROMPT)
    first, critique, revision = (text_of(request.prompt) for request in engine.requests)
    example = revision_examples("few_shot/critique_revision", 1)[0].critique
    assert example not in first and example in critique and example in revision


def test_a_chain_cut_anywhere_goes_on_as_the_unbroken_one() -> None:
    whole = collect(revise(Recorder()), PROMPT)
    for cut in range(1, len(whole) + 1):
        engine = Recorder()
        rest = collect(revise(engine), PROMPT, whole[:cut])
        assert [r.principles for r in rest] == [r.principles for r in whole[cut:]]
        assert [request.seed for request in engine.requests[1::2]] == [r.response.seed for r in whole[cut:]]
        assert len(engine.requests) == 2 * len(rest)
    assert collect(revise(Recorder()), PROMPT, whole) == []


def test_seeds_differ_between_steps_prompts_and_runs() -> None:
    engine = Recorder()
    collect(revise(engine), PROMPT)
    other = Prompt.of((Message(role="user", content="OTHER"),), "harmful", "test")
    collect(revise(engine), other)
    seeds = [request.seed for request in engine.requests]
    assert len(set(seeds)) == len(seeds) == 14


def test_every_principle_that_serves_revision_is_drawn_and_no_other() -> None:
    prompts = [Prompt.of((Message(role="user", content=f"Q{i}"),), "harmful", "test") for i in range(40)]
    drawn = {r.principles[0] for p in prompts for r in collect(revise(Recorder(), rounds=1), p) if r.round}
    assert drawn == {"one", "two"}


def prompts(count: int) -> list[Prompt]:
    return [Prompt.of((Message(role="user", content=f"Q{i}"),), "harmful", "test") for i in range(count)]


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_a_direct_revision_asks_for_no_critique_and_shows_none(dialect: str) -> None:
    engine = Recorder()
    chain = collect(revise(engine, dialect, rounds=2, few_shot=1, critique=False), PROMPT)
    assert [one.response.text for one in chain] == ["reply 1", "reply 2", "reply 3"]
    assert all(one.critique is None for one in chain)
    example = revision_examples("few_shot/critique_revision", 1)[0]
    for request in engine.requests[1:]:
        asked = text_of(request.prompt)
        assert "REVISION" in asked and "CRITIQUE" not in asked
        assert example.revision in asked and example.critique not in asked


def test_direct_revisions_draw_principles_that_have_no_critique() -> None:
    rules = Constitution.model_validate({"name": "x", "principles": [{"id": "bare", "revision": "REVISION"}]})
    chain = collect(revise(Recorder(), rules=rules, rounds=1, critique=False), PROMPT)
    assert chain[1].principles == ("bare",)
    with pytest.raises(InputError, match="no principle serves revision in round 1; give one 'critique' and 'revision'"):
        collect(revise(Recorder(), rules=rules, rounds=1), PROMPT)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@pytest.mark.parametrize("count", [2, "all"])
def test_several_principles_stand_in_one_request(dialect: str, count: int | str) -> None:
    engine = Recorder()
    chain = collect(revise(engine, dialect, rounds=1, principles=count), PROMPT)
    assert sorted(chain[1].principles) == ["one", "two"]
    critique, revision = (text_of(request.prompt) for request in engine.requests[1:])
    assert "- CRITIQUE ONE" in critique and "- CRITIQUE TWO" in critique
    assert "- REVISION ONE" in revision and "- REVISION TWO" in revision and "LATE" not in revision


def test_without_replacement_no_principle_comes_twice_before_all_came() -> None:
    for prompt in prompts(20):
        drawn = [one.principles[0] for one in collect(revise(Recorder(), rounds=2, replacement=False), prompt)[1:]]
        assert sorted(drawn) == ["one", "two"]
    with_replacement = [collect(revise(Recorder(), rounds=2), prompt)[1:] for prompt in prompts(20)]
    assert any(len({one.principles for one in chain}) == 1 for chain in with_replacement)


def test_a_chain_without_replacement_goes_on_as_the_unbroken_one() -> None:
    whole = collect(revise(Recorder(), replacement=False), PROMPT)
    for cut in range(1, len(whole)):
        rest = collect(revise(Recorder(), replacement=False), PROMPT, whole[:cut])
        assert [one.principles for one in rest] == [one.principles for one in whole[cut:]]


def test_rounds_and_tags_say_what_is_drawn() -> None:
    def drawn(round_: int, **settings: Any) -> set[str]:
        chains = [collect(revise(Recorder(), rounds=round_, **settings), prompt) for prompt in prompts(30)]
        return {chain[round_].principles[0] for chain in chains}

    assert drawn(1) == {"one", "two"}
    assert drawn(9) == {"one", "two", "late"}
    assert drawn(1, tags=["tone"]) == {"two"}
    assert drawn(2, tags=["tone"], round_tags={2: ["harm"]}) == {"one"}


def test_samples_are_chains_of_their_own_that_resume_on_their_own() -> None:
    engine = Recorder()
    whole = collect(revise(engine, rounds=2, samples=3), PROMPT)
    assert [(one.sample, one.round) for one in whole] == [(s, r) for s in range(3) for r in range(3)]
    assert len({one.id for one in whole}) == 9
    assert len({request.seed for request in engine.requests}) == 15
    for cut in (1, 3, 5, 8):
        rest = collect(revise(Recorder(), rounds=2, samples=3), PROMPT, whole[:cut])
        assert [one.id for one in rest] == [one.id for one in whole[cut:]]
        assert [one.response.seed for one in rest] == [one.response.seed for one in whole[cut:]]


def test_every_turn_of_the_conversation_is_shown() -> None:
    turns = [("user", "FIRST"), ("assistant", "SECOND"), ("user", "THIRD: with a colon: kept")]
    messages = tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns)
    engine = Recorder()
    collect(revise(engine, "transcript", rounds=1), Prompt.of(messages, "harmful", "test"))
    told = "\n\nHuman: FIRST\n\nAssistant: SECOND\n\nHuman: THIRD: with a colon: kept\n\nAssistant:"
    assert engine.requests[0].prompt.text == told
    for request in engine.requests[1:]:
        assert request.prompt.text.startswith(f"{told} reply 1\n\nCritiqueRequest:")


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_a_chain_stops_where_nothing_is_to_be_changed(dialect: str) -> None:
    yes_then_no = [[math.log(0.8), math.log(0.2)], [math.log(0.1), math.log(0.4)]]
    engine = Recorder(scores=yes_then_no)
    chain = collect(revise(engine, dialect, rounds=4, stop=0.75), PROMPT)
    assert [one.flags for one in chain] == [(), (), ("stopped",)]
    assert chain[2].response == chain[1].response and chain[2].critique is None
    assert chain[2].check == {" yes": math.log(0.1), " no": math.log(0.4)}
    assert len(engine.requests) == 3 and len(engine.questions) == 2
    assert chain[2].replies() == [] and len(chain[1].replies()) == 2
    assert collect(revise(Recorder(), dialect, rounds=4, stop=0.75), PROMPT, chain) == []


@pytest.mark.parametrize("scores", [[math.log(0.2), math.log(0.6)], [-1.0, -math.inf], [-math.inf, -1.0]])
def test_a_chain_goes_on_below_the_limit_and_where_a_label_is_unread(scores: list[float]) -> None:
    chain = collect(revise(Recorder(scores=[scores]), rounds=1, stop=0.75), PROMPT)
    assert chain[1].flags == () and chain[1].critique is not None and chain[1].check


def test_nothing_is_asked_before_a_critique_unless_the_recipe_says_so() -> None:
    engine = Recorder()
    chain = collect(revise(engine), PROMPT)
    assert engine.questions == [] and all(one.check is None for one in chain)


def test_flags_are_recorded_and_nothing_is_changed() -> None:
    engine = Recorder(replies=["an answer", "It is unkind, since the assistant's answer mocks him.", "an answer"])
    chain = collect(revise(engine, rounds=1), PROMPT)
    assert chain[1].flags == ("unchanged",) and chain[1].response.text == "an answer"
    assert chain[1].attempts == ()


def test_a_flagged_reply_is_asked_for_again_and_kept_as_an_attempt() -> None:
    critique = "It is unkind, since the assistant's answer mocks him."
    replies = ["an answer", "", critique, "", "", "a kinder answer"]
    engine = Recorder(replies=replies)
    chain = collect(revise(engine, rounds=1, resample={"times": 2}), PROMPT)
    assert chain[1].critique.text == critique and chain[1].response.text == "a kinder answer"
    assert [(one.step, one.flags) for one in chain[1].attempts] == [
        ("critique", ("empty",)),
        ("revision", ("empty",)),
        ("revision", ("empty",)),
    ]
    assert len({request.seed for request in engine.requests}) == 6
    assert chain[1].replies() == [chain[1].critique, chain[1].response, *(one.reply for one in chain[1].attempts)]


def test_the_last_attempt_stands_with_its_flags() -> None:
    engine = Recorder(replies=["an answer", "It is unkind, since the assistant's answer mocks him.", "", ""])
    chain = collect(revise(engine, rounds=1, resample={"times": 1, "flags": ["empty"]}), PROMPT)
    assert chain[1].flags == ("empty",) and len(chain[1].attempts) == 1
