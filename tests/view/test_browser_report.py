"""The report and the pages of the suites in a real browser: on a phone, on paper, and with a real run behind them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.config import load_recipe
from cai.evaluated import SUITES
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.store import RunFolder

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
screenshots = pytest.importorskip("screenshots")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(screenshots.chromium() is None, reason="needs Chromium: apt-get install chromium"),
]

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
PAPER = {"width": 718, "height": 1047}
"""What A4 leaves within margins of a centimetre, in CSS pixels."""
SEVERAL = ["compare.judge.principles=2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The viewer of two finished runs with every suite and a report."""
    root = tmp_path_factory.mktemp("report") / "runs"
    for name, changes in (("smoke", SEVERAL), ("other", [*SEVERAL, "rl.kl=0.2"])):
        recipe = load_recipe("smoke", [*changes, f"name={name}"])
        run(Material(recipe), RunFolder(root, name), Reporter(Console(quiet=True)))
    with screenshots.served(root) as address:
        yield address


@pytest.fixture(scope="module")
def browser(base: str) -> Iterator[Any]:
    """After the runs are made: Playwright leaves an event loop running, and a run wants one of its own."""
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=screenshots.chromium(), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any, base: str) -> Iterator[Any]:
    """A page of the width that the test is given, a desktop's without."""
    context = browser.new_context(viewport=getattr(request, "param", DESKTOP), base_url=base)
    yield context.new_page()
    context.close()


def fits(page: Any) -> None:
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen, page.url


def opened(page: Any, address: str) -> None:
    """The page with all that is folded unfolded."""
    page.goto(address)
    page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")


def local(page: Any, folder: Path) -> str:
    """The report as a file of its own, as a reader gets it; scripts of the test can act there."""
    page.goto("/run/smoke/report")
    file = folder / "report.html"
    file.write_text(page.request.get("/run/smoke/report").text(), "utf-8")
    return file.as_uri()


@pytest.mark.parametrize("page", [PHONE, DESKTOP], ids=["phone", "desktop"], indirect=True)
def test_the_report_fits_whatever_is_unfolded(page: Any, tmp_path: Path) -> None:
    opened(page, local(page, tmp_path))
    assert page.locator("#principles details").count() > 3 and page.locator("#evaluation table").count() > 4
    fits(page)
    assert page.locator("#principles .examples .said").first.is_visible()


@pytest.mark.parametrize("page", [PAPER], indirect=True)
def test_the_report_prints_whole(page: Any, tmp_path: Path) -> None:
    page.goto(local(page, tmp_path))
    page.emulate_media(media="print")
    fits(page)
    said = page.locator("#principles .examples .said").last
    assert said.evaluate("(one) => one.checkVisibility({contentVisibilityAuto: true})"), "what is folded is printed too"
    pages = written(page.pdf(format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "1cm")))
    assert len(pages) >= 8 and all(pages), pages


def written(pdf: bytes) -> list[int]:
    """How many operators that show text each page of Chromium's PDF has."""
    objects = {int(number): body for number, body in re.findall(rb"(?s)(?:^|\n)(\d+) 0 obj\s(.*?)\nendobj", pdf)}
    pages = [body for body in objects.values() if re.search(rb"/Type\s*/Page\b", body)]
    return [sum(_shown(objects[int(place)]) for place in _contents(body)) for body in pages]


def _contents(page: bytes) -> list[bytes]:
    found = re.search(rb"/Contents\s*\[?((?:\s*\d+ 0 R)+)", page)
    return re.findall(rb"(\d+) 0 R", found[1]) if found else []


def _shown(stream: bytes) -> int:
    data = re.search(rb"(?s)stream\r?\n(.*?)\r?\nendstream", stream)
    return len(re.findall(rb"T[jJ]\b", zlib.decompress(data[1]))) if data else 0


@pytest.mark.parametrize("page", [PHONE, DESKTOP], ids=["phone", "desktop"], indirect=True)
@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_listed_and_its_records_are_shown(page: Any, suite: str) -> None:
    page.goto(f"/run/smoke/records/{suite}")
    page.wait_for_selector("[data-row]")
    fits(page)
    page.locator("[data-row]").first.click()
    page.wait_for_url("**/item?**")
    fits(page)


@pytest.mark.parametrize("page", [PHONE, DESKTOP], ids=["phone", "desktop"], indirect=True)
def test_results_and_two_runs_side_by_side_have_the_suites(page: Any) -> None:
    for address in ("/run/smoke/evaluation", "/compare?a=smoke&b=other"):
        page.goto(address)
        for title in ("Win rates, by the judge", "Elo", "Harmfulness of answers to red-team prompts"):
            assert page.get_by_role("heading", name=title, exact=True).is_visible()
        fits(page)
    rows = page.locator("section", has=page.get_by_role("heading", name="Elo", exact=True)).locator("tbody")
    assert rows.first.locator("th").all_inner_texts() == ["smoke", "other"]
