"""The data stages do what the paper's sections say, shown on an engine that writes down what it is asked."""

import math
from typing import Any

import pytest
from recorder import PROMPT, Recorder, collect, comparing, text_of

from cai.config import EvaluateConfig, RespondConfig, ReviseConfig
from cai.constitution import Constitution
from cai.engines.base import Speaker
from cai.feedback_config import CompareConfig
from cai.few_shot import comparison_examples
from cai.prompts import Rendered, Templates
from cai.records import Message, Prompt
from cai.stages.compare import Compare
from cai.stages.evaluate import Evaluate, ScoreRounds
from cai.stages.respond import Respond
from cai.stages.revise import Revise

CONSTITUTION = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "one", "critique": "CRITIQUE ONE", "revision": "REVISION ONE", "comparison": "COMPARISON ONE"},
            {"id": "two", "critique": "CRITIQUE TWO", "revision": "REVISION TWO"},
            {"id": "three", "comparison": "COMPARISON THREE"},
        ],
    }
)


def test_respond_answers_once() -> None:
    engine = Recorder()
    config = RespondConfig(max_tokens=7, temperature=0.5, top_p=0.9)
    stage = Respond(Speaker(engine, Templates("chat")), config, None, 0)
    (answer,) = collect(stage, PROMPT)
    request = engine.requests[0]
    assert (request.max_tokens, request.temperature, request.top_p) == (7, 0.5, 0.9)
    assert answer.response.text == "reply 1" and collect(stage, PROMPT, [answer]) == []


def compare(policy: Recorder, judge: Recorder, few_shot: int = 0, **asked: Any) -> Compare:
    """`asked`: settings of the judge."""
    examples = comparison_examples("few_shot/comparison", few_shot)
    config = CompareConfig.model_validate({"judge": asked})
    return comparing(policy, judge, CONSTITUTION, config, shown=examples)


def test_both_orders_are_asked_and_averaged_by_hand() -> None:
    # Seating ab: (A)=a at 3:1; seating ba: (A)=b at 1:1. P(a) = (0.75 + 0.5) / 2.
    judge = Recorder(scores=[[math.log(0.3), math.log(0.1)], [math.log(0.2), math.log(0.2)]])
    (comparison,) = collect(compare(Recorder(), judge), PROMPT)
    assert comparison.verdict.p_a == pytest.approx(0.625)
    assert [reading.first for reading in comparison.verdict.readings] == ["a", "b"]
    assert comparison.verdict.readings[0].logprobs == {" (A)": math.log(0.3), " (B)": math.log(0.1)}
    there, back = (text_of(prompt) for prompt, _ in judge.questions)
    assert there.index("reply 1") < there.index("reply 2") and back.index("reply 2") < back.index("reply 1")
    assert judge.questions[0][0].reply_start == "The answer is:"


def test_a_judge_that_only_looks_at_the_seat_says_nothing() -> None:
    judge = Recorder(scores=[[math.log(0.9), math.log(0.1)]] * 2)
    (comparison,) = collect(compare(Recorder(), judge), PROMPT)
    assert comparison.verdict.p_a == pytest.approx(0.5)


def test_a_missing_label_is_unparsed_and_never_a_tie() -> None:
    judge = Recorder(scores=[[-1.0, -math.inf], [-1.0, -2.0]])
    (comparison,) = collect(compare(Recorder(), judge), PROMPT)
    assert comparison.verdict.state == "unparsed" and comparison.verdict.p_a is None


def test_identical_answers_are_not_judged() -> None:
    judge = Recorder()
    (comparison,) = collect(compare(Recorder(replies=["same", "same"]), judge), PROMPT)
    assert comparison.verdict.state == "skipped" and judge.questions == []


def test_one_random_order_is_seeded_and_uses_both_seats() -> None:
    prompts = [Prompt.of((Message(role="user", content=f"Q{i}"),), "harmful", "test") for i in range(40)]
    firsts = []
    for _ in range(2):
        stage = compare(Recorder(), Recorder(), orders="random")
        made = [collect(stage, prompt)[0] for prompt in prompts]
        assert all(len(comparison.verdict.readings) == 1 for comparison in made)
        firsts.append([comparison.verdict.readings[0].first for comparison in made])
    assert firsts[0] == firsts[1] and 10 < firsts[0].count("a") < 30


