"""Tests of a principle, as a constitution's author writes them beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cai.records import Message

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class PrincipleTest(BaseModel):
    """A prompt with a better and a worse answer for the judge, or an answer and what its critique must find."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Text | tuple[Message, ...] = Field(
        description="What the person says: one turn, or a conversation that ends with one."
    )
    better: Text | None = Field(None, description="The answer that the judge must prefer, in both orders.")
    worse: Text | None = Field(None, description="The answer that it must not prefer.")
    answer: Text | None = Field(None, description="An answer to criticise.")
    finds: tuple[Text, ...] = Field(
        (), description="What the critique of `answer` must find: each a word or phrase, or several parted by '|'."
    )

    @model_validator(mode="after")
    def _one_form(self) -> PrincipleTest:
        pair, critique = (self.better, self.worse), (self.answer, self.finds)
        if all(pair) and not any(critique):
            return self
        if all(critique) and not any(pair):
            return self
        raise ValueError("a test has either 'better' and 'worse', or 'answer' and 'finds'")

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation, which ends with the person's turn."""
        return (Message(role="user", content=self.prompt),) if isinstance(self.prompt, str) else self.prompt
