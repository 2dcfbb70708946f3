"""What a record says of itself in a list: its key, a title, the tags and the number by which it is found, its words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from cai.agreement import preferred
from cai.records import (
    Answer,
    Classified,
    Comparison,
    Conduct,
    Distilled,
    Harm,
    Match,
    Measurement,
    OverRefusal,
    Prompt,
    Record,
    Revision,
    RoundScore,
)
from cai.trials.choosing import Choice
from cai.verdicts import by_principle

_TITLE = 180
_WORDS = 20_000
"""Characters of a record that can be searched; a longer one is shown whole and found by its beginning."""

Tag = tuple[str, str]


@dataclass(frozen=True)
class Entry:
    """One line of a list. Records with the same `key` are one entry, as the rounds of a chain are.

    `figure` is what the list is sorted by, and the figure of the highest `rank` counts; `words` is what is searched.
    """

    key: str
    title: str = ""
    tags: tuple[Tag, ...] = ()
    figure: float | None = None
    rank: int = 0
    words: str = ""


@dataclass(frozen=True)
class Listing:
    """How the records of a stage are listed. `figure` names the number they are sorted by."""

    stage: str
    title: str
    kind: type[Record] | None
    entry: Callable[[Any], Entry]
    figure: str = ""

    def read(self, line: bytes) -> Any:
        """The record of a line. Raises ValueError where it is none."""
        if self.kind is None:
            found = json.loads(line)
            if not isinstance(found, dict):
                raise ValueError(f"expected an object, found {type(found).__name__}")
            return found
        try:
            return self.kind.model_validate_json(line)
        except ValidationError as error:
            raise ValueError(error.errors(include_url=False)[0]["msg"]) from None


def listing(stage: str) -> Listing:
    """The listing of a stage; of one that is not known here, its records are listed as plain JSON."""
    return LISTINGS.get(stage) or Listing(stage, stage.replace("_", " "), None, _plain)


def chain_of(record_id: str) -> str:
    """The chain that a round belongs to."""
    return record_id.rpartition("/")[0]


def _revision(one: Revision) -> Entry:
    tags = [
        *(("principle", name) for name in one.principles),
        *(("flag", flag) for flag in one.flags),
        *(("critique flag", flag) for flag in one.critique_flags),
        ("round", str(one.round) if one.round else ""),
        ("variant", one.variant),
        ("sample", str(one.sample) if one.sample else ""),
        ("asked again", "yes" if one.attempts else ""),
    ]
    asked = _said(one.prompt) if one.round == 0 else ""
    critique = one.critique.text if one.critique else ""
    return Entry(chain_of(one.id), _title(one.prompt), _told(tags), words=_words(asked, critique, one.response.text))


def _round_score(one: RoundScore) -> Entry:
    return Entry(chain_of(one.id), figure=one.reward, rank=one.round)


def _comparison(one: Comparison) -> Entry:
    tags = [
        *(("principle", name) for name in one.principles),
        ("verdict", one.verdict.state),
        ("prefers", _side(one)),
        ("orders", _orders(one)),
        ("source", one.source),
    ]
    written = [reading.reply.text for reading in one.verdict.readings if reading.reply]
    words = _words(_said(one.prompt), one.a.text, one.b.text, *written)
    return Entry(one.id, _title(one.prompt), _told(tags), one.verdict.p_a, words=words)


def _side(one: Comparison) -> str:
    return "" if one.verdict.p_a is None else preferred(one.verdict.p_a) or "neither"


def _orders(one: Comparison) -> str:
    """Whether the judge prefers the same answer in both orders."""
    both = [tuple(seats.values()) for seats in by_principle(one.verdict.readings) if len(seats) == 2]
    if not both:
        return ""
    sides = [{preferred(p), preferred(1 - swapped)} for p, swapped in both]
    return "agree" if all(len(side) == 1 for side in sides) else "disagree"


def _measurement(one: Measurement) -> Entry:
    tags = [
        ("model", one.model),
        ("kind", one.prompt.kind),
        ("refusal", "yes" if one.refusal else "no"),
        ("evasive", "yes" if one.evasive else "no"),
    ]
    words = _words(_said(one.prompt), one.response.text)
    return Entry(one.id, _title(one.prompt), _told(tags), one.reward, words=words)


def _answer(one: Answer) -> Entry:
    tags = [*(("flag", flag) for flag in one.flags), ("kind", one.prompt.kind)]
    return Entry(one.id, _title(one.prompt), _told(tags), words=_words(_said(one.prompt), one.response.text))


def _distilled(one: Distilled) -> Entry:
    tags = [*(("flag", flag) for flag in one.flags), ("gains", "yes" if one.gain > 0 else "no")]
    words = _words(_said(one.prompt), one.plain.text, one.guarded.text)
    return Entry(one.id, _title(one.prompt), _told(tags), one.gain, words=words)


def _match(one: Match) -> Entry:
    found = _comparison(one)
    tags = [*(("model", name) for name in dict.fromkeys(one.models)), ("models", " against ".join(one.models))]
    return replace(found, tags=_told([*tags, *found.tags]))


def _harm(one: Harm) -> Entry:
    words = _words(_said(one.prompt), one.answer)
    return Entry(one.id, _title(one.prompt), _told([("model", one.model)]), one.harm, words=words)


def _classified(one: Classified) -> Entry:
    tags = [("model", one.model), *_conduct(one.conduct), ("people say", one.truth or "")]
    return Entry(one.id, _title(one.prompt), _told(tags), words=_words(_said(one.prompt), one.answer))


def _over_refusal(one: OverRefusal) -> Entry:
    tags = [("model", one.model), ("safe", "yes" if one.safe else "no"), ("type", one.type), *_conduct(one.conduct)]
    return Entry(one.id, _title(one.prompt), _told(tags), words=_words(_said(one.prompt), one.response.text))


def _choice(one: Choice) -> Entry:
    pair, p_a = one.pair, one.judged.p_a
    right = "" if p_a is None else {1.0: "yes", 0.0: "no"}.get(one.judged.right(p_a), "tie")
    tags = [("model", one.model), ("category", pair.category), ("verdict", one.verdict.state), ("right", right)]
    return Entry(one.id, _title(pair.prompt), _told(tags), p_a, words=_words(_said(pair.prompt), pair.a, pair.b))


def _conduct(one: Conduct) -> list[Tag]:
    by_rule = {"full refusal": True, "compliance": False}.get(one.does or "")
    agrees = "" if by_rule is None else "agree" if by_rule == one.refusal_by_rule else "disagree"
    return [("does", one.does or "unread"), ("evasive", "yes" if one.evasive else ""), ("model and rule", agrees)]


def _plain(one: dict[str, Any]) -> Entry:
    """Of a record that is not known here: its short values are tags, its texts are searched."""
    texts = list(_texts(one))
    tags = [(name, str(value)) for name, value in one.items() if name != "id" and _short(value)]
    title = max(texts, key=len, default="")
    return Entry(str(one.get("id", "")), _line(title), _told(tags), words=_words(*texts))


def _short(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and 0 < len(value) <= 24)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _title(prompt: Prompt) -> str:
    return _line(prompt.messages[-1].content) if prompt.messages else ""


def _line(text: str) -> str:
    cut = " ".join(text[: 2 * _TITLE].split())
    return cut if len(text) <= _TITLE else f"{cut[:_TITLE]}…"


def _said(prompt: Prompt) -> str:
    return "\n".join(message.content[:_WORDS] for message in prompt.messages)


def _words(*texts: str) -> str:
    return "\n".join(text[:_WORDS] for text in texts)[:_WORDS]


def _told(tags: list[Tag]) -> tuple[Tag, ...]:
    return tuple((name, value[:120]) for name, value in tags if value)


LISTINGS = {
    one.stage: one
    for one in (
        Listing("revise", "chains", Revision, _revision, "score of the last round"),
        Listing("ablate", "ablations", Revision, _revision, "score of the last round"),
        Listing("respond", "helpful answers", Answer, _answer),
        Listing("distill", "distilled answers", Distilled, _distilled, "gain"),
        Listing("compare", "comparisons", Comparison, _comparison, "P(a is better)"),
        Listing("evaluate", "held-out answers", Measurement, _measurement, "score"),
        Listing("guests", "guests' answers", Measurement, _measurement, "score"),
        Listing("win_rates", "matches", Match, _match, "P(a is better)"),
        Listing("harmfulness", "harmfulness", Harm, _harm, "harm, 0 to 4"),
        Listing("refusals", "refusals", Classified, _classified),
        Listing("over_refusal", "over-refusal", OverRefusal, _over_refusal),
        Listing("hhh", "choices", Choice, _choice, "P(a is better)"),
        Listing("score_rounds", "scores of rounds", RoundScore, _round_score, "score of the last round"),
    )
}
"""The stages whose records are known, each with the number by which its entries are sorted."""
