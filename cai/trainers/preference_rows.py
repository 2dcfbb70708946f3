"""From groups of answers to what a preference model or DPO reads; what it does not is counted by source and reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from cai.encoding import answered
from cai.preferences import Group, Preference
from cai.train_config import DpoConfig, PreferenceModelConfig
from cai.trainers.shared import Row, common_start

Settings = PreferenceModelConfig | DpoConfig
"""Both have `labels`, `max_length` and `too_long`."""

Counts = dict[str, dict[str, int]]
"""How many pairs, by source and reason."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A group as tokens, up to the end-of-text token of each answer; pairs name answers by their place in `row`."""

    row: Row
    pairs: tuple[Preference, ...]

    @property
    def tokens(self) -> int:
        """Of all answers, each behind a prompt of its own."""
        prompt, answers = self.row
        return sum(len(prompt) + len(answer) for answer in answers)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is learned from, which pairs are not, and by source how many pairs have a shortened prompt.

    The reasons are `too long`, `answer too long`, `identical` (as tokens), `no winner` (an even label where labels are
    hard) and `weight 0`.
    """

    groups: list[Learned]
    left_out: Counts
    truncated: dict[str, int]

    @property
    def too_long(self) -> int:
        """Pairs that were left out for their length."""
        return sum(count for reasons in self.left_out.values() for why, count in reasons.items() if "too long" in why)

    def figures(self) -> dict[str, Any]:
        """What a run reports of it; every number but `prompts` counts pairs."""
        return {
            "prompts": len(self.groups),
            "pairs": sum(len(group.pairs) for group in self.groups),
            "too_long": self.too_long,
            "left_out": self.left_out,
            "truncated": self.truncated,
        }


def prepare(tokenizer: Any, groups: Iterable[Group], config: Settings) -> Prepared:
    """Groups as tokens, by the settings `labels`, `max_length` and `too_long`.

    A prompt is cut from its start, at a token, for all answers of its group alike: by as much as the longest one needs.
    """
    kept: list[Learned] = []
    left_out: defaultdict[str, Counter[str]] = defaultdict(Counter)
    truncated: Counter[str] = Counter()
    for group in groups:
        learned, cut = _learned(tokenizer, group, config, left_out[group.source])
        kept += [learned] if learned.pairs else []
        truncated[group.source] += len(learned.pairs) if cut else 0
    counts = {source: dict(reasons) for source, reasons in left_out.items() if reasons}
    return Prepared(kept, counts, {source: count for source, count in truncated.items() if count})


def _learned(tokenizer: Any, group: Group, config: Settings, left_out: Counter[str]) -> tuple[Learned, int]:
    """A group and how many tokens its prompt lost."""
    told = _kept(group.pairs, lambda pair: _says_nothing(pair, config.labels), left_out)
    tokens = {place: answered(tokenizer, group.prompt, group.answers[place]) for place in _named(told)}
    kept = _kept(told, lambda pair: _unusable(tokens[pair.a], tokens[pair.b], config), left_out)
    named = _named(kept)
    if not named:
        return Learned(([], []), ()), 0
    cut = max(0, max(len(tokens[place][0]) for place in named) - config.max_length)
    row = common_start([tokens[place][0][cut:] for place in named])
    numbers = {place: number for number, place in enumerate(named)}
    hard = config.labels == "hard"
    return Learned(row, tuple(_renamed(pair, numbers, hard) for pair in kept)), cut


def _kept(pairs: Iterable[Preference], reason: Callable[[Preference], str], left_out: Counter[str]) -> list[Preference]:
    """The pairs that nothing speaks against; the others are counted."""
    why = [(pair, reason(pair)) for pair in pairs]
    left_out.update(reason for _, reason in why if reason)
    return [pair for pair, reason in why if not reason]


def _says_nothing(pair: Preference, labels: str) -> str:
    if not pair.weight:
        return "weight 0"
    return "no winner" if labels == "hard" and pair.p == 0.5 else ""


def _unusable(a: tuple[list[int], int], b: tuple[list[int], int], config: Settings) -> str:
    """Of answers as tokens, and how many of them are the prompt's."""
    if a[0] == b[0]:
        return "identical"
    longest, prompt = max(len(a[0]), len(b[0])), a[1]
    if config.too_long == "drop":
        return "too long" if longest > config.max_length else ""
    return "answer too long" if longest - prompt >= config.max_length else ""


def _renamed(pair: Preference, numbers: dict[int, int], hard: bool) -> Preference:
    return replace(pair, a=numbers[pair.a], b=numbers[pair.b], p=float(pair.p > 0.5) if hard else pair.p)


def _named(pairs: Iterable[Preference]) -> list[int]:
    return sorted({place for pair in pairs for place in (pair.a, pair.b)})
