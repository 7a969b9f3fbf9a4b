"""The page in a real Chromium: drawn, usable by keyboard, accessible, no wider than a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from smc_bench.report.data.results import Results
from smc_bench.report.figures import plots
from smc_bench.report.html.page import page
from tests.helpers.pages import store_of
from tests.helpers.records import suite_file
from tests.unit.report.html.test_page import ARMS_OF, SKILL

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt install chromium)")

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    suite = suite_file(folder, sparsity="0.7, 0.8, 0.9", arms=ARMS_OF)
    plan, store = store_of(suite, folder / "r", SKILL, collapsed=["bad"], failed=["lost"])
    results = Results.of(plan, store)
    plots.draw(results, folder)
    figures = {name: (folder / f"{name}.png").read_bytes() for name in ("plot", "effects")}
    (folder / "report.html").write_text(page(results, store, figures=figures), encoding="utf-8")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Chromium's own sandbox does not run as root, as in most containers.
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page under some settings; whatever the console says is an error in the end."""
    contexts, said = [], []

    def open_page(**how: Any) -> Any:
        context = browser.new_context(**({"viewport": DESK} | how))
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
        tab.goto(address)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_no_accessibility_violation(opened: Any, scheme: str, viewport: dict[str, int]) -> None:
    tab = opened(color_scheme=scheme, viewport=viewport)
    # Two cells with a result and one that failed; what is closed is not looked at.
    tab.evaluate("for (const k of [0, 1, 13]) document.querySelectorAll('.cell')[k].open = true")
    found = axe.Axe().run(tab).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_nothing_is_wider_than_a_phone(opened: Any) -> None:
    tab = opened(viewport=PHONE, is_mobile=True, has_touch=True)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_charts_are_drawn_and_arms_can_be_taken_away(opened: Any) -> None:
    tab = opened()
    marks = tab.locator(".chart .mark")
    assert marks.count() == 3 * 2 + 3
    boxes = [mark.bounding_box() for mark in marks.all()]
    assert all(box and box["width"] > 4 and box["height"] > 4 for box in boxes)
    tab.get_by_label("bad", exact=True).uncheck()
    assert tab.locator(".chart .mark:visible").count() == 3
    tab.get_by_label("bad", exact=True).check()
    assert tab.locator(".chart .mark:visible").count() == 9


def test_a_point_is_read_by_mouse_and_by_keyboard(opened: Any) -> None:
    tab = opened()
    chart, tip = tab.locator(".chart svg").first, tab.locator(".tip")
    assert not tip.is_visible()
    first = chart.locator(".mark").nth(0)
    first.hover()
    assert tip.inner_text() == first.get_attribute("aria-label")
    assert "good, target sparsity 0.7: " in tip.inner_text()
    first.focus()
    tab.keyboard.press("ArrowRight")
    assert "good, target sparsity 0.8: " in tip.inner_text()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert "bad, target sparsity 0.9: " in tip.inner_text()
    tab.keyboard.press("Escape")
    assert not tip.is_visible()
    # One stop a chart, not one a point.
    assert chart.locator(".mark[tabindex='0']").count() == 1


def test_tables_sort_by_a_column_and_say_so(opened: Any) -> None:
    tab = opened()
    table = tab.locator("table.sortable").last
    head = table.locator("thead th", has_text="mean")
    column = head.evaluate("(head) => head.cellIndex")
    head.get_by_role("button").focus()

    def values() -> list[float]:
        return [
            float(t) for t in table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        ]

    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)


def test_cells_are_found_and_links_open_them(opened: Any) -> None:
    tab = opened()
    cells = tab.locator("details.cell")
    tab.get_by_label("Find cells").fill("good, 0.9")
    shown = tab.locator("details.cell:visible summary").all_inner_texts()
    assert len(shown) == 3
    assert all("good sst2, sparsity 0.9, seed " in text for text in shown)
    assert tab.locator("#count").inner_text() == f"3 of {cells.count()} cells"
    link = tab.locator("#failures + ul a").first
    link.click()
    target = tab.locator(str(link.get_attribute("href")))
    assert target.get_attribute("open") is not None
    assert target.locator(".reason").is_visible()


def test_it_is_readable_without_script(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)
    assert tab.locator(".chart .mark").first.is_visible()
    assert not tab.locator("#find").is_visible()
    tab.locator("details.cell summary").first.click()
    assert tab.locator("details.cell .body").first.is_visible()
    context.close()


def test_on_paper_it_is_dark_on_white_within_the_page(opened: Any) -> None:
    tab = opened(color_scheme="dark", viewport={"width": 688, "height": 1000})  # A4, 14 mm margins
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.locator("nav").is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 688
    assert tab.pdf().startswith(b"%PDF")
