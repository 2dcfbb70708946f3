"""Page times of the viewer with 200,000 records in one stage, beside those at 2,000; and of its pages of figures."""

import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, product
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from cai.config import load_recipe
from cai.identity import digest
from cai.records import Completion, Message, Prompt, Revision, RoundScore
from cai.store import RunFolder, StepFolder
from cai.view.app import application
from cai.view.gate import Rules

MANY, FEW = 200_000, 2_000
ROUNDS = 5
SYLLABLES = (
    "ha",
    "ro",
    "ne",
    "ca",
    "li",
    "tu",
    "wo",
    "be",
    "ki",
    "sa",
    "mo",
    "pe",
    "du",
    "vi",
    "go",
    "fa",
    "ly",
    "xe",
    "zo",
    "ju",
)
WORDS = ["the", *map("".join, product(SYLLABLES, repeat=3)), "zeugma"]
"""8,002 words, drawn as often as a language draws them: the n-th in proportion to 1 / n."""
WEIGHTS = list(accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
PRINCIPLES = [f"principle-{number}" for number in range(16)]
FLAGS = ["truncated", "repetition", "meta-talk", "copied"]


def records(count: int) -> Iterator[Revision]:
    """Chains of a first answer and four rounds, answers of 100 words and critiques of 60."""
    draw = random.Random(0)
    for chain in range(count // ROUNDS):
        asked = Prompt.of((Message(role="user", content=f"Question {chain}: {said(draw, 18)}?"),), "harmful", "made")
        for round_ in range(ROUNDS):
            yield Revision(
                id=f"{asked.id}/{round_}",
                prompt=asked,
                round=round_,
                principles=(draw.choice(PRINCIPLES),) if round_ else (),
                critique=completion(draw, 60) if round_ else None,
                response=completion(draw, 100),
                flags=(draw.choice(FLAGS),) if draw.random() < 0.1 else (),
            )


def completion(draw: random.Random, words: int) -> Completion:
    """A reply of so many words."""
    text = said(draw, words)
    return Completion(text=text, raw=text, finish="stop", prompt_tokens=300, tokens=words, seed=0)


def said(draw: random.Random, words: int) -> str:
    """A text."""
    return " ".join(draw.choices(WORDS, cum_weights=WEIGHTS, k=words))


def stored(root: Path, name: str, count: int) -> None:
    """A run whose chains are done and scored."""
    run, draw = RunFolder(root, name), random.Random(1)
    addresses = {stage: digest([stage, {}, {}]) for stage in ("revise", "score_rounds")}
    steps = {stage: StepFolder(run.path / f"{stage}-{address[:8]}") for stage, address in addresses.items()}
    for stage, step in steps.items():
        step.begin({"stage": stage, "digest": addresses[stage], "identity": {}, "parents": {}})
    for one in records(count):
        steps["revise"].append(one)
        steps["score_rounds"].append(RoundScore(id=one.id, round=one.round, reward=draw.gauss(one.round, 2)))
    for step in steps.values():
        step.finish({"seconds": 1.0, "items": count})
    to_come = {"evaluate": StepFolder(run.path / "evaluate-00000000")}
    run.remember(load_recipe("smoke").model_dump() | {"name": name}, steps | to_come)


def pages(run: str) -> dict[str, str]:
    """The pages that are timed; the last one is the entry that the list begins with."""
    at = f"/run/{run}/records/revise"
    return {
        "run": f"/run/{run}",
        "list": at,
        "deep": f"{at}?page=700",
        "principle": f"{at}?f.principle=principle-3",
        "principle and flag": f"{at}?f.principle=principle-3&f.flag=truncated",
        "rare word": f"{at}?q=zeugma",
        "common words": f"{at}?q=the+haha",
        "highest scores": f"{at}?order=high&low=2",
    }


def client(root: Path, cache: Path) -> TestClient:
    """A viewer that was just started."""
    return TestClient(application(root, Rules(), cache), base_url="http://127.0.0.1")


def seconds(what: Callable[[], Any]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def fetched(viewer: TestClient, path: str) -> None:
    answer = viewer.get(path)
    assert answer.status_code == 200, (path, answer.text)


def timed(root: Path, cache: Path, run: str) -> dict[str, float]:
    """Median of five visits of each page, and of the first chain that the list leads to."""
    viewer = client(root, cache)
    first = viewer.get(pages(run)["list"]).text.split('data-row href="')[1].split('"')[0].replace("&amp;", "&")
    return {
        name: statistics.median(seconds(lambda path=path: fetched(viewer, path)) for _ in range(5))
        for name, path in {**pages(run), "chain": first}.items()
    }


def indexed(root: Path, cache: Path, run: str) -> float:
    """Seconds until a run is indexed, asked for its list again and again as a reader would."""
    viewer, started = client(root, cache), time.perf_counter()
    while "so far" in viewer.get(pages(run)["list"]).text or "…" in viewer.get(f"/run/{run}").text:
        time.sleep(0.2)
    return time.perf_counter() - started


def measure() -> list[dict[str, Any]]:
    """Rows for results.json."""
    from benchmarks import view_figures  # which borrows from here

    return [*of_lists(), *view_figures.rows()]


def of_lists() -> list[dict[str, Any]]:
    """The pages of lists and of one record."""
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "cache"
        stored(root, "few", FEW)
        stored(root, "many", MANY)
        size = sum(path.stat().st_size for path in (root / "many").rglob("items.jsonl")) / 1e6
        cold = seconds(lambda: fetched(client(root, cache), pages("many")["list"]))
        building = indexed(root, cache, "many")
        indexed(root, cache, "few")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        viewer = client(root, cache)
        first = seconds(lambda: fetched(viewer, pages("many")["list"]))
        few, many = timed(root, cache, "few"), timed(root, cache, "many")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        kept = sum(path.stat().st_size for path in cache.iterdir()) / 1e6
    told = ", ".join(f"{name} {1000 * many[name]:.0f} ms ({1000 * few[name]:.0f})" for name in many)
    slowest, ratio = max(many.values()), statistics.median(many.values()) / statistics.median(few.values())
    command = "python -m benchmarks view_pages"
    return [
        {"name": "view_first_page", "value": first, "reach": 1.0, "reached": first <= 1, "unit": "s",
         "command": command, "detail": f"the list of chains of a viewer just started, {MANY} records of {size:.0f} MB "
         f"indexed before; {cold:.2f} s where nothing is indexed yet and the list shows what is so far"},
        {"name": "view_slowest_page", "value": slowest, "reach": 1.0, "reached": slowest <= 1, "unit": "s",
         "command": command, "detail": f"medians of 5 at {MANY} records (at {FEW}): {told}"},
        {"name": "view_pages_ratio", "value": ratio, "reach": 5.0, "reached": ratio <= 5, "unit": "times",
         "command": command, "detail": f"median page time at {MANY} records over that at {FEW}"},
        {"name": "view_index", "value": building, "reach": 120.0, "reached": building <= 120, "unit": "s",
         "command": command, "detail": f"until {2 * MANY} records are indexed, in the background of pages that are "
         f"served meanwhile; {kept:.0f} MB of index; peak memory of the process {peak:.0f} MB, {before:.0f} before "
         "the pages"},
    ]  # fmt: skip


if __name__ == "__main__":
    for row in measure():
        print(f"{row['name']}: {row['value']:.3g} {row['unit']} (reach {row['reach']}); {row['detail']}")
