"""The tables that are written: their splits and columns, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal[
    "text", "texts", "integer", "number", "boolean", "messages", "completion", "attempts", "logprobs", "readings"
]
"""What a column holds; `cai/export/writing.py` says how each rests in Parquet."""

TYPES: Mapping[Type, str] = {
    "text": "text",
    "texts": "list of texts",
    "integer": "64-bit integer",
    "number": "64-bit float",
    "boolean": "true or false",
    "messages": "list of {role, content}",
    "completion": "one reply of a model: {text, raw, finish, prompt_tokens, tokens, cached_tokens, seed, seeded, "
    "reasoning}; `text` is what later steps saw, `raw` what the model wrote",
    "attempts": "list of {step, flags, reply}, each reply as a completion",
    "logprobs": "list of {label, logprob}, nats",
    "readings": "list of {first, principle, logprobs, reply, state, p_a, reason}: the answer shown as (A), null where "
    "each was shown by itself; the log-probabilities (nats) of what was scored, the labels or of each answer what the "
    "judge's mode scores; what the judge wrote; and P(a is better) as read, or why it was not",
}


@dataclass(frozen=True)
class Column:
    """A column: null where it has nothing to say."""

    name: str
    type: Type
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table. `splits`: what is in each. `needs`: the stages that must be done, where the run has them."""

    name: str
    about: str
    splits: Mapping[str, str]
    needs: tuple[str, ...]
    columns: tuple[Column, ...]


_PROMPT = (
    Column("prompt_id", "text", "Names the prompt by its content, the same in every table and every run."),
    Column("kind", "text", "`harmful`: a red-team prompt; `helpful`: a plain request."),
    Column("source", "text", "Where the prompt came from: file or data set, and line."),
)

SL = Table(
    "sl",
    "What SL-CAI can learn from: the revisions of every round, the answers to helpful prompts, and answers under a "
    "safety preamble where the recipe asks for them.",
    {"train": "all rows; `used` says which of them SL-CAI learns from"},
    ("respond", "revise", "distill", "ghost"),
    (
        Column("messages", "messages", "The conversation with the answer as its last turn."),
        *_PROMPT,
        Column("stage", "text", "`revise`, `respond`, `distill` or `ghost`: what wrote the answer."),
        Column("sample", "integer", "Which of several chains or answers of one prompt, from 0."),
        Column("round", "integer", "Round of the chain, from 1; null for answers that no chain made."),
        Column("principles", "texts", "Ids of the principles that the revision follows."),
        Column("critique", "text", "The critique that the revision answers."),
        Column("flags", "texts", "What seems wrong with the answer, by rule."),
        Column(
            "used",
            "boolean",
            "Whether the recipe's `select` takes the row; training then leaves out those over `max_length`.",
        ),
        Column("copies", "integer", "How often it takes it; 0 where `used` is false."),
    ),
)

CHAINS = Table(
    "chains",
    "Every round of every critique-revision chain, first answers and ablations included, with all that is stored.",
    {"train": "all rounds, in the order in which they were written"},
    ("revise", "ablate"),
    (
        Column("id", "text", "Names the round."),
        *_PROMPT,
        Column("prompt", "messages", "The conversation that waits for an answer."),
        Column("variant", "text", "Empty for the run's own chains, else the ablation that the chain belongs to."),
        Column("sample", "integer", "Which chain of the prompt, from 0."),
        Column("round", "integer", "0 is the first answer, which has no principle and no critique."),
        Column("principles", "texts", "Ids of the principles drawn for the round."),
        Column("check", "logprobs", "Answers to whether anything needs to change, where that was asked."),
        Column("critique", "completion", "The critique of the answer of the round before."),
        Column("critique_flags", "texts", "What seems wrong with the critique, by rule."),
        Column("response", "completion", "The revision; in round 0 the first answer."),
        Column("flags", "texts", "What seems wrong with the response, by rule."),
        Column("attempts", "attempts", "Flagged critiques and revisions that were asked for again."),
    ),
)

PREFERENCES = Table(
    "preferences",
    "Pairs of answers to one prompt, judged by the feedback model under principles of the constitution.",
    {
        "train": "pairs with a verdict that could be read",
        "not_parsed": "pairs without one: unparsed, refused, error or skipped; `chosen` and `rejected` are null",
    },
    ("compare",),
    (
        Column("id", "text", "Names the pair: the prompt and its two answers."),
        Column("prompt", "messages", "The conversation that waits for an answer."),
        Column("chosen", "messages", "The answer with the higher probability; on a tie, `a`."),
        Column("rejected", "messages", "The other answer."),
        Column("label", "number", "P(chosen is better), from 0.5 (a tie) to 1: the soft label."),
        Column("p_a", "number", "P(a is better), after calibration and clamping."),
        Column("p_raw", "number", "The mean over the readings; null where the label comes from how the pair was made."),
        Column("state", "text", "`parsed`, `unparsed`, `refused`, `error`, or `skipped` (identical answers)."),
        Column("reason", "text", "Why there is no verdict, where there is none."),
        Column("principles", "texts", "Ids of the principles that the pair was judged under."),
        Column(
            "paired",
            "text",
            "How the answers became a pair: `samples` of one model, one of each of two `models`, `rounds` of a chain, "
            "or `contrastive`: under a principle and under its opposite.",
        ),
        Column("a", "text", "One answer."),
        Column("b", "text", "The other."),
        Column("readings", "readings", "Each question to the judge, and what was read of its reply, raw."),
        *_PROMPT,
    ),
)

PROMPTS = Table(
    "prompts",
    "The prompts themselves.",
    {"train": "what the stages before evaluation saw", "held_out": "what evaluation alone saw: don't train on it"},
    (),
    (Column("prompt", "messages", "The conversation that waits for an answer."), *_PROMPT),
)

TABLES = (SL, CHAINS, PREFERENCES, PROMPTS)


def path_of(table: Table, split: str) -> str:
    """Where the rows of a split lie below the folder of the export."""
    return f"{table.name}/{split}.parquet"
