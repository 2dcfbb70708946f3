"""Each answer rated by itself, 1 to 10, and read from the ratings' probabilities.

Direct RLAIF (Lee et al. 2023, arXiv 2309.00267, section 2.3): an answer's score is the expected rating. A pair's
probability is that of a higher rating, an equal one counting half.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cai.engines.base import Speaker
from cai.errors import ItemFailed
from cai.judge.asked import Asked, Shown, unread
from cai.records import Reading, Seating
from cai.verdicts import RATINGS, expected_rating, of_ratings


@dataclass(frozen=True)
class Ratings:
    """Rates each answer by the principle's instruction."""

    feedback: Speaker

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """One reading without seats: log p of each rating of both answers."""
        rated = await asyncio.gather(*(self._rate(asked, response) for response in (asked.a, asked.b)))
        by_name = zip("ab", rated, strict=True)
        found = {f"{name} {n}": lp for name, ratings in by_name for n, lp in enumerate(ratings, start=1)}
        reading = Reading(first=None, principle=asked.principle.id, logprobs=found)
        p_a = of_ratings(ratings_of(reading, "a"), ratings_of(reading, "b"))
        if p_a is None:
            return [unread(reading, "no rating has a finite log-probability")]
        return [reading.model_copy(update={"p_a": p_a})]

    async def value(self, asked: Asked) -> float:
        """The expected rating of answer a, 1 to 10. Raises ItemFailed where none is finite."""
        ratings = await self._rate(asked, asked.a)
        found = expected_rating(dict(enumerate(ratings, start=1)))
        if found is None:
            raise ItemFailed("no rating of an answer has a finite log-probability")
        return found

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The question about each answer."""
        return [
            Shown(f"answer {name}", self.feedback.templates.render("rate", **_shown(asked, response)), RATINGS)
            for name, response in (("a", asked.a), ("b", asked.b))
        ]

    async def _rate(self, asked: Asked, response: str) -> list[float]:
        return await self.feedback.score("rate", RATINGS, **_shown(asked, response))


def ratings_of(reading: Reading, name: str) -> dict[int, float]:
    """Log-probability (nats) of each rating of one answer."""
    start = f"{name} "
    return {int(key.removeprefix(start)): lp for key, lp in reading.logprobs.items() if key.startswith(start)}


def _shown(asked: Asked, response: str) -> dict[str, Any]:
    return {"messages": asked.prompt.messages, "principle": asked.principle, "response": response}
