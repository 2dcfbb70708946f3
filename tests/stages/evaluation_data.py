"""Made-up records of an evaluation."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from report_data import completion, measurement, prompt

from cai.evaluation import Evaluation
from cai.judge_figures import figures
from cai.judged import Judged
from cai.records import (
    Classified,
    Conduct,
    Does,
    Harm,
    Kind,
    Match,
    OverRefusal,
    Reading,
    Verdict,
)
from cai.verdicts import logistic

CLASSES: tuple[Does, ...] = ("full refusal", "partial refusal", "compliance")


def match(place: int, first: str, second: str, p_a: float | None, kind: Kind = "harmful", **changes: Any) -> Match:
    """One model's answer, called a, beside another's, called b; judged alike in both seatings."""
    asked = prompt(f"{kind} question {place}", kind)
    readings = () if p_a is None else tuple(Reading(first=seat, principle="x", p_a=p_a) for seat in ("a", "b"))
    verdict = Verdict(state="unparsed" if p_a is None else "parsed", p_a=p_a, p_raw=p_a, readings=readings)
    given: dict[str, Any] = {
        "id": f"{asked.id}/{first}-{second}",
        "prompt": asked,
        "principles": ("x",),
        "a": completion("An answer."),
        "b": completion("Another answer."),
        "verdict": verdict,
        "source": "models",
        "asked": (),
        "models": (first, second),
    }
    return Match(**given | changes)


def played(strengths: Mapping[str, float], prompts: int, kind: Kind, seed: int = 0) -> list[Match]:
    """Every two models on so many prompts: P(a is better) = s(noise + the difference in strength)."""
    draw = random.Random(seed)
    return [
        match(place, a, b, logistic(draw.gauss(strengths[a] - strengths[b], 1.5)), kind)
        for place in range(prompts)
        for a, b in combinations(strengths, 2)
    ]


def conduct(does: Does | None, evasive: float = 0.1, rule: bool = False, sure: float = 0.8) -> Conduct:
    rest = (1 - sure) / 2
    p = {name: sure if name == does else rest for name in CLASSES} if does else {}
    raw = tuple({name: math.log(share) for name, share in p.items()} for _ in range(3))
    return Conduct(
        refusal=raw,
        evasion=(),
        p=p,
        does=does,
        p_evasive=evasive if does else None,
        refusal_by_rule=rule,
        evasive_by_rule=False,
    )


def classified(
    model: str, place: int, does: Does | None, kind: Kind = "harmful", truth: Does | None = None, **said: Any
) -> Classified:
    asked, answer = prompt(f"{kind} question {place}", kind), said.pop("answer", "An answer.")
    found = conduct(does, **said)
    return Classified(id=f"{model}/{asked.id}", model=model, prompt=asked, answer=answer, truth=truth, conduct=found)


def over_refusal(model: str, place: int, safe: bool, does: Does | None, **said: Any) -> OverRefusal:
    asked = prompt(f"{'safe' if safe else 'unsafe'} question {place}", "helpful" if safe else "harmful")
    return OverRefusal(
        id=f"{model}/{asked.id}",
        model=model,
        prompt=asked,
        safe=safe,
        type="homonyms",
        response=completion(),
        conduct=conduct(does, **said),
    )


def harm(model: str, place: int, value: float | None, reward: float = 0.0) -> Harm:
    asked = prompt(f"harmful question {place}")
    logprobs = {str(rating): -1.0 for rating in range(5)}
    return Harm(
        id=f"{model}/{asked.id}",
        model=model,
        prompt=asked,
        answer="An answer.",
        logprobs=logprobs,
        harm=value,
        reward=reward,
    )


def judged(right: Sequence[bool]) -> list[Judged]:
    verdict = Verdict(state="parsed", p_a=0.8)
    categories = ("harmless", "helpful", "honest")
    return [
        Judged(f"{place}", verdict, "a" if hit else "b", (9, 7), categories[place % 3])
        for place, hit in enumerate(right)
    ]


def evaluation(**changes: Any) -> Evaluation:
    """Every suite: a policy that grows more harmless and less helpful, and refuses more."""
    harmless = {"base": 0.0, "SL-CAI": 0.8, "RL-CAI": 1.8}
    helpful = {"base": 0.6, "SL-CAI": 0.4, "RL-CAI": 0.0}
    draw = random.Random(5)
    refusing = {"base": 0.1, "SL-CAI": 0.3, "RL-CAI": 0.5}

    def does(chance: float) -> Does:
        return draw.choices(CLASSES, (chance, 0.15, 1 - chance))[0]

    kinds: tuple[Kind, ...] = ("harmful", "helpful")
    given: dict[str, Any] = {
        "measurements": [
            measurement(model, place, 0.0, kind) for model in harmless for kind in kinds for place in range(24)
        ],
        "matches": [*played(harmless, 24, "harmful"), *played(helpful, 24, "helpful", 1)],
        "harms": [
            harm(m, place, max(0.0, 2 - s + draw.gauss(0, 0.4))) for m, s in harmless.items() for place in range(24)
        ],
        "classified": [
            classified(model, place, does(chance / (4 if kind == "helpful" else 1)), kind, rule=place % 5 == 0)
            for model, chance in refusing.items()
            for kind in kinds
            for place in range(24)
        ]
        + [classified("", place, does(0.4), truth=CLASSES[place % 3]) for place in range(30)],
        "borderline": [
            over_refusal(model, place, safe, does(chance if safe else chance + 0.4))
            for model, chance in refusing.items()
            for safe in (True, False)
            for place in range(40)
        ],
        "choices": {
            name: figures(judged([draw.random() < share for _ in range(60)]))
            for name, share in (("base", 0.55), ("RL-CAI", 0.6), ("preference model", 0.75))
        },
        "resamples": 200,
        "chosen": {
            "base": {f"{place}": float(place % 2) for place in range(60)},
            "RL-CAI": {f"{place}": float(place % 5 > 0) for place in range(60)},
        },
    }
    return Evaluation(**given | changes)
