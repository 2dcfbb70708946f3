"""A reward that can be verified, for recipes/grpo-verifiable.yaml: whether a sum was solved."""

import re

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def solved(answers: list[str], facts: list[dict[str, str]]) -> list[bool]:
    """Whether the last number of each answer is the `solution` that stands beside its prompt."""
    return [_last_number(answer) == float(fact["solution"]) for answer, fact in zip(answers, facts, strict=True)]


def _last_number(answer: str) -> float | None:
    found = _NUMBER.findall(answer.replace(",", ""))
    return float(found[-1]) if found else None
