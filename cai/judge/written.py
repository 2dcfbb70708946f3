"""A verdict that the judge writes, for servers that give no log-probabilities. The last verdict in the text counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cai.engines.base import Speaker
from cai.feedback_config import VerdictJudge
from cai.judge.asked import Asked, Shown, declines, unread
from cai.records import Reading, Seating
from cai.verdicts import LABELS, seated
from cai.written_verdicts import written_label


@dataclass(frozen=True)
class Written:
    """Where `config.structured` is set and the engine can, a reply is one of the labels, or an object that holds it."""

    feedback: Speaker
    config: VerdictJudge

    async def read(self, asked: Asked, first: Seating, seed: int) -> list[Reading]:
        """One reading, certain or none at all."""
        choices = tuple(label.strip() for label in LABELS) if self.config.structured else ()
        reply = await self.feedback.reply("verdict", self.config, seed, choices, **asked.seated(first))
        reading = Reading(first=first, principle=asked.principle.id, reply=reply)
        label = label_of(reply.text)
        if label is None and declines(reply.text):
            return [unread(reading, "the judge declines to compare", "refused")]
        return [seated(reading, None if label is None else float(label == LABELS[0]), "the reply holds no verdict")]

    def shown(self, asked: Asked, reading: Reading) -> Sequence[Shown]:
        """The question."""
        assert reading.first
        return [Shown("question", self.feedback.templates.render("verdict", **asked.seated(reading.first)))]


def label_of(text: str) -> str | None:
    """The label that a reply holds, as an object or in words; None where it holds none."""
    return _formed(text) or written_label(text)


def _formed(text: str) -> str | None:
    """The label in an object as servers are asked for: {"verdict": "(A)"}."""
    found = re.fullmatch(r'\s*\{\s*"verdict"\s*:\s*"(\([AB]\))"\s*\}\s*', text)
    return f" {found[1]}" if found else None
