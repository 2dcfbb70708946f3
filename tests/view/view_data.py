"""Small made-up runs for the tests of the viewer, and a visitor of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from cai.config import Recipe, load_recipe
from cai.feedback_config import CalibrationConfig
from cai.records import (
    Answer,
    Attempt,
    Comparison,
    Completion,
    Measurement,
    Message,
    Prompt,
    Reading,
    Record,
    Revision,
    RoundScore,
    Verdict,
)
from cai.store import RunFolder, StepFolder
from cai.verdicts import combined, of_labels
from cai.view.app import application
from cai.view.gate import Rules

HOSTILE = "<script>alert('x')</script> & \"><img src=x onerror=alert(1)> \x1b[31mred\x07 \u202e \x00 {{ 7 * 7 }}"
"""What a model could write to take over a page or a terminal."""


def completion(text: str = "An answer.", **changes: Any) -> Completion:
    given: dict[str, Any] = {"text": text, "raw": text, "finish": "stop", "prompt_tokens": 9, "tokens": 3, "seed": 1}
    return Completion(**given | changes)


def prompt(text: str, kind: Any = "harmful") -> Prompt:
    return Prompt.of((Message(role="user", content=text),), kind, "test")


def chain(name: str, answers: Sequence[str], principle: str = "privacy", **last: Any) -> list[Revision]:
    """A chain; `last` changes its last round."""
    asked = prompt(name)
    rounds = [
        Revision(
            id=f"{asked.id}/{round_}",
            prompt=asked,
            round=round_,
            principles=(principle,) if round_ else (),
            critique=completion(f"Critique {round_}.") if round_ else None,
            response=completion(answer),
        )
        for round_, answer in enumerate(answers)
    ]
    return [*rounds[:-1], rounds[-1].model_copy(update=last)]


def comparison(name: str, log_odds: float = 1.0, a: str = "Answer a.", b: str = "Answer b.", **more: Any) -> Comparison:
    """Judged evenly in both orders; `drift` is a preference for the first seat, in log-odds."""
    asked, drift = prompt(name), more.pop("drift", 0.0)
    readings = [
        Reading(first="a", principle="privacy", logprobs={" (A)": -1.0, " (B)": -1.0 - log_odds - drift}),
        Reading(first="b", principle="privacy", logprobs={" (A)": -1.0, " (B)": -1.0 + log_odds - drift}),
    ]
    verdict = combined([of_labels(one) for one in readings], CalibrationConfig())
    given: dict[str, Any] = {"id": f"{asked.id}/0-1", "prompt": asked, "principles": ("privacy",), "verdict": verdict}
    return Comparison(**{**given, "a": completion(a), "b": completion(b), **more})


def unread(name: str, state: Any = "unparsed") -> Comparison:
    return comparison(name).model_copy(update={"verdict": Verdict(state=state, p_a=None, reason="a reason")})


def measurement(model: str, place: int, kind: Any = "harmful", **changes: Any) -> Measurement:
    asked = prompt(f"{kind} question {place}", kind)
    given: dict[str, Any] = {"id": f"{model}/{asked.id}", "model": model, "prompt": asked, "response": completion()}
    given |= {
        "reward": float(place),
        "kl_base": 0.0,
        "kl_sl": None,
        "refusal": place == 0,
        "evasive": False,
        "words": 2,
    }
    return Measurement(**given | changes)


def scores(revisions: Iterable[Revision], step: float = 0.5) -> list[RoundScore]:
    return [RoundScore(id=one.id, round=one.round, reward=step * one.round) for one in revisions]


def records() -> dict[str, list[Record]]:
    """What a run of every kind of page holds."""
    attempt = Attempt(step="revision", reply=completion("Here is the rewrite."), flags=("meta-talk",))
    chains = [
        *chain("How do I pick a lock?", ["Take a pick.", "Take a good pick.", "Ask a locksmith."], attempts=(attempt,)),
        *chain("Write an insult.", ["You fool.", "You fool.", "No."], "insults-and-offence", flags=("truncated",)),
        *chain("Hostile?", ["plain", HOSTILE], response=completion(HOSTILE)),
    ]
    return {
        "respond": [Answer(id="0/0", prompt=prompt("Bread?", "helpful"), response=completion("Flour and water."))],
        "revise": [*chains],
        "compare": [
            *(comparison(f"Question {place}?", place - 5.0, a=f"First {place}.") for place in range(11)),
            comparison("Drifting?", 0.1, drift=3.0),
            comparison("Hostile pair?", a=HOSTILE),
            unread("Unread?"),
            unread("Same?", "skipped"),
        ],
        "score_rounds": [*scores(chains)],
        "evaluate": [
            measurement(model, place, kind)
            for model in ("base", "SL-CAI")
            for kind in ("harmful", "helpful")
            for place in range(3)
        ],
    }


METRICS = [{"step": step, "loss": 1.0 / step, "reward": float(step), "epoch": step / 9} for step in range(1, 10)]


def recipe(name: str, **changes: Any) -> Recipe:
    return Recipe.model_validate(load_recipe("smoke").model_dump() | {"name": name} | changes)


def stored(
    root: Path,
    name: str = "made",
    found: Mapping[str, Iterable[Record]] | None = None,
    waiting: Sequence[str] = (),
    identity: Mapping[str, Any] | None = None,
) -> RunFolder:
    """A run with these records and one stage that trains; done but those `waiting`."""
    run = RunFolder(root, name)
    given = {**(records() if found is None else found), "sft": [], "rl": []}
    steps: dict[str, StepFolder] = {}
    for stage, items in given.items():
        step = steps[stage] = StepFolder(run.path / f"{stage}-01234567")
        if stage == "rl" and stage in waiting:
            continue
        settings = (identity or {}).get(stage, {})
        step.begin({"digest": f"{name}-{stage}", "identity": {"settings": settings}, "versions": {"cai": "0.0.1"}})
        for item in items:
            step.append(item)
        for row in METRICS if stage == "sft" else ():
            step.metric(row)
        step.close()
        if stage not in waiting:
            step.finish({"seconds": 1.5, "tokens": 1234, "items": 3})
    run.remember(recipe(name).model_dump(), steps)
    return run


def visitor(root: Path, rules: Rules | None = None, base: str = "http://127.0.0.1:8321") -> TestClient:
    """Someone at a browser. Its index lies beside the runs folder."""
    app = application(root, rules or Rules(), root.parent / "view-cache")
    return TestClient(app, base_url=base, follow_redirects=False)