def test_few_shot_comparisons_come_before_the_question() -> None:
    judge = Recorder()
    collect(compare(Recorder(), judge, few_shot=2), PROMPT)
    shown = judge.questions[0][0].messages
    assert [m.role for m in shown] == ["user", "assistant", "user", "assistant", "user"]
    assert shown[1].content in ("The answer is: (A)", "The answer is: (B)")


def test_one_principle_is_drawn_for_each_pair_and_stands_in_both_questions() -> None:
    prompts = [Prompt.of((Message(role="user", content=f"Q{i}"),), "harmful", "test") for i in range(40)]
    drawn = []
    for prompt in prompts:
        judge = Recorder()
        (comparison,) = collect(compare(Recorder(), judge), prompt)
        (name,) = comparison.principles
        assert comparison.id == f"{prompt.id}/0-1" and comparison.source == "samples"
        assert all(f"COMPARISON {name.upper()}" in text_of(question) for question, _ in judge.questions)
        assert {reading.principle for reading in comparison.verdict.readings} == {name}
        drawn.append(name)
    assert set(drawn) == {"one", "three"}, "a principle without a comparison is never drawn"
    assert 10 < drawn.count("one") < 30


def test_a_comparison_that_is_stored_is_not_made_again() -> None:
    (comparison,) = collect(compare(Recorder(), Recorder()), PROMPT)
    policy, judge = Recorder(), Recorder()
    assert collect(compare(policy, judge), PROMPT, [comparison]) == []
    assert policy.requests == [] and judge.questions == []


class Lengths:
    async def score(self, prompt: Rendered, answer: str) -> float:
        return float(len(answer))


def test_evaluate_measures_log_ratios_reward_and_length() -> None:
    policy = Recorder(scores=[[-2.0], [-2.0]], replies=["I'm sorry, but I can't help."])
    base, sl = Recorder(scores=[[-5.0]]), Recorder(scores=[[-3.5]])
    speakers = [Speaker(engine, Templates("chat")) for engine in (policy, base, sl)]
    stage = Evaluate("RL-CAI", speakers[0], speakers[1], speakers[2], Lengths(), EvaluateConfig(), 5)
    (measured,) = collect(stage, PROMPT)
    assert (measured.kl_base, measured.kl_sl) == (3.0, 1.5)
    assert measured.reward == len("I'm sorry, but I can't help.") and measured.words == 6
    assert measured.refusal and measured.evasive
    assert policy.questions[0][1] == ["I'm sorry, but I can't help."]
    assert collect(stage, PROMPT, [measured]) == []


def test_the_base_model_is_at_no_distance_and_all_models_share_draws() -> None:
    seeds = []
    for model in ("base", "SL-CAI"):
        engine = Recorder()
        stage = Evaluate(model, Speaker(engine, Templates("chat")), None, None, Lengths(), EvaluateConfig(), 5)
        (measured,) = collect(stage, PROMPT)
        assert (measured.kl_base, measured.kl_sl) == (0.0, None) and engine.questions == []
        seeds.append(engine.requests[0].seed)
    assert seeds[0] == seeds[1]


def test_rounds_are_scored_once() -> None:
    config = ReviseConfig(rounds=3)
    chain = collect(Revise(Speaker(Recorder(), Templates("chat")), CONSTITUTION, (), config, 5, "direct"), PROMPT)
    stage = ScoreRounds(Templates("chat"), Lengths())
    scores = [collect(stage, revision)[0] for revision in chain]
    assert [(s.id, s.round, s.reward) for s in scores] == [(r.id, r.round, 7.0) for r in chain]
    assert [(s.principles, s.variant) for s in scores] == [(r.principles, "direct") for r in chain]
    assert collect(stage, chain[0], [scores[0]]) == []
