"""Measures a judge on comparisons that people made: it is asked about each, not knowing which they preferred."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cai.constitution import Principle
from cai.errors import EngineError, ItemFailed
from cai.executors import local
from cai.human import Pair
from cai.identity import digest, seed_of
from cai.judge.judge import Judge
from cai.judged import Judged
from cai.records import Prompt, Record, Seating, Verdict


class Labelled(Record):
    """Two answers of which people preferred `better`; which one is called `a` is drawn by seed.

    `principle`: by whose id it is to be judged; none: by one that is drawn.
    """

    id: str
    prompt: Prompt
    a: str
    b: str
    better: Seating
    category: str = ""
    principle: str = ""


class Examined(Record):
    """A labelled pair, the principles it was judged under, and the verdict. `id` is the pair's."""

    id: str
    pair: Labelled
    principles: tuple[str, ...]
    verdict: Verdict

    @property
    def judged(self) -> Judged:
        """What the figures are made of."""
        words = len(self.pair.a.split()), len(self.pair.b.split())
        return Judged(self.id, self.verdict, self.pair.better, words, self.pair.category, self.pair.prompt.id)


def tested(judge: Judge, seed: int, limit: int | None = None) -> list[Labelled]:
    """The constitution's own tests of two answers, as far as their principles have words for the judge's mode."""
    found = [
        _labelled(Prompt.of(test.messages, "harmful", one.id), test.better, test.worse, seed, principle=one.id)
        for one in judge.constitution.principles
        if one.serves(judge.config.use)
        for test in one.tests
        if test.better and test.worse
    ]
    return sorted(found, key=lambda one: seed_of(seed, "measured", one.id))[:limit]


def labelled(pairs: Iterable[Pair], seed: int, limit: int | None = None) -> list[Labelled]:
    """At most `limit` pairs, drawn by seed, each once, seats drawn by seed too; people's ties have no better answer."""
    seated = (
        _labelled(one.prompt, one.chosen, one.rejected, seed, category=one.category) for one in pairs if one.p != 0.5
    )
    found = {one.id: one for one in seated}
    return sorted(found.values(), key=lambda one: seed_of(seed, "measured", one.id))[:limit]


@dataclass(frozen=True)
class Examine:
    """Yields the Examined of a Labelled. `principles`: by which it is judged; none: the judge draws."""

    judge: Judge
    principles: tuple[Principle, ...] = field(default=())

    async def __call__(self, pair: Labelled, done: Sequence[Examined]) -> AsyncIterator[Examined]:
        """The verdict, unless it is there. A question that fails is an `error`, and counted as one."""
        if done:
            return
        by, verdict = await self._judged(pair)
        yield Examined(id=pair.id, pair=pair, principles=tuple(one.id for one in by), verdict=verdict)

    async def _judged(self, pair: Labelled) -> tuple[tuple[Principle, ...], Verdict]:
        own = tuple(one for one in self.judge.constitution.principles if one.id == pair.principle)
        try:
            return await self.judge.verdict(pair.id, pair.prompt, pair.a, pair.b, own or self.principles)
        except ItemFailed as error:
            return own, Verdict(state="error", p_a=None, reason=str(error))


async def examined(pairs: Sequence[Labelled], stage: Examine, advance: Callable[[Examined], None]) -> list[Examined]:
    """The verdicts on all pairs, in their order; `advance` is told of each as it comes.

    Raises EngineError where no question could be put at all.
    """
    found: dict[str, Examined] = {}

    def keep(one: Record) -> None:
        assert isinstance(one, Examined)
        found[one.id] = one
        advance(one)

    in_flight = stage.judge.feedback.engine.concurrency
    await local.run(pairs, stage, {}, lambda one: one.id, keep, lambda new: None, _never, in_flight)  # pyright: ignore
    ordered = [found[pair.id] for pair in pairs]
    if ordered and all(one.verdict.state == "error" for one in ordered):
        raise EngineError(f"the judge could not be asked about any pair (first: {ordered[0].verdict.reason})")
    return ordered


def _never(item: Record, error: ItemFailed) -> None:
    raise error


def _labelled(prompt: Prompt, better: str, worse: str, seed: int, category: str = "", principle: str = "") -> Labelled:
    """A pair, named by its texts and its principle."""
    name = f"{prompt.id}/{digest([sorted([better, worse]), principle])[:8]}"
    seat: Seating = "a" if seed_of(seed, "seat", name) % 2 else "b"
    a, b = (better, worse) if seat == "a" else (worse, better)
    return Labelled(id=name, prompt=prompt, a=a, b=b, better=seat, category=category, principle=principle)
