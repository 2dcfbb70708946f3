"""The viewer in a real browser, at the width of a desktop and of a phone: read, filter, follow, label, compare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from view_data import comparison, records, stored

from cai.labels import labels_of
from cai.store import RunFolder

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
screenshots = pytest.importorskip("screenshots")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(screenshots.chromium() is None, reason="needs Chromium: apt-get install chromium"),
]

WIDTHS = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "runs"
    more = [comparison(f"Which of these, {n}?", n / 5 - 1, a=f"Left {n}.", b=f"Right {n}.") for n in range(120)]
    stored(folder, "made", records() | {"compare": [*records()["compare"], *more]})
    stored(folder, "other", identity={"rl": {"kl": 0.5}})
    return folder


@pytest.fixture(scope="module")
def base(root: Path) -> Iterator[str]:
    with screenshots.served(root) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=screenshots.chromium(), args=["--no-sandbox"])
        yield found
        found.close()


LEFT = "net::ERR_ABORTED"
"""What was still under way when the page was left."""


@pytest.fixture(params=WIDTHS, ids=str)
def page(request: pytest.FixtureRequest, browser: Any, base: str) -> Iterator[Any]:
    """A page on which nothing may go wrong: no error, no refusal of the content policy, no scroll to the side."""
    context = browser.new_context(viewport=WIDTHS[request.param], base_url=base)
    made, wrong = context.new_page(), list[str]()
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    made.on("requestfailed", lambda failed: wrong.append(failed.url) if failed.failure != LEFT else None)
    yield made
    assert wrong == []
    context.close()


def fits(page: Any) -> None:
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen, page.url


def test_from_the_runs_to_a_chain_by_keys(page: Any) -> None:
    page.goto("/")
    page.get_by_role("link", name="made", exact=True).click()
    assert page.get_by_role("heading", name="made").is_visible()
    fits(page)
    page.locator("nav.tabs").get_by_text("Chains").click()
    fits(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/item?**")
    assert page.get_by_text("Ask a locksmith.").is_visible()
    assert page.locator("ins", has_text="good").is_visible()
    fits(page)
    page.keyboard.press("d")
    assert page.locator("del").first.is_hidden()
    page.keyboard.press("n")
    page.wait_for_url("**at=1")
    assert page.get_by_text("Write an insult.").is_visible()
    page.keyboard.press("p")
    page.wait_for_url("**at=0")
    page.keyboard.press("u")
    page.wait_for_url("**/records/revise*")


def test_a_filter_stands_in_the_address(page: Any) -> None:
    page.goto("/run/made/records/compare")
    page.keyboard.press("/")
    page.keyboard.type("left 11*")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/compare\?q=left\+11(\*|%2A)$"))
    assert page.locator("[data-row]").count() == 11  # 11, and those that begin so
    page.locator("select[name='f.prefers']").select_option("a")
    page.wait_for_url(re.compile(r"q=left\+11(\*|%2A)&f\.prefers=a$"))
    assert "prefers: a" in page.locator("tbody tr").first.inner_text()
    page.locator("[data-row]").first.click()
    page.get_by_text("The question, as the judge was shown it").first.click()
    assert page.locator(".said.raw").first.is_visible()
    fits(page)
    page.goto("/run/made/records/compare?order=high")
    page.keyboard.press("n")
    page.wait_for_url("**order=high&page=2")
    fits(page)


def test_curves_are_drawn_and_can_be_zoomed(page: Any) -> None:
    page.goto("/run/made/training")
    page.wait_for_selector("figure canvas")
    over = page.locator("figure .u-over").first
    box = over.bounding_box()
    x, y = box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    assert re.search(r"loss:?\s*0\.\d", page.locator(".u-legend").first.inner_text().replace("\n", " "))
    before = page.evaluate("document.querySelector('figure').plot.scales.x.max")
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.3, y, steps=4)
    page.mouse.up()
    assert page.evaluate("document.querySelector('figure').plot.scales.x.max") < before
    fits(page)


def test_ten_pairs_are_labelled_with_four_keys(page: Any, root: Path) -> None:
    name = f"ana{page.viewport_size['width']}"
    page.goto("/run/made/label")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Pairs").fill("10")
    page.get_by_role("button", name="Begin").click()
    for number in range(10):
        page.wait_for_selector(f"text={number} of 10")
        fits(page)
        page.keyboard.press("abts"[number % 4])
    page.wait_for_selector("text=All of this sample are labelled")
    said = labels_of(RunFolder(root, "made"))[name]
    assert len(said) == 10 and {label.choice for label in said.values()} == {"a", "b", "tie", "skip"}
    page.get_by_role("link", name="Agreement").click()
    assert page.get_by_role("cell", name=name, exact=True).is_visible()
    fits(page)


def test_keys_typed_into_a_note_label_nothing(page: Any) -> None:
    page.goto("/run/made/label?as=nobody&n=10")
    page.get_by_label("Note").fill("a")
    page.keyboard.type("bts")
    assert page.get_by_label("Note").input_value() == "abts"
    assert page.get_by_text("0 of 10").is_visible()


def test_two_runs_are_compared(page: Any) -> None:
    page.goto("/run/made")
    page.get_by_role("link", name="Side by side").click()
    page.get_by_label("Run b").select_option("other")
    page.get_by_role("button", name="Compare").click()
    assert page.get_by_role("cell", name="settings.kl").is_visible()
    fits(page)
    page.locator("main ol [data-row]").first.click()
    assert page.get_by_text("Ask a locksmith.").count() == 2
    fits(page)


def test_what_a_model_wrote_is_text(page: Any) -> None:
    page.goto("/run/made/records/revise?q=hostile")
    page.locator("[data-row]").first.click()
    assert page.get_by_text("<script>alert('x')</script>").first.is_visible()
    assert page.locator("main img, main script").count() == 0


def test_help_is_a_key_away(page: Any) -> None:
    page.goto("/")
    page.keyboard.press("?")
    assert page.get_by_role("heading", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert page.get_by_role("heading", name="Keys").is_hidden()


def test_a_stage_that_goes_on_is_followed_without_a_reload(page: Any, root: Path) -> None:
    run = stored(root, f"live{page.viewport_size['width']}", {"compare": [comparison("First?")]}, waiting=("compare",))
    page.goto(f"/run/{run.name}/records/compare")
    assert page.locator("[data-row]").count() == 1
    run.steps["compare"].append(comparison("Second?"))
    page.wait_for_selector("text=Second?", timeout=15_000)
    assert page.locator("[data-row]").count() == 2
