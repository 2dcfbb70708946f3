"""Page times of the viewer's pages of figures: Results with all suites, Side by side, Curves, Agreement, suite lists.

Part of `python -m benchmarks view_pages`.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.view_pages import client, completion, fetched, said, seconds
from cai.config import load_recipe
from cai.feedback_config import CalibrationConfig
from cai.identity import digest
from cai.labels import HumanLabel
from cai.records import (
    KINDS,
    Classified,
    Comparison,
    Conduct,
    Harm,
    Match,
    Measurement,
    Message,
    OverRefusal,
    Prompt,
    Reading,
    Record,
    Seating,
    Verdict,
)
from cai.store import RunFolder, StepFolder
from cai.verdicts import combined, of_labels

PROMPTS = 500
"""Held-out prompts of each kind."""
STEPS = 5_000
LABELLED = 200
"""Pairs that each of three people labelled."""
MODELS = ("base", "SL-CAI", "RL-CAI")
CLASSES = ("full refusal", "partial refusal", "compliance")
Made = Callable[[random.Random, list[Prompt]], Iterable[Record]]


def asked(draw: random.Random, count: int) -> list[Prompt]:
    """So many prompts of each kind."""
    return [
        Prompt.of((Message(role="user", content=f"{kind} {place}: {said(draw, 18)}?"),), kind, "made")
        for kind in KINDS
        for place in range(count)
    ]


def judged(draw: random.Random) -> Verdict:
    """A verdict from both orders, with a taste for the first seat."""
    odds, drift = draw.gauss(0.2, 1), draw.gauss(0.5, 0.5)
    seats: tuple[tuple[Seating, int], ...] = (("a", 1), ("b", -1))
    readings = [
        Reading(first=seat, principle="harmless", logprobs={" (A)": -1.0, " (B)": -1.0 - sign * odds - drift})
        for seat, sign in seats
    ]
    return combined([of_labels(one) for one in readings], CalibrationConfig())


def conduct(draw: random.Random) -> Conduct:
    """What a classifier would say of an answer."""
    does = draw.choice(CLASSES)
    given = {"refusal": ({does: -0.1},), "evasion": ({"evades": -0.2},), "p": dict.fromkeys(CLASSES, 0.33)}
    return Conduct.model_validate({**given, "does": does, "p_evasive": draw.random(), "refusal_by_rule": False,
                                   "evasive_by_rule": False})  # fmt: skip


def measurements(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for model in MODELS:
        for prompt in prompts:
            given: dict[str, Any] = {
                "id": f"{model}/{prompt.id}",
                "model": model,
                "prompt": prompt,
                "response": completion(draw, 100),
            }
            yield Measurement(**given, reward=draw.gauss(0, 1), kl_base=0.1, kl_sl=None, refusal=False, evasive=False,
                              words=draw.randint(50, 100))  # fmt: skip


def matches(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for models in combinations(MODELS, 2):
        for prompt in prompts:
            answers: dict[str, Any] = {name: completion(draw, draw.randint(60, 100)) for name in "ab"}
            yield Match(id=f"{prompt.id}/{models[0]}-{models[1]}", prompt=prompt, principles=("harmless",), **answers,
                        verdict=judged(draw), source="models", models=models)  # fmt: skip


def harms(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for model in MODELS:
        for prompt in prompts[: len(prompts) // 2]:
            yield Harm(id=f"{model}/{prompt.id}", model=model, prompt=prompt, answer=said(draw, 100),
                       logprobs={"0": -0.1}, harm=4 * draw.random(), reward=draw.gauss(0, 1))  # fmt: skip


def conducts(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for model in MODELS:
        for prompt in prompts:
            yield Classified(id=f"{model}/{prompt.id}", model=model, prompt=prompt, answer=said(draw, 100),
                             conduct=conduct(draw))  # fmt: skip


def borderline(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for model in MODELS:
        for place, prompt in enumerate(prompts):
            given: dict[str, Any] = {
                "id": f"{model}/{prompt.id}",
                "model": model,
                "prompt": prompt,
                "safe": place % 2 == 0,
            }
            yield OverRefusal(**given, type="homonym", response=completion(draw, 100), conduct=conduct(draw))


def comparisons(draw: random.Random, prompts: list[Prompt]) -> Iterator[Record]:
    for prompt in prompts:
        answers: dict[str, Any] = {name: completion(draw, 100) for name in "ab"}
        yield Comparison(
            id=f"{prompt.id}/0-1", prompt=prompt, principles=("harmless",), **answers, verdict=judged(draw)
        )


STAGES: dict[str, Made] = {
    "compare": comparisons,
    "evaluate": measurements,
    "win_rates": matches,
    "harmfulness": harms,
    "refusals": conducts,
    "over_refusal": borderline,
}


def evaluated(root: Path, name: str, count: int, steps: int = STEPS) -> None:
    """A run with all suites on so many prompts of each kind, a long training, and three people's labels."""
    run, draw = RunFolder(root, name), random.Random(name)
    prompts = asked(draw, count)
    folders: dict[str, StepFolder] = {}
    for stage in (*STAGES, "rl"):
        address = digest([name, stage])
        step = folders[stage] = StepFolder(run.path / f"{stage}-{address[:8]}")
        step.begin({"stage": stage, "digest": address, "identity": {}, "parents": {}})
        made = STAGES[stage](draw, prompts) if stage in STAGES else ()
        items = sum(1 for record in made if step.append(record) is None)
        for number in range(steps if stage == "rl" else 0):
            step.metric({"step": number, **{f"figure {place}": draw.random() for place in range(12)}})
        step.finish({"seconds": 1.0, "items": items})
    run.remember(load_recipe("smoke").model_dump() | {"name": name}, folders)
    for person in ("ana", "ben", "cy"):
        labels = StepFolder(run.path / "labels")
        labels.path.mkdir(exist_ok=True)
        for prompt in prompts[:LABELLED]:
            choice = draw.choice(("a", "b", "tie"))
            labels.append(HumanLabel.of(f"{prompt.id}/0-1", person, choice), f"{person}.jsonl")
        labels.close()


