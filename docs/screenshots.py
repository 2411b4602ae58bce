"""Make the pictures of the README from the real page on the demo city.

    passerby demo --check          # makes .demo once
    python docs/screenshots.py     # writes docs/images

Works on a copy of the city, with Playwright and a Chromium that is already installed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from passerby.city import Calibration, City, Scope, trace
from passerby.errors import InputError, MissingExtraError
from passerby.runtime import Embedder
from passerby.service.app import create_app, open_demo, served

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Make the pictures of the README."""

    demo: Path = Path(".demo")
    """Folder of `passerby demo`."""
    out: Path = Path("docs/images")
    """Where the pictures go."""
    query: Path | None = None
    """Picture of the person to look for; by default one whose path is worth a picture."""
    chromium: str = shutil.which("chromium") or "/usr/bin/chromium"
    """The browser."""
    model: str = "default"
    """The network that made the gallery."""


def choose_query(city: City, embedder: Embedder, folder: Path) -> Path:
    """The held-back picture with the richest path: many cameras, confident, few gaps."""
    pictures = sorted(folder.glob("*.jpg"))[:120]
    if not pictures:
        raise InputError(f"there are no pictures in {folder}; make the demo first")
    curve = Calibration.from_card(embedder.card.calibration)
    best, richest = pictures[0], -1.0
    for picture, vector in zip(pictures, embedder.embed(pictures), strict=True):
        path = trace(city, vector, Scope(), model=embedder.model_id, calibration=curve)
        cameras = len({visit.camera for visit in path.visits})
        sure = sum(visit.confidence > 0.8 for visit in path.visits) - len(path.visits)
        known = sum(leg.known for leg in path.legs)
        worth = min(cameras, 6) + 0.5 * min(known, 4) + sure - 0.6 * max(len(path.visits) - 7, 0)
        if worth > richest:
            best, richest = picture, worth
    return best


class Camera:
    """A browser that signs in, walks through the page, and takes pictures."""

    def __init__(self, browser: Any, address: str, passwords: dict[str, str], out: Path) -> None:
        self.browser = browser
        self.address = address
        self.passwords = passwords
        self.out = out

    @contextmanager
    def page(
        self, language: str, theme: str, size: tuple[int, int], name: str = "operator"
    ) -> Iterator[Any]:
        """The page of a signed-in account, when its map is drawn."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            locale="zh-CN" if language == "zh" else "en-GB",
        )
        page = context.new_page()
        page.set_default_timeout(180_000)
        page.add_init_script(
            f"localStorage.setItem('passerby.language','{language}');"
            f"localStorage.setItem('passerby.theme','{theme}')"
        )
        page.goto(self.address)
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", self.passwords[name])
        page.click("button[type=submit]")
        page.wait_for_selector(".map[data-ready=true]")
        yield page
        context.close()

    def shoot(self, page: Any, name: str) -> None:
        """One picture, after the map has come to rest."""
        page.wait_for_timeout(2500)
        path = self.out / f"{name}.png"
        page.screenshot(path=path, timeout=180_000)
        print(path)


def search(page: Any, query: Path) -> None:
    """Bring the picture and search the whole record."""
    page.set_input_files("input[type=file]", str(query))
    page.wait_for_selector(".query-picture:not(.pending)")
    page.click("[data-key=search]")
    page.wait_for_selector(".results-list .card")
    page.wait_for_selector(".visit-pin")


def walk(camera: Camera, query: Path) -> None:
    """All pictures of the README."""
    with camera.page("en", "light", (1440, 900)) as page:
        search(page, query)
        camera.shoot(page, "search-en-light")
        page.click(".results-list .card:nth-child(2) .crop")
        camera.shoot(page, "compare-en-light")
    with camera.page("zh", "dark", (1440, 900)) as page:
        search(page, query)
        camera.shoot(page, "search-zh-dark")
    with camera.page("zh", "light", (1440, 900)) as page:
        page.click("[data-key$=':street']")
        page.click(".tree-row:nth-child(2) input")
        camera.shoot(page, "units-zh-light")
    with camera.page("en", "dark", (1024, 768)) as page:
        search(page, query)
        camera.shoot(page, "tablet-en-dark")
    with camera.page("en", "light", (1440, 900), "supervisor") as page:
        page.click("[data-key='page:audit']")
        page.click(".page-head .button.primary")
        camera.shoot(page, "audit-en-light")


def main(options: Options) -> None:
    """Serve a copy of the demo city and take the pictures."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingExtraError("playwright", "dev") from error
    options.out.mkdir(parents=True, exist_ok=True)
    embedder = Embedder.load(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "city"
        shutil.copytree(options.demo / "city", folder)
        with City.open(folder) as city:
            city.set_setting("service", {"time_zone": "Asia/Shanghai"})
            query = options.query or choose_query(
                city, embedder, options.demo / "simulated" / "query"
            )
            print(f"looking for {query}")
            app = create_app(city, embedder)
            passwords = open_demo(app.state.service)
            with served(app) as address, sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=options.chromium, args=FLAGS)
                walk(Camera(browser, address, passwords, options.out), query)
                browser.close()


if __name__ == "__main__":
    main(tyro.cli(Options))
