"""Writes docs/view/*.png, pictures of the viewer's pages: python tests/view/screenshots.py RUNS RUN [OTHER].

The runs stay as they are: a copy without models is shown, to which made-up labels of three people are added where the
run has none. Needs Chromium (`apt-get install chromium`) and the packages pillow, playwright, starlette and uvicorn.
"""

from __future__ import annotations

import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from cai.labels import Choice, HumanLabel, add, labels_of
from cai.records import Comparison
from cai.store import RunFolder
from cai.view.app import application
from cai.view.gate import Rules

OUT = Path(__file__).resolve().parents[2] / "docs" / "view"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """The viewer at a free port while the block runs."""
    with tempfile.TemporaryDirectory() as cache, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application(runs, Rules(), Path(cache)), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def chromium() -> str | None:
    """Where Chromium is installed; None where it isn't."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


def pages(run: str, other: str) -> dict[str, str]:
    """The page of each picture, and where on it.

    `first` stands for the first entry of the list at that address, `suites` for the first table of a suite.
    """
    at = f"/run/{run}"
    return {
        "runs": "/",
        "run": at,
        "chains": f"{at}/records/revise",
        "chain": f"{at}/records/revise first",
        "comparisons": f"{at}/records/compare",
        "comparison": f"{at}/records/compare first",
        "helpful-answers": f"{at}/records/respond",
        "held-out-answers": f"{at}/records/evaluate?f.model=RL-CAI",
        "matches": f"{at}/records/win_rates",
        "match": f"{at}/records/win_rates first",
        "harmfulness": f"{at}/records/harmfulness",
        "refusals": f"{at}/records/refusals",
        "refusal": f"{at}/records/refusals first",
        "over-refusal": f"{at}/records/over_refusal",
        "choices": f"{at}/records/hhh",
        "curves": f"{at}/training",
        "results": f"{at}/evaluation",
        "suites": f"{at}/evaluation suites",
        "report": f"{at}/report",
        "report-principles": f"{at}/report#principles",
        "label": f"{at}/label?as=screenshot",
        "agreement": f"{at}/agreement",
        "sides": f"/compare?a={run}&b={other}",
        "side-suites": f"/compare?a={run}&b={other} suites",
        "side-chains": f"/compare?a={run}&b={other} first",
    }


def indexed(page: Page, address: str) -> None:
    """Comes back once all records of the run can be counted, which takes a moment after the viewer starts."""
    page.goto(address)
    while "…" in page.locator("main").inner_text():
        time.sleep(0.5)
        page.goto(address)


def shoot(browser: Browser, base: str, named: dict[str, str], suffix: str, **context: Any) -> None:
    """One picture a page."""
    page = browser.new_context(**context).new_page()
    for name, path in named.items():
        address, _, where = path.partition(" ")
        page.goto(base + address)
        if where == "first":
            if page.locator("[data-row]").count() == 0:
                continue
            chosen = "main ol [data-row]" if "compare?" in address else "[data-row]"
            page.locator(chosen).first.click()
        if (
            where == "suites"
            and (tables := page.locator("section:has(table.numbers):has(h2:text('Win rates'))")).count()
        ):
            tables.first.evaluate("(one) => one.scrollIntoView()")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(OUT / f"{name}{suffix}.png"))
        lighter(OUT / f"{name}{suffix}.png")


def lighter(picture: Path) -> None:
    """The same picture in 64 colours, a third of the size."""
    with Image.open(picture) as whole:
        whole.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(picture, optimize=True)


def copied(runs: Path, to: Path) -> Path:
    """The runs without their models, which no page shows."""
    shutil.copytree(runs, to, ignore=shutil.ignore_patterns("model", "checkpoints", ".lock"))
    return to


def label(run: RunFolder, count: int = 40) -> None:
    """Labels that three people could have given: nearer to each other than to a judge that is near chance."""
    if labels_of(run) or "compare" not in run.steps:
        return
    draw = random.Random(0)
    for place, one in zip(range(count), run.steps["compare"].records(Comparison), strict=False):
        likely: Choice = "a" if len(one.a.text) > len(one.b.text) else "b"
        other: Choice = "b" if likely == "a" else "a"
        for name in ("ana", "ben", "cy"):
            choice = draw.choices((likely, other, "tie", "skip"), (70, 20, 7, 3))[0]
            first = draw.choice(("a", "b"))
            add(run, [HumanLabel.of(one.id, name, choice, first=first, seconds=5.0 + place % 9)])


def main(runs: str, run: str, other: str = "") -> None:
    """Pictures of every page, light on a desktop and on a phone, and some of them dark."""
    OUT.mkdir(parents=True, exist_ok=True)
    named = pages(run, other or run)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as play, ExitStack() as open_:
        shown = copied(Path(runs), Path(temporary) / "runs")
        label(RunFolder(shown, run))
        base = open_.enter_context(served(shown))
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name in {run, other or run}:
            indexed(browser.new_page(), f"{base}/run/{name}")
        shoot(browser, base, named, "", viewport=DESKTOP)
        shoot(browser, base, named, "-phone", viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
        dark = {name: named[name] for name in ("chain", "curves")}
        shoot(browser, base, dark, "-dark", viewport=DESKTOP, color_scheme="dark")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
