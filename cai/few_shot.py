"""Worked examples shown to a model before it critiques, revises or compares (Bai et al. 2022, App. E)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cai.errors import InputError
from cai.records import Message
from cai.resources import find
from cai.yamlfile import read_yaml


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    tags: tuple[str, ...] = ()
    messages: tuple[Message, ...] = Field(min_length=1)


class RevisionExample(_Example):
    """A conversation that ends with the criticised answer, its critique and its revision."""

    critique_request: str
    critique: str
    revision_request: str
    revision: str


class ComparisonExample(_Example):
    """A conversation that ends with a user's turn, two answers, and the better one."""

    instruction: str
    a: str
    b: str
    answer: Literal["A", "B"]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""


class _RevisionFile(_File):
    examples: tuple[RevisionExample, ...]


class _ComparisonFile(_File):
    examples: tuple[ComparisonExample, ...]


Example = TypeVar("Example", RevisionExample, ComparisonExample)


def revision_examples(name: str, count: int, beside: Path | None = None) -> tuple[RevisionExample, ...]:
    """The first `count` examples of a file. Raises InputError where it holds fewer."""
    return _first(read_yaml(find("prompts", name, ".yaml", beside)).check(_RevisionFile).examples, count, name)


def comparison_examples(name: str, count: int, beside: Path | None = None) -> tuple[ComparisonExample, ...]:
    """The first `count` examples of a file. Raises InputError where it holds fewer."""
    return _first(read_yaml(find("prompts", name, ".yaml", beside)).check(_ComparisonFile).examples, count, name)


def _first(examples: tuple[Example, ...], count: int, name: str) -> tuple[Example, ...]:
    if count > len(examples):
        raise InputError(
            f"few_shot: {count} examples asked for, {name} holds {len(examples)}; ask for fewer or add some"
        )
    return examples[:count]
