"""The page in a real browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.service.app import served

PASSWORD = "a long enough password"
BROWSER = next(
    (found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """The app served on a free port."""
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a file; each test has a profile of its own in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(address: str, browser: Any) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1366, "height": 800}, locale="en-GB", color_scheme="light"
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if "Security Policy" in m.text else None)
    page.goto(address)
    yield page
    context.close()
    assert faults == []


def enter(page: Any, name: str = "ann") -> None:
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".desk")


def picture(tmp_path: Path, person: Callable[[int, int], Any]) -> str:
    path = tmp_path / "query.jpg"
    person(1, 77).save(path)
    return str(path)


def find(page: Any, path: str) -> None:
    """Give the query picture and search."""
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".query-picture:not(.pending)")
    page.click("[data-key=search]")
    page.wait_for_selector(".results-list .card img")
