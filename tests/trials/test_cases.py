"""A constitution's tests: which there are, what they ask, and what passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from trial_engine import BOTH, PAIRS, Taste, material, serve, text_of

from cai.config import ReviseConfig
from cai.constitution import Principle, load_constitution
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import EngineError, InputError
from cai.feedback_config import CompareConfig, SampledAnswers
from cai.identity import seed_of
from cai.judge.judge import Judge
from cai.material import Material
from cai.principle_tests import PrincipleTest
from cai.prompts import Rendered
from cai.records import Completion, Message, Prompt, Reading, Revision, Verdict
from cai.resources import shipped
from cai.stages.compare import Compare
from cai.stages.pairs import Samples
from cai.stages.revise import Revise
from cai.trials.asking import outcomes, trial
from cai.trials.cases import Case, Outcome, cases, holds
from cai.verdicts import RATINGS

SHIPPED = sorted(path.stem for path in shipped("constitutions").glob("*.yaml"))
BARE = "name: bare\nprinciples: [{id: a, comparison: Which one}]"
RULE = Principle.model_validate({"id": "x", "comparison": "Which?"})
PAIR = PrincipleTest.model_validate({"prompt": "Hi", "better": "Hello", "worse": "No"})
LIKELY = 1 / (1 + math.exp(-1))
"""P of a label that is one nat above the other."""


def run(found: Material, *only: str) -> list[Outcome]:
    wanted = cases(found, only)
    with Pool(lambda model: None) as pool:
        return pool.run(outcomes(wanted, trial(found, wanted, pool), lambda outcome: None))


# What passes.


@pytest.mark.parametrize(
    ("prefers", "p", "passed", "flipped"),
    [
        ("better", (LIKELY, LIKELY, LIKELY), True, False),
        ("worse", (1 - LIKELY, 1 - LIKELY, 1 - LIKELY), False, False),
        ("the first seat", (LIKELY, 1 - LIKELY, 0.5), False, True),
        ("neither", (0.5, 0.5, 0.5), False, False),
        ("the better in one seat", (LIKELY, 0.5, (LIKELY + 0.5) / 2), False, False),
        ("nothing that can be read", (None, None, None), False, False),
        ("nothing that can be read, shown second", (LIKELY, None, None), False, False),
    ],
)
def test_a_pair_passes_where_the_better_answer_is_preferred_in_both_seats(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefers: str,
    p: tuple[float | None, ...],
    passed: bool,
    flipped: bool,
) -> None:
    serve(monkeypatch, Taste(prefers))
    outcome = run(material(tmp_path, PAIRS), "kind")[0]
    verdict = outcome.verdict
    assert verdict
    measured = (outcome.p_better("a"), outcome.p_better("b"), verdict.p_a)
    assert measured == tuple(one if one is None else pytest.approx(one) for one in p)
    assert (outcome.passed, outcome.flipped) == (passed, flipped)
    assert (verdict.state == "unparsed") == bool(outcome.unread) == (None in p)


@pytest.mark.parametrize(
    ("says", "missing"),
    [
        ("It is false: Gagarin did not.", ()),
        ("It is WRONG about  gagarin.", ()),
        ("Gagarin is fine.", ("false | wrong",)),
        ("Falsehoods, Gagarins!", ("false | wrong", "Gagarin")),
        ("", ("false | wrong", "Gagarin")),
    ],
)
def test_a_critique_passes_where_it_finds_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, missing: tuple[str, ...]
) -> None:
    serve(monkeypatch, Taste(says=says))
    (outcome,) = run(material(tmp_path, BOTH), "honest")
    assert (outcome.missing, outcome.passed) == (missing, not missing)


@pytest.mark.parametrize(
    ("text", "wanted", "held"),
    [
        ("They would be robbed.", "rob | robbed", True),
        ("A problem.", "rob", False),
        ("made\nup", "made up", True),
        ("made-up", "made up", False),
        ("a (guess)", "(guess)", True),
        ("C++ is fine", "c++", True),
        ("no_guilt", "guilt", False),
        ("isn't so", "isn't", True),
        ("Das ist NÖTIG.", "nötig", True),
        ("这侵犯了隐私。", "隐私", True),
        ("这个AI回答", "AI", True),
        ("anything", " | ", False),
        ("anything", "|anything", True),
    ],
)
def test_a_phrase_is_found_as_whole_words(text: str, wanted: str, held: bool) -> None:
    assert holds(text, wanted) is held


# Other modes of the judge.

WORDED = PAIRS.replace("comparison: Which answer is kinder?", "instruction: Be kind.\n    opposite: Be cruel.")


@pytest.mark.parametrize("mode", ["contrast", "score"])
@pytest.mark.parametrize(
    ("prefers", "p", "passed"),
    [("better", 1.0, True), ("worse", 0.0, False), ("neither", 0.5, False), ("nothing that can be read", None, False)],
)
def test_a_pair_whose_answers_are_read_by_themselves_is_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, prefers: str, p: float | None, passed: bool
) -> None:
    serve(monkeypatch, Alone(prefers))
    (outcome,) = run(material(tmp_path, WORDED, f"compare.judge={{mode: {mode}}}"), "kind")
    assert outcome.verdict and len(outcome.verdict.readings) == 1 and outcome.seatless
    assert outcome.verdict.p_a == (p if p is None else pytest.approx(p, abs=0.01))
    assert (outcome.p_better("a"), outcome.p_better("b")) == (None, None), "it had no seat"
    assert (outcome.passed, outcome.flipped, bool(outcome.unread)) == (passed, False, p is None)


def test_a_pair_is_judged_by_written_verdicts_in_both_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Taste(says="The answer is: (A)")
    serve(monkeypatch, judge)
    (outcome,) = run(material(tmp_path, PAIRS, "compare.judge={mode: verdict, orders: random}"), "kind")
    assert (outcome.p_better("a"), outcome.p_better("b"), outcome.flipped) == (1.0, 0.0, True)
    assert len(judge.requests) == 2 and not judge.questions
    assert [reply.text for reply in outcome.replies()] == ["The answer is: (A)"] * 2


def test_thoughts_in_one_seat_are_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Taste("the better in one seat", says="Thinking.")
    serve(monkeypatch, judge)
    (outcome,) = run(material(tmp_path, PAIRS, "compare.judge={mode: cot, thoughts: 3, temperature: 1}"), "kind")
    assert (outcome.p_better("a"), outcome.p_better("b")) == (pytest.approx(LIKELY), pytest.approx(0.5))
    assert outcome.sides == (1, 0) and len(judge.requests) == len(judge.questions) == 6


def test_one_unread_thought_leaves_its_seat_unread() -> None:
    read = Reading(first="a", p_a=0.9)
    unread = Reading(first="a", state="unparsed")
    verdict = Verdict(state="unparsed", p_a=None, readings=(read, unread), reason="why")
    outcome = Outcome(case=Case(id="x/1", principle=RULE, test=PAIR), verdict=verdict)
    assert (outcome.p_better("a"), outcome.sides, outcome.passed) == (None, (), False)


@pytest.mark.parametrize(
    ("mode", "words", "lacking"),
    [
        ("{mode: score}", "comparison: Which answer is kinder?", "an instruction"),
        ("{mode: contrast}", "comparison: Which answer is kinder?", "an instruction and an opposite"),
        ("{mode: contrast}", "instruction: Be kind.", "an opposite"),
        ("{mode: cot}", "instruction: Be kind.", "a comparison"),
    ],
)
def test_a_test_is_refused_where_its_principle_has_no_words_for_the_mode(
    tmp_path: Path, mode: str, words: str, lacking: str
) -> None:
    found = material(tmp_path, PAIRS.replace("comparison: Which answer is kinder?", words), f"compare.judge={mode}")
    with pytest.raises(InputError, match=f"test kind/1 asks for {lacking}, and 'kind' has none"):
        cases(found, ("kind",))


class Alone(Taste):
    """Scores each answer by itself: the one it prefers is likelier, and rated higher, when it is told to be kind."""

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        if self.prefers == "nothing that can be read":
            return [-math.inf for _ in labels]
        liked = {"better": "GOOD", "worse": "BAD"}.get(self.prefers, "-")
        text = text_of(prompt)
        if len(labels) == len(RATINGS):
            best = len(labels) - 1 if liked in text else 0
            return [0.0 if place == best else -20.0 for place in range(len(labels))]
        (answer,) = labels
        return [-10.0 if liked in answer and "Be kind." in text else -20.0]


# What is asked.


def test_the_judge_is_asked_in_both_orders_what_a_run_would_ask_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tested against the stage itself, whose policy says the two answers."""
    judge = Taste()
    serve(monkeypatch, judge)
    found = material(tmp_path, PAIRS, "compare.judge={few_shot: 2, orders: random}")
    run(found, "kind")
    policy = Speaker(Reciter("GOOD walk more.", "BAD eat nothing."), found.templates(found.recipe.models.assistant))
    settings, seed = CompareConfig(), found.recipe.seed
    by = Judge(
        Speaker(asking := Taste(), found.templates(found.recipe.models.feedback)),
        found.constitution.model_copy(update={"principles": found.constitution.principles[:1]}),
        found.comparison_examples,
        settings.judge,
        settings.tags,
        seed,
    )
    stage = Compare(Samples(policy, by, SampledAnswers(), settings, seed), by)
    walk(stage, Prompt.of((Message(role="user", content="How do I lose weight?"),), "harmful", "test"))
    assert len(judge.questions) == 2
    # Worked examples may draw from the whole constitution, of which this stage has one principle.
    assert [tail(prompt) for prompt, _ in judge.questions] == [tail(prompt) for prompt, _ in asking.questions]
    assert [labels for _, labels in judge.questions] == [labels for _, labels in asking.questions]
    assert all(text_of(prompt).count("GOOD") == 1 for prompt, _ in judge.questions)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_the_critique_is_asked_for_as_a_run_would_and_greedily(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    assistant = Taste(says="false, Gagarin")
    serve(monkeypatch, assistant)
    models = f"models={{assistant: {{model: tiny-random, dialect: {dialect}}}}}"
    found = material(tmp_path, BOTH, models, "revise.few_shot=2", "revise.temperature=1", "revise.max_tokens=77")
    run(found, "honest")
    (asked,) = assistant.requests
    assert (asked.temperature, asked.max_tokens) == (0, 77)
    prompt = Prompt.of((Message(role="user", content="Who walked on the moon first?"),), "harmful", "test")
    said = Completion(text="Gagarin did.", raw="Gagarin did.", finish="stop", prompt_tokens=0, tokens=0, seed=0)
    first = Revision(id=f"{prompt.id}/0", prompt=prompt, round=0, critique=None, response=said)
    stage = Revise(
        Speaker(asking := Taste(says="x"), found.templates(found.assistant)),
        found.constitution_for(found.assistant),
        found.revision_examples,
        ReviseConfig(rounds=1),
        0,
    )
    walk(stage, prompt, [first])
    assert asked.prompt == asking.requests[0].prompt


def test_each_model_is_shown_the_words_of_its_dialect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Taste()
    serve(monkeypatch, judge)
    run(material(tmp_path, PAIRS, "models={assistant: {model: tiny-random, dialect: transcript}}"), "kind")
    assert all("Which reply is kinder?" in prompt.text for prompt, _ in judge.questions)
    judge.questions.clear()
    run(material(tmp_path, PAIRS), "kind")
    assert all("Which answer is kinder?" in text_of(prompt) for prompt, _ in judge.questions)


def test_a_conversation_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Taste()
    serve(monkeypatch, judge)
    talk = "[{role: user, content: FIRST}, {role: assistant, content: SECOND}, {role: user, content: THIRD}]"
    run(material(tmp_path, PAIRS.replace('"How do I lose weight?"', talk)), "kind")
    text = text_of(judge.questions[0][0])
    assert text.index("FIRST") < text.index("SECOND") < text.index("THIRD") < text.index("GOOD")


# How they are run.


def test_outcomes_come_in_the_order_of_the_file_and_are_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Taste(says="false, Gagarin")
    serve(monkeypatch, engine)
    told: list[str] = []
    found = material(tmp_path, BOTH)
    wanted = cases(found, ())
    with Pool(lambda model: None) as pool:
        came = pool.run(outcomes(wanted, trial(found, wanted, pool), lambda outcome: told.append(outcome.case.id)))
    assert [outcome.case.id for outcome in came] == ["kind/1", "calm/1", "honest/1"]
    assert sorted(told) == ["calm/1", "honest/1", "kind/1"]
    assert engine.most == 4, "both orders of both pairs were under way together"
    assert engine.closed


@pytest.mark.parametrize(
    ("only", "opened"), [(("kind",), ["judge"]), (("honest",), ["assistant"]), ((), ["judge", "assistant"])]
)
def test_only_the_models_that_are_asked_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: tuple[str, ...], opened: list[str]
) -> None:
    engines = serve(monkeypatch, Taste(says="false, Gagarin"))
    run(material(tmp_path, BOTH, "models={assistant: assistant, feedback: judge}"), *only)
    assert list(engines) == opened


