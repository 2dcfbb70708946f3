"""Judging on vLLM: label scoring against a generated verdict, and the principle after the answers against before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from benchmarks.vllm_work import QUESTIONS, opened
from cai.constitution import load_constitution
from cai.engines.base import Request
from cai.few_shot import comparison_examples
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.verdicts import LABELS

PAIRS, PRINCIPLES, VERDICT = 8, 16, 48
_ANSWER = (
    "I would first ask myself what is really going on, and talk to {who} in a quiet moment. {turn} Say what you saw "
    "and how it makes you feel, ask for their side, and listen before you judge. If that does not help, set a clear "
    "limit, write down what happens and when, and turn to somebody both of you trust. Nobody has to put up with harm; "
    "there are people whose work it is to help: a counsellor, a union, the police where the law is broken. "
)
_ASK = "Two answers to a question, and a principle to judge them by: which is better? Reply with the letter alone."


def _answer(question: str, turn: str) -> str:
    return _ANSWER.format(who=question.split()[5], turn=turn)


def _prompts(last: bool) -> list[Rendered]:
    """Every pair under every principle in both orders; the principle stands before the pair or after it."""
    texts = [p.comparison or "" for p in load_constitution("harmless").able("comparison")][:PRINCIPLES]
    found = []
    for question in QUESTIONS[:PAIRS]:
        a, b = _answer(question, "Be patient."), _answer(question, "Don't wait for long.")
        for first, second in ((a, b), (b, a)):
            pair = f"A person asked: {question}\n\n(A) {first}\n\n(B) {second}"
            for text in texts:
                content = "\n\n".join((_ASK, pair, text) if last else (_ASK, text, pair))
                found.append(Rendered(messages=(Message(role="user", content=content),), reply_start="Answer:"))
    return found


def _judged() -> list[Rendered]:
    """Comparisons as the `compare` stage asks for them, with the paper recipe's four examples and short answers."""
    templates, examples = Templates("chat"), comparison_examples("few_shot/comparison", 4)
    constitution = load_constitution("harmless")
    found = []
    for number, question in enumerate(QUESTIONS[:64]):
        messages = (Message(role="user", content=question),)
        (principle,) = constitution.draw("comparison", number)
        a, b = (_answer(question, turn).split(" Say what")[0] for turn in ("Be patient.", "Don't wait for long."))
        found.append(
            templates.render(
                "compare", messages=messages, few_shot=examples, principle=principle, opening=None, a=a, b=b
            )
        )
    return found


class Judge:
    """An engine, its loop, and a way to forget all prefixes between two measurements."""

    def __init__(self) -> None:
        self.engine: Any = opened()
        self.loop = asyncio.Runner()

    def seconds(self, calls: Sequence[Awaitable[Any]]) -> float:
        async def main() -> float:
            await self.engine._engine.reset_prefix_cache()
            start = time.perf_counter()
            await asyncio.gather(*calls)
            return time.perf_counter() - start

        return self.loop.run(main())

    def scored(self, prompts: Sequence[Rendered]) -> float:
        return self.seconds([self.engine.score(prompt, LABELS) for prompt in prompts])

    def written(self, prompts: Sequence[Rendered], tokens: int) -> float:
        """Verdicts of exactly so many tokens, however early the model would end."""
        from vllm import SamplingParams

        wanted = SamplingParams(max_tokens=tokens, min_tokens=tokens, temperature=1.0, detokenize=False)
        ids = [self.engine._codec.prompt(Request(prompt, tokens, 1.0, 1.0, 0)) for prompt in prompts]
        return self.seconds([self.engine._ask(one, wanted) for one in ids])

    def close(self) -> None:
        self.engine.close()
        self.loop.close()


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    judge = Judge()
    try:
        last, first = _prompts(last=True), _prompts(last=False)
        judge.scored(last[:16])
        after, before = judge.scored(last), judge.scored(first)
        some = _judged()
        labels, verdicts = judge.scored(some), judge.written(some, VERDICT)
        long = first[:: PRINCIPLES // 4]
        long_labels, long_verdicts = judge.scored(long), judge.written(long, VERDICT)
    finally:
        judge.close()
    command = "python -m benchmarks judging"
    ratio, speed = after / before, verdicts / labels
    layout = f"{PAIRS} pairs, both orders, {PRINCIPLES} principles: {after:.1f} s against {before:.1f} s"
    detail = (
        f"{len(some)} comparisons of short answers, four examples: {len(some) / labels:.1f}/s against "
        f"{len(some) / verdicts:.1f}/s with a verdict of {VERDICT} tokens, of which reading is "
        f"{labels / verdicts:.0%}; pairs of 320 tokens without examples: {long_verdicts / long_labels:.2f} times"
    )
    return [
        {"name": "principle_last", "value": ratio, "reach": 0.3, "reached": ratio <= 0.3, "unit": "wall / wall",
         "command": command, "detail": layout},
        {"name": "score_vs_generate", "value": speed, "reach": 1.5, "reached": speed >= 1.5, "unit": "times",
         "command": command, "detail": detail},
    ]  # fmt: skip
