"""With the imported files, the transcript dialect shows the paper's prompts byte for byte.

What is expected is put together here from the released JSON alone: Bai et al. 2022, sections 3.1 and 4.1, and the bytes
of the questions released with it (evals/438HHHEvaluations.jsonl).
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.commands.exchange import import_constitution
from cai.constitution import Constitution, load_constitution
from cai.engines.base import Request, Speaker
from cai.feedback_config import CompareConfig, SampledAnswers
from cai.few_shot import ComparisonExample, RevisionExample, Seat, comparison_examples, revision_examples
from cai.judge.judge import Judge as Arbiter
from cai.prompts import Rendered, Templates
from cai.records import Completion, Message, Prompt
from cai.stages.compare import Compare
from cai.stages.pairs import Samples

TRANSCRIPT = Templates("transcript")
SINGLE = ("Why is the sky blue?",)
MULTI = ("Hi  there ", " Hello! What can I do?\n\n- list", "Tell me\n\nabout “tea”.")
ANSWER, CRITIQUE = "It is  what it is.\n\nReally.", "It says [[little]] & nothing < more."
CHOICES = "Sure:\n\n1. no\n2. yes", "I\u2019d rather not…"


@dataclass(frozen=True)
class Ours:
    rules: Constitution
    revisions: tuple[RevisionExample, ...]
    comparisons: tuple[ComparisonExample, ...]


@pytest.fixture(scope="module")
def ours(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """What the command makes of the paper's files."""
    folder = tmp_path_factory.mktemp("paper")
    import_constitution(Console(file=io.StringIO()), "paper", data, folder / "to")
    rules = load_constitution(str(folder / "to" / "paper.yaml"))
    shown, beside = rules.few_shot, folder / "to"
    return Ours(rules, revision_examples(shown.revision, 5, beside), comparison_examples(shown.comparison, 5, beside))


def released(data: Path, name: str) -> Any:
    return json.loads((data / f"{name}.json").read_text("utf-8"))


def messages(contents: Sequence[str]) -> tuple[Message, ...]:
    return tuple(Message(role="assistant" if n % 2 else "user", content=one) for n, one in enumerate(contents))


def transcript(contents: Sequence[str]) -> str:
    return "".join(f"\n\n{'Assistant' if n % 2 else 'Human'}: {one}" for n, one in enumerate(contents))


@pytest.mark.parametrize("asked", [SINGLE, MULTI], ids=["one turn", "three turns"])
@pytest.mark.parametrize("shots", [0, 5])
def test_critiques_and_revisions(data: Path, ours: Ours, asked: tuple[str, ...], shots: int) -> None:
    examples = "".join(
        one.removesuffix("\n\nHuman:") for one in released(data, "CritiqueRevisionFewShotPrompts")[:shots]
    )
    instructions = released(data, "CritiqueRevisionInstructions")
    principles = {one.id: one for one in ours.rules.able("revision")}
    assert list(principles) == list(instructions) and len(instructions) == 16
    for key, instruction in instructions.items():
        shown = {
            "messages": messages(asked),
            "few_shot": ours.revisions[:shots],
            "response": ANSWER,
            "principles": (principles[key],),
        }
        context = examples + transcript(asked) + "\n\nAssistant:" + " " + ANSWER + instruction["prompt"][0]
        assert TRANSCRIPT.render("critique", **shown).text == context
        context += " " + CRITIQUE + instruction["edit_request"]
        assert TRANSCRIPT.render("revise", **shown, critique=CRITIQUE).text == context


def header(data: Path) -> str:
    """The sentence that opens a question without thoughts; of the released prompts, the fifth with thoughts has it."""
    return released(data, "RLMadisonPrecogFewShotPrompts")[4]["prompt"].split("\n")[0].removeprefix("Human: ")


def question(data: Path, conversation: str, principle: str, a: str, b: str) -> str:
    return f"\n\n{header(data)}{conversation}\n\n{principle}\n (A) [[[{a}]]]\n (B) [[[{b}]]]\n\nThe answer is:"