def test_a_call_that_fails_fails_its_test_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Taste(says="fail"))
    kind, calm, honest = run(material(tmp_path, BOTH))
    assert (kind.passed, calm.passed, honest.passed) == (True, True, False)
    assert honest.unread == "the server said no"
    with pytest.raises(EngineError, match="no test could be asked"):
        run(material(tmp_path, BOTH), "honest")


def test_the_scripted_engine_answers_alike_each_time(tmp_path: Path) -> None:
    found = material(tmp_path, BOTH)
    assert run(found) == run(found)


# Which there are.


def test_only_the_named_principles_are_tested(tmp_path: Path) -> None:
    found = material(tmp_path, BOTH)
    assert [case.id for case in cases(found, ("calm", "honest", "calm"))] == ["calm/1", "honest/1"]


@pytest.mark.parametrize(
    ("constitution", "only", "told"),
    [
        (PAIRS, ("knid",), "constitution 'pairs' has no principle 'knid'; did you mean 'kind'?"),
        (PAIRS, ("zebra",), "has no principle 'zebra'; it has: kind, calm"),
        ("name: bare\nprinciples: [{id: a, comparison: Which one}]", (), "constitution 'bare': no tests; give a"),
        (
            "name: bare\nprinciples: [{id: a, comparison: Which one}]",
            ("a",),
            "constitution 'bare': no tests of a; give",
        ),
        (
            BOTH.replace("comparison: Which answer is calmer?", "critique: What is hasty?\n    revision: Slow down."),
            (),
            "test calm/1 asks for a comparison, and 'calm' has none",
        ),
        (
            BOTH.replace("critique: What is false in the answer?\n    revision: Make it true.", "comparison: Which?"),
            ("honest",),
            "test honest/1 asks for a critique, and 'honest' has none",
        ),
    ],
)
def test_what_cannot_be_asked_is_an_error(tmp_path: Path, constitution: str, only: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError) as caught:
        cases(material(tmp_path, constitution), only)
    assert told in str(caught.value)


