"""The values that rest on disk. Frozen; functions return new ones; nothing a model said is ever dropped."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from cai.identity import digest

Role = Literal["system", "user", "assistant"]
Kind = Literal["harmful", "helpful"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are shown."""


class Record(BaseModel):
    """Base of all records: immutable, and an unknown field is an error. An infinite number survives the disk."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def replies(self) -> list[Completion]:
        """What was asked of models for this record."""
        return [value for value in self.__dict__.values() if isinstance(value, Completion)]


class Message(Record):
    """One turn of a conversation."""

    role: Role = Field(description="Whose turn it is.")
    content: str = Field(description="What is said.")


class Prompt(Record):
    """A conversation that ends with a user's turn and waits for an answer."""

    id: str
    kind: Kind
    messages: tuple[Message, ...]
    source: str

    @classmethod
    def of(cls, messages: tuple[Message, ...], kind: Kind, source: str) -> Prompt:
        """Named by its content, so that the same conversation has the same id in every file."""
        content = [[message.role, message.content] for message in messages]
        return cls(id=digest(content)[:16], kind=kind, messages=messages, source=source)


class Completion(Record):
    """One reply of an engine. `text` is what later steps see, `raw` is what the model wrote.

    `seeded` is false where the engine could not honour `seed`. `reasoning` is what a thinking model wrote before its
    answer; no later step sees it. `cached_tokens` of the prompt were not computed again.
    """

    text: str
    raw: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    tokens: int
    seed: int
    seeded: bool = True
    reasoning: str = ""
    cached_tokens: int = 0


class Answer(Record):
    """An answer to a prompt, the `sample`-th; `flags` say what seems wrong with it (cai/hygiene.py)."""

    id: str
    prompt: Prompt
    sample: int = 0
    response: Completion
    flags: tuple[str, ...] = ()


class Attempt(Record):
    """A critique or revision that was flagged and asked for again; no later step sees it."""

    step: Literal["critique", "revision"]
    reply: Completion
    flags: tuple[str, ...]


class Revision(Record):
    """One round of a critique-revision chain (Bai et al. 2022, section 3.1).

    Round 0 is the first answer: it has no principle and no critique. `sample` tells the chains of one prompt apart,
    `variant` those of an ablation from the run's own (""). `check` holds log p(label) in nats of the question whether
    anything needs to change, where it was asked; a round that it ended has the flag "stopped", no critique, and the
    response of the round before. `flags` say what seems wrong with the response, `critique_flags` with the critique.
    """

    id: str
    prompt: Prompt
    sample: int = 0
    variant: str = ""
    round: int
    principles: tuple[str, ...] = ()
    check: dict[str, float] | None = None
    critique: Completion | None
    response: Completion
    flags: tuple[str, ...] = ()
    critique_flags: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    def replies(self) -> list[Completion]:
        """As of any record, with the attempts; a round that ended its chain repeats a response and asked for none."""
        asked = [] if "stopped" in self.flags else super().replies()
        return [*asked, *(attempt.reply for attempt in self.attempts)]


Seating = Literal["a", "b"]
State = Literal["parsed", "unparsed", "refused", "error", "skipped"]


class Reading(Record):
    """One question put to the judge about a pair, and what was read from its reply.

    `first` is the answer shown as (A); None where the mode shows the answers one by one. `logprobs` maps what was
    scored to log-probabilities (nats), raw: the labels, or for each answer what the mode scores of it. `reply` is what
    the judge wrote: its thoughts or its verdict. `p_a` = P(a is better) as read, None where it could not be.
    """

    first: Seating | None
    principle: str = ""
    logprobs: dict[str, float] = {}
    reply: Completion | None = None
    state: State = "parsed"
    p_a: float | None = None
    reason: str = ""


class Verdict(Record):
    """What the judge said of a pair. Only a parsed verdict has `p_a` = P(a is better), and only it trains.

    `p_raw` is the mean over the readings, `p_a` what calibration and clamping make of it. A label that is known from
    how the pair was made has no readings. `skipped`: the judge was not asked, since the answers are identical.
    """

    state: State
    p_a: float | None
    p_raw: float | None = None
    readings: tuple[Reading, ...] = ()
    reason: str = ""

    def swap(self) -> Verdict:
        """The verdict on the same pair with the answers named the other way round."""
        swapped = {"p_a": _flipped(self.p_a), "p_raw": _flipped(self.p_raw)}
        return self.model_copy(update={**swapped, "readings": tuple(map(_swapped, self.readings))})


class Comparison(Record):
    """Two answers to one prompt and the verdict on them (Bai et al. 2022, section 4.1).

    `id` is "<prompt>/<a>-<b>" with the numbers or names of the two answers; `source` says how they came to be a pair:
    "samples", "models", "rounds" or "contrastive". `asked` names the answers that were sampled for it: others come from
    a comparison or a chain before it. Of a best against a worst sample, `ranked` has the judge's number of every sample
    by its own number, and `between` those that are in no pair.
    """

    id: str
    prompt: Prompt
    principles: tuple[str, ...]
    a: Completion
    b: Completion
    verdict: Verdict
    source: str = "samples"
    asked: tuple[Seating, ...] = ("a", "b")
    ranked: dict[int, float] = {}
    between: dict[int, Completion] = {}

    def swap(self) -> Comparison:
        """The same comparison with the answers named the other way round."""
        asked = tuple(_OTHER[name] for name in self.asked)
        return self.model_copy(update={"a": self.b, "b": self.a, "verdict": self.verdict.swap(), "asked": asked})

    def replies(self) -> list[Completion]:
        """The answers that were sampled for it, and what the judge wrote."""
        answers = [answer for name, answer in (("a", self.a), ("b", self.b)) if name in self.asked]
        return [*answers, *self.between.values(), *(one.reply for one in self.verdict.readings if one.reply)]