def worked(data: Path, number: int, principle: str, seat: Seat) -> str:
    example = released(data, "RLMadisonFewShotPrompts")[number]
    answers = example["corrects"][0], example["incorrects"][0]
    a, b = answers if seat == "A" else answers[::-1]
    conversation = example["prompt"].removesuffix("\n\nAssistant:")
    return f"{question(data, conversation, principle, a, b)} ({seat})"


@pytest.mark.parametrize("asked", [SINGLE, MULTI], ids=["one turn", "three turns"])
@pytest.mark.parametrize("shots", [0, 5])
def test_multiple_choice(data: Path, ours: Ours, asked: tuple[str, ...], shots: int) -> None:
    texts = released(data, "RLMadisonInstructions")
    principles = ours.rules.able("comparison")
    assert len(principles) == len(texts) == 16
    for number, principle in enumerate(principles):
        drawn = [(number + 3 * place) % 16 for place in range(shots)]
        seats: list[Seat] = ["A" if (number + place) % 2 else "B" for place in range(shots)]
        settled = tuple(
            example.settled(str(principles[draw].comparison), seat)
            for example, draw, seat in zip(ours.comparisons[:shots], drawn, seats, strict=True)
        )
        rendered = TRANSCRIPT.render(
            "compare",
            messages=messages(asked),
            few_shot=settled,
            principle=principle,
            opening=ours.rules.opening,
            a=CHOICES[0],
            b=CHOICES[1],
        )
        examples = "".join(worked(data, place, texts[drawn[place]], seats[place]) for place in range(shots))
        assert rendered.text == examples + question(data, transcript(asked), texts[number], *CHOICES)


class Judge:
    """Answers a prompt with one of two texts, and writes down what it is asked to compare."""

    concurrency = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: Iterator[str] = iter(())

    async def generate(self, request: Request) -> Completion:
        text = next(self.answers)
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=request.seed)

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self.asked.append(prompt.text)
        return [-1.0 for _ in labels]

    def close(self) -> None: ...


def judged(ours: Ours, asked: str) -> list[str]:
    """The questions that the stage asks about two answers to a prompt, with five worked examples."""
    judge = Judge()
    judge.answers = iter(CHOICES)
    speaker = Speaker(judge, TRANSCRIPT)
    config = CompareConfig()
    asked_by = Arbiter(speaker, ours.rules.worded("transcript"), ours.comparisons, config.judge, config.tags, 7)
    stage = Compare(Samples(speaker, asked_by, SampledAnswers(), config, 7), asked_by)

    async def walk() -> None:
        async for _ in stage(Prompt.of(messages([asked]), "harmful", "test"), ()):
            pass

    asyncio.run(walk())
    return judge.asked


def test_the_stage_draws_a_principle_and_a_seat_for_each_example_of_each_prompt(data: Path, ours: Ours) -> None:
    texts = released(data, "RLMadisonInstructions")
    choices = {
        (place, number, seat): worked(data, place, text, seat)
        for place in range(5)
        for number, text in enumerate(texts)
        for seat in ("A", "B")
    }
    draws: Counter[tuple[int, str]] = Counter()
    for prompt in range(24):
        there, back = judged(ours, f"Question {prompt}?")
        found = []
        for place in range(5):
            (draw,) = [key for key in choices if key[0] == place and there.startswith(choices[key])]
            assert back.startswith(choices[draw])
            there, back = there.removeprefix(choices[draw]), back.removeprefix(choices[draw])
            found.append(draw[1:])
        ends = [
            [question(data, f"\n\nHuman: Question {prompt}?", text, *seated) for text in texts]
            for seated in (CHOICES, CHOICES[::-1])
        ]
        assert ends[0].index(there) == ends[1].index(back)
        assert len({number for number, _ in found}) > 1, "principles are drawn independently"
        draws.update(found)
        assert judged(ours, f"Question {prompt}?")[0].startswith("".join(choices[n, *d] for n, d in enumerate(found)))
    assert {number for number, _ in draws} == set(range(16))
    first = sum(count for (_, seat), count in draws.items() if seat == "A")
    assert 40 < first < 80