def pages(run: str, other: str) -> dict[str, str]:
    """The pages that are timed."""
    at = f"/run/{run}"
    suites = {f"list of {suite}": f"{at}/records/{suite}?f.model=RL-CAI" for suite in STAGES if suite != "compare"}
    return {
        "results": f"{at}/evaluation",
        "side by side": f"/compare?a={run}&b={other}",
        "curves": f"{at}/training",
        "points of a curve": f"{at}/training/rl.json",
        "agreement": f"{at}/agreement",
        **suites,
    }


def timed(root: Path, cache: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the first visit of each page in a viewer that was just started, and the median of five after it."""
    first, again = dict[str, float](), dict[str, float]()
    for name, path in pages("one", "other").items():
        viewer = client(root, cache)
        fetched(viewer, "/")
        first[name] = seconds(lambda viewer=viewer, path=path: fetched(viewer, path))
        again[name] = statistics.median(seconds(lambda v=viewer, path=path: fetched(v, path)) for _ in range(5))
    return first, again


def rows(count: int = PROMPTS, steps: int = STEPS) -> list[dict[str, Any]]:
    """Rows for results.json."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        for name in ("one", "other"):
            evaluated(root, name, count, steps)
        first, again = timed(root, Path(folder) / "cache")
    worst, later = max(first, key=lambda name: first[name]), max(again.values())
    told = ", ".join(f"{name} {first[name]:.2f} s, then {1000 * again[name]:.0f} ms" for name in first)
    command = "python -m benchmarks view_pages"
    return [
        {"name": "view_figures_first", "value": first[worst], "reach": 10.0, "reached": first[worst] <= 10, "unit": "s",
         "command": command, "detail": f"the slowest first visit ({worst}) of a viewer just started; three models on "
         f"{2 * count} prompts in every suite, {steps} steps of training, {LABELLED} pairs labelled by three: {told}"},
        {"name": "view_figures_later", "value": later, "reach": 1.0, "reached": later <= 1, "unit": "s",
         "command": command, "detail": "the slowest of these pages when it is visited again, median of 5"},
    ]  # fmt: skip