class Match(Comparison):
    """Two models' answers to one held-out prompt and the verdict on them; `models` gave answers a and b."""

    models: tuple[str, str]

    def swap(self) -> Match:
        """The same match with the answers named the other way round."""
        swapped = super().swap()
        return self.model_copy(update={**dict(swapped), "models": self.models[::-1]})


class Measurement(Record):
    """One model's answer to one held-out prompt, measured.

    `reward`: preference-model score (no unit; one unit is one nat of log-odds). `kl_base` and `kl_sl`:
    log p(answer | this model) - log p(answer | base or SL-CAI model), nats an answer; their mean over answers
    sampled at temperature 1 estimates the KL divergence. A guest of the evaluation has neither. `words`:
    whitespace-separated words of the answer.
    """

    id: str
    model: str
    prompt: Prompt
    response: Completion
    reward: float
    kl_base: float | None
    kl_sl: float | None
    refusal: bool
    evasive: bool
    words: int


Does = Literal["full refusal", "partial refusal", "compliance"]
"""What an answer does with what was asked, in XSTest's classes (Röttger et al. 2024, arXiv 2308.01263)."""


class Conduct(Record):
    """What an answer does with what was asked, as a model classified it and as keyword rules say (cai/refusals.py).

    `refusal` and `evasion` hold log p(class) in nats, raw, for each order in which the classes were shown. `p` is the
    mean of their probabilities, `does` the likeliest class, `p_evasive` = P(neither an answer nor a reason); None or
    empty where a class had no finite log-probability.
    """

    refusal: tuple[dict[str, float], ...]
    evasion: tuple[dict[str, float], ...]
    p: dict[str, float]
    does: Does | None
    p_evasive: float | None
    refusal_by_rule: bool
    evasive_by_rule: bool

    @property
    def evasive(self) -> bool | None:
        """Whether it evades, which an answer that complies doesn't; None where it could not be read."""
        if self.does is None or self.p_evasive is None:
            return None
        return self.does != "compliance" and self.p_evasive > 0.5


class Said(Record):
    """An answer to be classified: a model's to a prompt, or of a labelled file, where people said `truth` of it."""

    id: str
    model: str
    prompt: Prompt
    answer: str
    truth: Does | None = None


class Classified(Said):
    """The same, classified."""

    conduct: Conduct


class Borderline(Record):
    """A prompt of an over-refusal set for one model: `safe` though it may look unsafe, or an unsafe contrast."""

    id: str
    model: str
    prompt: Prompt
    safe: bool
    type: str = ""


class OverRefusal(Borderline):
    """The same with the model's answer, classified."""

    response: Completion
    conduct: Conduct


class Harm(Record):
    """How harmful a judge finds an answer to a red-team prompt. `id` is the measurement's.

    `logprobs`: log p(rating) in nats of 0 to 4, raw; `harm`: the expected rating, None where none was finite. `reward`:
    the preference-model score (log-odds).
    """

    id: str
    model: str
    prompt: Prompt
    answer: str
    logprobs: dict[str, float]
    harm: float | None
    reward: float


class RoundScore(Record):
    """The preference-model score (log-odds) of one round of a chain. `id` is the revision's."""

    id: str
    round: int
    variant: str = ""
    principles: tuple[str, ...] = ()
    reward: float


class Distilled(Record):
    """An answer given under a safety preamble, beside the plain one (Llama 2, arXiv 2307.09288, section 4.2).

    `plain_score` and `guarded_score` are a preference model's (log-odds); the guarded answer is learned from where it
    scores higher.
    """

    id: str
    prompt: Prompt
    plain: Completion
    guarded: Completion
    plain_score: float
    guarded_score: float
    flags: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """How much the preamble raised the score."""
        return self.guarded_score - self.plain_score


class PanelAnswer(Record):
    """An answer of the policy at step `step` of its training to a held-out prompt of the panel, and its rewards.

    `id` is "<step>/<prompt>"; `tokens` were written, and `finished` says whether the answer ended by itself. `reward`
    is the whole reward, `parts` each of its parts before its weight, and figures of the answer (`answers/...`).
    """

    id: str
    step: int
    prompt: Prompt
    response: str
    tokens: int
    finished: bool
    reward: float
    parts: dict[str, float]


class Dialogue(Record):
    """A conversation to be had: an instruction, and what the person asks turn by turn."""

    id: str
    instruction: str
    questions: tuple[str, ...]
    source: str


class Ghost(Record):
    """The last answer of a conversation that follows an instruction throughout (Llama 2, section 3.3).

    `prompt` shows the instruction in its first turn alone; the model was shown it in every turn. `earlier`: its answers
    to the turns before, as they came.
    """

    id: str
    prompt: Prompt
    instruction: str
    earlier: tuple[Completion, ...]
    response: Completion
    flags: tuple[str, ...] = ()

    def replies(self) -> list[Completion]:
        """The answers to all turns."""
        return [*self.earlier, self.response]


_OTHER: dict[Seating, Seating] = {"a": "b", "b": "a"}


def _flipped(p: float | None) -> float | None:
    return None if p is None else 1 - p


def _swapped(reading: Reading) -> Reading:
    """What was scored of answer a is now of b: keys that begin with a name and a space are renamed too."""
    logprobs = {_renamed(key): value for key, value in reading.logprobs.items()}
    first = reading.first and _OTHER[reading.first]
    return reading.model_copy(update={"first": first, "logprobs": logprobs, "p_a": _flipped(reading.p_a)})


def _renamed(key: str) -> str:
    return f"{'b' if key[0] == 'a' else 'a'}{key[1:]}" if key.startswith(("a ", "b ")) else key
