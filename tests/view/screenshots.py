"""Writes docs/view/*.png, pictures of the viewer's pages: python tests/view/screenshots.py RUNS RUN [OTHER].

Needs Chromium (`apt-get install chromium`) and the packages playwright, starlette and uvicorn.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

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
    """The page of each picture; `first` stands for the first entry of the list at that address."""
    at = f"/run/{run}"
    return {
        "runs": "/",
        "run": at,
        "chains": f"{at}/records/revise",
        "chain": f"{at}/records/revise first",
        "comparisons": f"{at}/records/compare",
        "comparison": f"{at}/records/compare first",
        "curves": f"{at}/training",
        "results": f"{at}/evaluation",
        "label": f"{at}/label?as=screenshot",
        "agreement": f"{at}/agreement",
        "sides": f"/compare?a={run}&b={other}",
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
        address, _, first = path.partition(" ")
        page.goto(base + address)
        if first:
            if page.locator("[data-row]").count() == 0:
                continue
            chosen = "main ol [data-row]" if "compare?" in address else "[data-row]"
            page.locator(chosen).first.click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(OUT / f"{name}{suffix}.png"))


def main(runs: str, run: str, other: str = "") -> None:
    """Pictures of every page, light on a desktop and on a phone, and some of them dark."""
    OUT.mkdir(parents=True, exist_ok=True)
    named = pages(run, other or run)
    with served(Path(runs)) as base, sync_playwright() as play:
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
