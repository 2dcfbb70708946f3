"""Worked examples shown to a model before it critiques, revises or compares (Bai et al. 2022, App. E)."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cai.errors import InputError
from cai.records import Message
from cai.resources import find
from cai.yamlfile import read_yaml

Seat = Literal["A", "B"]


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="A name of its own.")
    tags: tuple[str, ...] = Field(default=(), description="Free labels, for your own grouping.")
    messages: tuple[Message, ...] = Field(min_length=1, description="The conversation so far.")


class RevisionExample(_Example):
    """A conversation that ends with the criticised answer, its critique and its revision."""

    critique_request: str = Field(description="What the critique is asked for.")
    critique: str = Field(description="The critique.")
    revision_request: str = Field(description="What the revision is asked for.")
    revision: str = Field(description="The revision.")


class ComparisonExample(_Example):
    """A conversation that ends with a user's turn, two answers, and which of them is better.

    The answers sit as `a` and `b`, with the better one's letter as `answer`; or they are `better` and `worse`, and
    seats are drawn for each question. Without an `instruction`, a principle is drawn for each question as well (Bai et
    al. 2022, section 4.1).
    """

    instruction: str | None = Field(
        default=None, description="By what the answers are judged; none: a drawn principle."
    )
    a: str | None = Field(default=None, description="The answer shown first.")
    b: str | None = Field(default=None, description="The answer shown second.")
    answer: Seat | None = Field(default=None, description="The better one of `a` and `b`.")
    better: str | None = Field(default=None, description="The better answer, where seats are to be drawn.")
    worse: str | None = Field(default=None, description="The worse answer, where seats are to be drawn.")

    @model_validator(mode="after")
    def _one_form(self) -> ComparisonExample:
        seated, ranked = [self.a, self.b, self.answer], [self.better, self.worse]
        full = [None not in form for form in (seated, ranked)]
        if sum(full) != 1 or any(value is not None for value in (ranked if full[0] else seated)):
            raise ValueError("a comparison has either 'a', 'b' and 'answer', or 'better' and 'worse'")
        return self

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left to be drawn."""
        return self.instruction is not None and self.answer is not None

    @property
    def ranked(self) -> tuple[str, str]:
        """The better answer and the worse one."""
        first, second = (self.a, self.b) if self.answer == "A" else (self.b, self.a)
        return self.better or first or "", self.worse or second or ""

    def settled(self, instruction: str, seat: Seat) -> ComparisonExample:
        """The whole example: what it leaves open is `instruction`, and `seat` the better answer's."""
        update: dict[str, str | None] = {
            "instruction": self.instruction if self.instruction is not None else instruction
        }
        if self.answer is None:
            a, b = self.ranked if seat == "A" else self.ranked[::-1]
            update |= {"a": a, "b": b, "answer": seat, "better": None, "worse": None}
        return self.model_copy(update=update)


class ReasoningExample(_Example):
    """A comparison with the thoughts that lead to its answer (Bai et al. 2022, section 4.1).

    `thoughts` follow the words that ask for them after a space, unless they begin with a line of their own.
    """

    instruction: str | None = Field(
        default=None, description="By what the answers are judged; none: a drawn principle."
    )
    a: str = Field(description="The answer shown first.")
    b: str = Field(description="The answer shown second.")
    thoughts: str = Field(description="What leads to the verdict.")
    answer: Seat = Field(description="The better one of `a` and `b`.")

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left to be drawn."""
        return self.instruction is not None

    def settled(self, instruction: str) -> ReasoningExample:
        """The whole example: judged by `instruction` where it names none."""
        return self if self.whole else self.model_copy(update={"instruction": instruction})


Example = TypeVar("Example", RevisionExample, ComparisonExample, ReasoningExample)


class _File(BaseModel, Generic[Example]):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    examples: tuple[Example, ...]


def revision_examples(
    source: str | tuple[RevisionExample, ...], count: int | None = None, beside: Path | None = None
) -> tuple[RevisionExample, ...]:
    """The first `count` examples of a file, or of those given; none: all. Raises InputError where there are fewer."""
    return _examples(_File[RevisionExample], source, count, beside)


def comparison_examples(
    source: str | tuple[ComparisonExample, ...], count: int | None = None, beside: Path | None = None
) -> tuple[ComparisonExample, ...]:
    """The first `count` examples of a file, or of those given; none: all. Raises InputError where there are fewer."""
    return _examples(_File[ComparisonExample], source, count, beside)


def reasoning_examples(
    source: str | tuple[ReasoningExample, ...], count: int | None = None, beside: Path | None = None
) -> tuple[ReasoningExample, ...]:
    """The first `count` examples of a file, or of those given; none: all. Raises InputError where there are fewer."""
    return _examples(_File[ReasoningExample], source, count, beside)


def _examples(
    form: type[_File[Example]], source: str | tuple[Example, ...], count: int | None, beside: Path | None
) -> tuple[Example, ...]:
    if isinstance(source, str):
        name, examples = source, read_yaml(find("prompts", source, ".yaml", beside)).check(form).examples
    else:
        name, examples = "the constitution", source
    if count is not None and count > len(examples):
        raise InputError(
            f"few_shot: {count} examples asked for, {name} holds {len(examples)}; ask for fewer or add some"
        )
    return examples[:count]
