"""Groups to learn preferences from, and a synthetic task whose strengths are known."""

import math
import random
from functools import cache
from itertools import combinations

from cai.preferences import Group, Preference
from cai.prompts import Rendered, Templates
from cai.records import Message

STRENGTHS = {"a": -1.5, "b": -0.5, "c": 0.0, "d": 0.7, "e": 1.6}
"""Bradley-Terry: P(x is better than y) = s(strength of x - strength of y)."""

templates = cache(Templates)


def asked(text: str, dialect: str = "chat") -> Rendered:
    return templates(dialect).render("respond", messages=(Message(role="user", content=text),))


def pairs(count: int = 6, p: float = 0.9, source: str = "ai") -> list[Group]:
    """The same two answers to prompts of different lengths."""
    told = (Preference(0, 1, p),)
    return [Group(asked(f"Say {'it ' * (i % 3)}{i}"), ("aaaa", "zz"), told, source) for i in range(count)]


def ranked(count: int = 6) -> list[Group]:
    """Two to four answers a prompt, with all their pairs."""
    groups = []
    for i in range(count):
        answers = ("aaaa", "bbb", "zz", "yyyyy")[: 2 + i % 3]
        told = tuple(Preference(a, b, 0.6 + 0.1 * (b - a)) for a, b in combinations(range(len(answers)), 2))
        groups.append(Group(asked(f"Say {'it ' * i}"), answers, told, "ai"))
    return groups


def truth(x: str, y: str) -> float:
    return 1 / (1 + math.exp(STRENGTHS[y] - STRENGTHS[x]))


def bradley_terry(count: int, seed: int = 0) -> list[Group]:
    """Three answers of known strengths a prompt, each pair labelled with its true probability."""
    draw = random.Random(seed)
    groups = []
    for i in range(count):
        answers = tuple(draw.sample(list(STRENGTHS), 3))
        told = tuple(Preference(a, b, truth(answers[a], answers[b])) for a, b in combinations(range(3), 2))
        groups.append(Group(asked(f"{i}?"), answers, told, "known"))
    return groups
