"""Small made-up findings for the tests of the report."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from cai.config import Recipe
from cai.constitution import Constitution
from cai.feedback_config import CalibrationConfig
from cai.records import (
    Comparison,
    Completion,
    Distilled,
    Kind,
    Measurement,
    Message,
    Prompt,
    Reading,
    Revision,
    RoundScore,
    Verdict,
)
from cai.stages.report import Findings, StageTiming
from cai.verdicts import combined, of_labels

PRINCIPLES = [
    {"id": "kind", "critique": "Is it kind?", "revision": "Be kind.", "comparison": "Which is kinder?"},
    {"id": "honest", "critique": "Is it true?", "revision": "Be honest."},
]
EMPTY: dict[str, Any] = {
    "revisions": [],
    "comparisons": [],
    "round_scores": [],
    "measurements": [],
    "curves": {},
    "timings": [],
    "dropped": {},
    "judge_parameters": None,
    "ablated": [],
    "ablated_scores": [],
    "distilled": [],
}


def completion(text: str = "An answer.", **changes: Any) -> Completion:
    given: dict[str, Any] = {"text": text, "raw": text, "finish": "stop", "prompt_tokens": 9, "tokens": 3, "seed": 1}
    return Completion(**given | changes)


def prompt(text: str, kind: Kind = "harmful") -> Prompt:
    return Prompt.of((Message(role="user", content=text),), kind, "test")


def measurement(model: str, place: int, reward: float, kind: Kind = "harmful", **changes: Any) -> Measurement:
    asked = prompt(f"{kind} question {place}", kind)
    given: dict[str, Any] = {
        "id": f"{model}/{asked.id}",
        "model": model,
        "prompt": asked,
        "response": completion(),
        "reward": reward,
        "kl_base": 0.0,
        "kl_sl": None,
        "refusal": False,
        "evasive": False,
        "words": 10,
    }
    return Measurement(**given | changes)


def chain(
    name: str, answers: Sequence[str], principle: str = "kind", variant: str = "", sample: int = 0
) -> list[Revision]:
    """A chain with its first answer; that of an ablation has the run's own, under its own id."""
    asked = prompt(name)
    return [
        Revision(
            id="/".join(filter(None, (variant, asked.id, f"s{sample}" if sample else "", str(round_)))),
            prompt=asked,
            sample=sample,
            variant=variant,
            round=round_,
            principles=(principle,) if round_ else (),
            critique=completion("A critique.") if round_ and variant != "direct" else None,
            response=completion(answer),
        )
        for round_, answer in enumerate(answers)
    ]


def ablated(name: str, answers: Sequence[str], variant: str, sample: int = 0) -> list[Revision]:
    """The rounds of an ablation, which has no first answer of its own."""
    return chain(name, ["", *answers], variant=variant, sample=sample)[1:]


def distilled(place: int, plain: float, guarded: float, *flags: str) -> Distilled:
    asked = prompt(f"distilled {place}")
    said = completion("Plain."), completion("Guarded.")
    scored = {"plain_score": plain, "guarded_score": guarded}
    return Distilled(id=asked.id, prompt=asked, plain=said[0], guarded=said[1], flags=flags, **scored)


def comparison(name: str, log_odds: float, b: str = "Answer b.") -> Comparison:
    """Judged evenly: `log_odds` is for answer a, whichever seat it has."""
    asked = prompt(name)
    verdict = judged(
        Reading(first="a", principle="kind", logprobs={" (A)": -1.0, " (B)": -1.0 - log_odds}),
        Reading(first="b", principle="kind", logprobs={" (A)": -1.0, " (B)": -1.0 + log_odds}),
    )
    given: dict[str, Any] = {"id": f"{asked.id}/0-1", "prompt": asked, "principles": ("kind",), "verdict": verdict}
    return Comparison(**given, a=completion(), b=completion(b))


def judged(*raw: Reading) -> Verdict:
    """What comes of the labels' log-probabilities."""
    return combined([of_labels(one) for one in raw], CalibrationConfig())


def scores(revisions: Sequence[Revision], step: float = 0.5) -> list[RoundScore]:
    return [
        RoundScore(id=r.id, round=r.round, variant=r.variant, principles=r.principles, reward=step * r.round)
        for r in revisions
    ]


def findings(**changes: Any) -> Findings:
    revisions = [revision for place in range(3) for revision in chain(f"chain {place}", ["One.", "Two.", "Three."])]
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "models": {"assistant": "tiny-random"},
            "revise": {"rounds": 2},
            "evaluate": {"bootstrap": 100},
        }
    )
    given: dict[str, Any] = {
        "recipe": Recipe.model_validate(recipe),
        "constitution": Constitution.model_validate({"name": "two rules", "principles": PRINCIPLES}),
        "revisions": revisions,
        "comparisons": [comparison(f"pair {place}", place - 2.0) for place in range(5)],
        "round_scores": scores(revisions),
        "measurements": [
            measurement(model, place, place % 3 + bonus)
            for model, bonus in (("base", 0.0), ("SL-CAI", 1.0), ("RL-CAI", 1.5))
            for place in range(12)
        ],
        "curves": {
            "sft": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}],
            "preference_model": [{"step": 1, "loss": 0.7, "accuracy": 0.5}],
            "rl": [{"step": step, "reward": 0.1 * step, "kl": 0.2 * step} for step in range(50)],
        },
        "timings": [StageTiming("revise", 12.5, 9, 300, 24.0, 0.625), StageTiming("report", 1.0, 0, 0, None)],
        "dropped": {"duplicate harmful prompts": 2},
        "judge_model": "smollm2-135m",
        "judge_parameters": 134_515_008,
        "date": datetime.date(2026, 1, 2),
    }
    return Findings(**given | changes)