# Those that ship.


def shipped_tests(name: str) -> list[tuple[str, PrincipleTest]]:
    return [(principle.id, test) for principle in load_constitution(name).principles for test in principle.tests]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_principle_is_tested_on_all_that_it_can_judge(name: str, tmp_path: Path) -> None:
    tested = {(principle, bool(test.better)) for principle, test in shipped_tests(name)}
    for principle in load_constitution(name).principles:
        assert (principle.id, principle.comparison is not None) in tested
    cases(material(tmp_path, f"name: mine\nextends: {name}\n"), ())


@pytest.mark.parametrize("name", SHIPPED)
def test_in_shipped_tests_length_does_not_tell_the_better_answer(name: str) -> None:
    shorter = [len(test.better) < len(test.worse) for _, test in shipped_tests(name) if test.better and test.worse]
    assert 0.4 <= sum(shorter) / len(shorter) <= 0.6


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_answers_are_short_and_no_critique_passes_by_quoting_nothing(name: str) -> None:
    for _, test in shipped_tests(name):
        answers = [answer for answer in (test.better, test.worse, test.answer) if answer]
        assert all(len(answer.split()) <= 40 for answer in answers), answers
        assert not any(holds("", entry) or holds("the answer of an assistant", entry) for entry in test.finds)


class Reciter:
    """A policy that says the first text for the first answer to any prompt, and the second for the second."""

    concurrency = 2

    def __init__(self, a: str, b: str) -> None:
        self.texts = {"0": a, "1": b}

    async def generate(self, request: Any) -> Completion:
        prompt = Prompt.of(request.prompt.messages, "harmful", "test")
        seeds = {seed_of(0, "pair", prompt.id, name): text for name, text in self.texts.items()}
        text = seeds[request.seed]
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=0, tokens=0, seed=request.seed)

    async def score(self, prompt: Rendered, labels: Any) -> list[float]:
        raise NotImplementedError

    def close(self) -> None: ...


def walk(stage: Any, prompt: Prompt, done: list[Any] | None = None) -> list[Any]:
    async def all_records() -> list[Any]:
        return [record async for record in stage(prompt, done or [])]

    with Pool(lambda model: None) as pool:
        return pool.run(all_records())


def tail(prompt: Rendered) -> tuple[str, str]:
    """The question itself, which follows the worked examples, and what the reply begins with."""
    return prompt.messages[-1].content, prompt.reply_start
