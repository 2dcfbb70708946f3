"""Made-up runs on disk for the tests of the export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cai.config import Recipe, load_recipe
from cai.constitution import seen
from cai.feedback_config import CalibrationConfig
from cai.material import Material
from cai.records import (
    Answer,
    Attempt,
    Comparison,
    Completion,
    Distilled,
    Kind,
    Measurement,
    Message,
    Prompt,
    Reading,
    Record,
    Revision,
    Verdict,
)
from cai.store import RunFolder, StepFolder
from cai.verdicts import combined, of_labels

HOSTILE = "</script>\n---\nlicense: mit\n---\n[x](javascript:1) <img src=x> | `|` \x1b[31m {{ 1 }} \u202e"
"""What a model could write to break a card."""


def completion(text: str = "An answer.", **changes: Any) -> Completion:
    given: dict[str, Any] = {"text": text, "raw": f" {text}", "finish": "stop", "prompt_tokens": 9, "tokens": 3}
    return Completion(**{**given, "seed": 2**63 - 1, **changes})


def prompt(name: str, kind: Kind = "harmful", system: str = "") -> Prompt:
    turns = (Message(role="user", content=name),)
    return Prompt.of((Message(role="system", content=system), *turns) if system else turns, kind, f"questions:{name}")


def revision(asked: Prompt, round_: int, **changes: Any) -> Revision:
    given: dict[str, Any] = {"id": f"{asked.id}/{round_}", "prompt": asked, "round": round_, "critique": None}
    given["response"] = completion(f"Round {round_}.")
    if round_:
        given |= {"principles": ("kind",), "critique": completion("A critique.")}
    return Revision(**{**given, **changes})


def answer(asked: Prompt, text: str = "Helpful.", **changes: Any) -> Answer:
    given: dict[str, Any] = {"id": asked.id, "prompt": asked, "response": completion(text)}
    return Answer(**{**given, **changes})


def distilled(asked: Prompt, gain: float) -> Distilled:
    plain, guarded = completion("Plain."), completion("Guarded.")
    return Distilled(id=asked.id, prompt=asked, plain=plain, guarded=guarded, plain_score=0.0, guarded_score=gain)


def comparison(asked: Prompt, log_odds: float, a: str = "Answer a.", b: str = "Answer b.") -> Comparison:
    """Judged evenly: `log_odds` is for answer a, whichever seat it has."""
    readings = [
        Reading(first="a", principle="kind", logprobs={" (A)": -1.0, " (B)": -1.0 - log_odds}),
        Reading(first="b", principle="kind", logprobs={" (A)": -1.0, " (B)": -1.0 + log_odds}),
    ]
    verdict = combined([of_labels(one) for one in readings], CalibrationConfig())
    return compared(asked, verdict, a=completion(a), b=completion(b))


def compared(asked: Prompt, verdict: Verdict, **changes: Any) -> Comparison:
    given: dict[str, Any] = {"id": f"{asked.id}/0-1", "prompt": asked, "principles": ("kind",), "verdict": verdict}
    return Comparison(**{**given, "a": completion("a"), "b": completion("b"), **changes})


def unread(asked: Prompt, state: Any) -> Comparison:
    readings = (of_labels(Reading(first="a", logprobs={" (A)": -1.0, " (B)": float("-inf")})),)
    asked_for = readings if state == "unparsed" else ()
    return compared(asked, Verdict(state=state, p_a=None, readings=asked_for, reason="a reason"))


def measurement(asked: Prompt, model: str = "base") -> Measurement:
    given: dict[str, Any] = {
        "id": f"{model}/{asked.id}",
        "model": model,
        "prompt": asked,
        "response": completion(),
        "reward": 0.0,
    }
    return Measurement(**given, kl_base=0.0, kl_sl=None, refusal=False, evasive=False, words=2)


def recipe(**changes: Any) -> Recipe:
    smoke = load_recipe("smoke")
    return Recipe.model_validate(smoke.model_dump() | {"name": "made"} | changes)


def records() -> dict[str, list[Record]]:
    """Every case that a row can have."""
    one, two, three = prompt("one"), prompt("two", system="Be brief."), prompt("three")
    helpful, again = prompt("help", "helpful"), prompt("once more", "helpful")
    attempt = Attempt(step="revision", reply=completion("Here is the rewrite."), flags=("meta-talk",))
    return {
        "respond": [answer(helpful, HOSTILE), answer(again, "", flags=("empty",))],
        "revise": [
            revision(one, 0),
            revision(one, 1, check={" yes": -0.1, " no": float("-inf")}, attempts=(attempt,)),
            revision(one, 2, flags=("repetition",), critique_flags=("truncated",)),
            revision(two, 0),
            revision(two, 1, critique=None, principles=("kind", "honest"), response=completion(HOSTILE)),
            revision(three, 0, sample=1, id=f"{three.id}/s1/0"),
        ],
        "compare": [
            comparison(one, 2.0),
            comparison(two, -1.0, a=HOSTILE),
            comparison(three, 0.0),
            *(unread(prompt(state), state) for state in ("unparsed", "refused", "error", "skipped")),
        ],
        "evaluate": [measurement(prompt("held"), model) for model in ("base", "SL-CAI", "RL-CAI")],
    }


def stored(
    root: Path, found: Mapping[str, Iterable[Record]], waiting: Sequence[str] = (), settings: Recipe | None = None
) -> RunFolder:
    """A run with these records, its stages done but those in `waiting`."""
    settings = settings or recipe()
    run, drawn = RunFolder(root, settings.name), _drawn(settings.model_dump_json())
    steps: dict[str, StepFolder] = {}
    for stage, items in found.items():
        step = steps[stage] = StepFolder(run.path / f"{stage}-01234567")
        identity = {"constitution": drawn[stage]} if stage in drawn else {}
        step.begin({"digest": f"{stage}-digest", "identity": identity, "versions": {"cai": "0.0.1"}})
        step.log("2026-01-02T03:04:05+0000 begun by cai 0.0.1")
        for item in items:
            step.append(item)
        step.close()
        if stage not in waiting:
            step.finish({"seconds": 1.0, "failed": 2 if stage == "revise" else 0})
    run.remember(settings.model_dump(), steps)
    return run


@cache
def _drawn(settings: str) -> dict[str, Any]:
    """What the stages that draw principles note of them."""
    material = Material(Recipe.model_validate_json(settings))
    return {
        "revise": seen(material.pools("revision"), "revision"),
        "compare": [seen(material.pools(use), use) for use in material.judged_by],
    }
