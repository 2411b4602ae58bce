"""axe finds no fault in any view: both themes, both languages, from 390 to 1920 pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.browser import enter, find, needs_browser, picture

pytestmark = [needs_browser, pytest.mark.slow]
WIDTHS = (390, 768, 1366, 1920)
RULES = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}

THEME = "theme => import('/static/js/state.js').then((module) => module.update({ theme }))"


@pytest.fixture
def faults(page: Any) -> Iterator[Callable[[str], None]]:
    """Collect what axe says of the present view, at every width and in both themes."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
    source = axe.AXE_FILE_PATH.read_text(encoding="utf-8")
    found: dict[str, str] = {}
    page.emulate_media(reduced_motion="reduce")  # colours do not fade while axe looks

    def look(view: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            for theme in ("light", "dark"):
                page.evaluate(THEME, theme)
                page.wait_for_timeout(200)
                page.evaluate(source)  # as a debugger does; the page's policy stays
                said = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
                for one in said["violations"]:
                    nodes = [
                        (node["target"], node["failureSummary"][:300]) for node in one["nodes"]
                    ]
                    found.setdefault(f"{view}: {one['id']}", f"{width} {theme}: {nodes[:3]}")
        page.set_viewport_size({"width": 1366, "height": 800})

    yield look
    assert not found, "\n".join(f"{view} ({where}" for view, where in found.items())


def test_the_sign_in(page: Any, faults: Callable[[str], None]) -> None:
    faults("sign-in")
    page.fill("input[name=name]", "ann")
    page.fill("input[name=password]", "wrong password 1")
    page.click("button[type=submit]")
    page.wait_for_selector(".signin-card .notice.bad:not([hidden])")
    faults("sign-in refused")


def test_the_search(
    page: Any,
    ann: Any,
    tmp_path: Path,
    person: Callable[[int, int], Any],
    faults: Callable[[str], None],
) -> None:
    enter(page)
    page.wait_for_selector(".map[data-ready=true]")
    faults("empty search")
    find(page, picture(tmp_path, person))
    page.click(".results-list .card >> nth=0 >> .button.good")
    page.wait_for_selector(".visit-pin")
    faults("results")
    page.click(".results-list .card >> nth=1 >> .crop")
    page.wait_for_selector("dialog .compare-stage img")
    faults("compare")
    page.keyboard.press("Escape")
    page.click("[data-key=new-case]")
    faults("new case")


def test_the_pages_of_a_supervisor(page: Any, ann: Any, faults: Callable[[str], None]) -> None:
    ann.search("A-1")
    enter(page, "sue")
    for view in ("cases", "audit"):
        page.click(f"[data-key='page:{view}']")
        page.wait_for_selector(".page table")
        faults(view)


def test_the_pages_of_an_administrator(page: Any, ann: Any, faults: Callable[[str], None]) -> None:
    enter(page, "root")
    for view, dialog in (("cameras", "camera-new"), ("accounts", ""), ("erase", "erase-new")):
        page.click(f"[data-key='page:{view}']")
        page.wait_for_selector(".page table, .page .empty")
        faults(view)
        if dialog:
            page.click(f"[data-key={dialog}]")
            faults(dialog)
            page.keyboard.press("Escape")
