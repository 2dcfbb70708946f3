"""Asks for prompts, sifts what comes and stores it, until there are as many as wanted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from cai.engines.base import Speaker
from cai.errors import EngineError
from cai.generation.checks import REASONS, Reason, Sieve
from cai.generation.files import Asked, Candidate, PromptFiles
from cai.generation.replies import Entry, entries
from cai.generation.requests import Requests, in_order
from cai.progress import Meter
from cai.records import Completion

HOPELESS = 200
"""Candidates in a row, none of them new, after which nothing more is expected. A reply without any counts as one."""
EXPECTED = 4
"""New prompts in a reply, guessed before the first has come."""
DEAD = 16
"""Requests that failed in a row, after which an engine is taken for dead."""


@dataclass
class Tally:
    """What came of all requests so far."""

    asked: int = 0
    failed: int = 0
    candidates: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)

    @classmethod
    def of(cls, requests: Iterable[Asked]) -> Tally:
        """Of requests that were stored."""
        tally = cls()
        for asked in requests:
            tally.add(asked)
        return tally

    def add(self, asked: Asked) -> None:
        """Counts one request."""
        self.asked += 1
        self.failed += asked.error is not None
        self.candidates += len(asked.candidates)
        self.dropped.update(one.reason for one in asked.candidates if one.reason)

    @property
    def new(self) -> int:
        """Candidates that are new prompts."""
        return self.candidates - self.dropped.total()

    def lines(self) -> list[str]:
        """As in `asked 40 times: 312 candidates, 200 new`, and a line for each reason why others are not."""
        failed = f" ({self.failed} failed)" if self.failed else ""
        head = f"asked {self.asked:,} times{failed}: {self.candidates:,} candidates, {self.new:,} new"
        counts = [(self.dropped[reason], reason, why) for reason, why in REASONS.items()]
        return [head, *(f"  {count:,} {reason}: {why}" for count, reason, why in counts if count)]


class Growth:
    """Brings files to `count` prompts. `examples`: seeds that each request shows.

    What was asked before is taken up first, so that an interrupted growth ends as an unbroken one.
    """

    def __init__(self, files: PromptFiles, sieve: Sieve, examples: int, count: int) -> None:
        self._files, self._sieve, self._examples, self.count = files, sieve, examples, count
        self._failed: list[Asked] = []
        self._barren = 0
        self.tally = Tally()
        for asked in files.asked():
            for _, text in asked.kept:
                sieve.keep(text)
            self.tally.add(asked)
            files.put(asked, count)

    @property
    def missing(self) -> int:
        """Prompts that are still wanted."""
        return max(0, self.count - self._files.count)

    async def ask(self, requests: Requests, speaker: Speaker, meter: Meter) -> None:
        """Asks until there are enough. Raises EngineError where new prompts have ceased to come, or replies."""
        asked, new = self.tally.asked, self.tally.new

        def in_flight() -> int:
            """As many as the missing prompts will take, by what each request has given so far."""
            a_request = (self.tally.new - new + EXPECTED) / (self.tally.asked - asked + 1)
            return min(speaker.engine.concurrency, math.ceil(self.missing / a_request))

        async with aclosing(in_order(partial(requests.ask, speaker), asked, in_flight)) as replies:
            while self.missing:
                self._take(await anext(replies), meter)

    def _take(self, asked: Asked, meter: Meter) -> None:
        """A failure is written once a later request has succeeded; those that found the engine dead are asked again."""
        if asked.reply is None:
            self._fail(asked)
            return
        for one in (*self._failed, self._sifted(asked, asked.reply)):
            self._files.add(one)
            self.tally.add(one)
            self._files.put(one, self.count)
        self._failed.clear()
        meter.advance(self._files.count - meter.done, asked.reply.tokens)
        if self._barren >= HOPELESS and self.missing:
            raise EngineError(
                f"the last {self._barren} candidates gave no new prompt; {self._files.count} of {self.count} are in "
                f"{self._files.path}. For more give other seeds, another model, more temperature or another --seed, "
                "and another --to: a recipe takes several files joined into one"
            )

    def _fail(self, asked: Asked) -> None:
        self._failed.append(asked)
        if len(self._failed) >= DEAD:
            raise EngineError(
                f"the last {DEAD} requests all failed (first: {self._failed[0].error}); mend that and run the same "
                "command again"
            )

    def _sifted(self, asked: Asked, reply: Completion) -> Asked:
        found = entries(reply.text, self._examples + 1, cut=reply.finish == "length")
        candidates = tuple(map(self._candidate, found))
        self._barren += not candidates
        return asked.model_copy(update={"candidates": candidates})

    def _candidate(self, entry: Entry) -> Candidate:
        fault = self._sieve.fault(entry)
        if fault:
            self._barren += 1
            return Candidate(text=entry.text, **fault._asdict())
        self._barren = 0
        self._sieve.keep(entry.text)
        return Candidate(text=entry.text)
