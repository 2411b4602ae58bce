"""A search carries its own question on the page; what is out of date or no longer held is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.service.settings import Settings
from tests.service.browser import PASSWORD, enter, find, needs_browser, picture

pytestmark = needs_browser
BERLIN = Settings(time_zone="Europe/Berlin")


@pytest.fixture
def found(page: Any, ann: Any, tmp_path: Path, person: Callable[[int, int], Any]) -> Any:
    """The page with the results of a search."""
    enter(page)
    find(page, picture(tmp_path, person))
    page.wait_for_selector(".path-summary, .results-head .notice")
    return page


def sources(page: Any) -> list[str]:
    """The query pictures that the comparison shows, once they are loaded."""
    page.click(".card >> nth=0 >> .crop")
    page.wait_for_selector("dialog .compare-side >> nth=0 >> .compare-stage > *")
    images = page.locator("dialog .compare-side >> nth=0 >> img")
    found = [images.nth(i).get_attribute("src") for i in range(images.count())]
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    return found


def test_compare_shows_the_pictures_of_the_search(found: Any, ann: Any) -> None:
    search = ann.get("/api/searches").json()[0]["id"]
    own = [f"/api/searches/{search}/pictures/1"]
    assert sources(found) == own
    # another person in the panel: the results are still those of the first question
    found.click("[data-key^='similar:'] >> nth=1")
    found.wait_for_selector(".out-of-date >> text=Out of date")
    assert sources(found) == own
    found.click("[data-key=again]")
    found.wait_for_selector(".out-of-date", state="detached")
    assert sources(found)[0].startswith("/api/sightings/")
    # the earlier search, opened again: its own picture, and said to be an earlier one
    found.click("[data-key='page:cases']")
    found.click("tr:has-text('Open') >> text=Open >> nth=-1")
    found.wait_for_selector(".out-of-date >> text=earlier")
    assert sources(found) == own


def test_results_whose_scope_changed_are_out_of_date(found: Any) -> None:
    assert found.locator(".out-of-date").count() == 0
    found.click("[data-key='unit:9901']")
    found.wait_for_selector(".out-of-date")
    found.click("[data-key='unit:9901']")
    found.wait_for_selector(".out-of-date", state="detached")


@pytest.mark.slow
def test_pictures_that_are_no_longer_held(
    found: Any, app: FastAPI, tmp_path: Path, person: Callable[[int, int], Any]
) -> None:
    app.state.service.pictures.forget("ann")  # as after a restart
    found.click("[data-key=search]")
    found.wait_for_selector(".panel-foot .notice.bad >> text=no longer held")
    assert found.locator(".results-list .card").count() == 16
    assert found.locator(".query-picture.gone").count() == 1
    assert found.is_disabled("[data-key=search]")
    found.set_input_files("input[type=file]", picture(tmp_path, person))
    found.wait_for_selector(".query-picture:not(.pending):not(.gone)")
    assert found.locator(".query-picture.gone").count() == 0
    found.click("[data-key=search]")
    found.wait_for_selector(".panel-foot .notice.bad", state="detached")
    found.wait_for_selector(".results-list .card img")


@pytest.mark.slow
def test_a_running_search_is_cancelled(found: Any) -> None:
    found.route("**/api/searches", lambda _route: None)  # it is never answered
    found.click("[data-key=search]")
    found.click("[data-key=cancel-search]")
    found.wait_for_selector(".results-list .card img")
    assert found.is_enabled("[data-key=search]")


def test_an_ended_session_hides_everybody_and_keeps_drafts(found: Any, app: FastAPI) -> None:
    found.click("[data-key=new-case]")
    found.fill("dialog textarea", "Typed with care")
    app.state.service.accounts.set_password("ann", PASSWORD)  # ends every session
    found.fill("dialog input >> nth=0", "A-77")
    found.fill("dialog input >> nth=1", "Police act")
    found.click("dialog button[type=submit]")
    found.wait_for_selector(".signin-card >> text=session has ended")
    assert found.locator("dialog, .desk, .card img, .query-picture").count() == 0
    enter(found)
    assert found.input_value("dialog textarea") == "Typed with care"
    assert found.input_value("dialog input >> nth=0") == "A-77"
    found.click("dialog button[type=submit]")
    found.wait_for_selector(".toast >> text=A-77")
    found.wait_for_selector("dialog", state="detached")


def test_the_path_can_be_paused(found: Any) -> None:
    found.click(".card >> nth=0 >> .button.good")
    found.wait_for_selector("[data-key=play]:not([disabled])")
    found.select_option("[data-key=speed]", "30")
    found.click("[data-key=play]")
    found.wait_for_selector("[data-key=play][aria-label=Pause]")
    for _ in range(3):  # a new path draws the timeline anew, once
        node = found.query_selector("[data-key=play]")
        before = found.inner_text(".timeline-now strong")
        while found.inner_text(".timeline-now strong") == before:
            found.wait_for_timeout(50)  # no policy of the page lets a waiting function be evaluated
        if node.evaluate("element => element.isConnected"):
            break
    else:
        pytest.fail("the button is redrawn at each tick")
    node.click()
    found.wait_for_selector("[data-key=play][aria-label='Play the path']")


@pytest.mark.parametrize("app", [BERLIN], indirect=True)
def test_the_hour_that_comes_twice_and_the_axis(found: Any) -> None:
    module = "const time = await import('/static/js/time.js'); return "
    run = lambda code: found.evaluate(f"async () => {{ {module} {code}; }}")  # noqa: E731
    for minute in range(0, 60, 10):
        text = f"2026-10-25T02:{minute:02d}"
        first, second = run(f"time.momentsOf('{text}')")
        assert second - first == 3_600_000
        assert run(f"[time.toLocalInput({first}), time.toLocalInput({second})]") == [text, text]
        assert run(f"time.fromLocalInput('{text}')") == first
    assert run("time.momentsOf('2026-03-29T02:30')") == []
    assert run("time.fromLocalInput('2026-03-29T02:30')") == 1_774_747_800_000
    month = "Date.parse('2026-10-10T00:00Z'), Date.parse('2026-11-09T00:00Z')"
    texts = run(f"time.axisTicks({month}, 12).map(one => one.text)")
    assert 3 <= len(texts) == len(set(texts)) <= 13
    found.fill("[data-key=end]", "2026-10-25T02:30")
    found.wait_for_selector(".when-twice")
    found.click(".when-twice button >> text=UTC+1")
    assert found.input_value("[data-key=end]") == "2026-10-25T02:30"
    assert found.get_attribute(".when-twice button >> nth=1", "aria-pressed") == "true"


@pytest.mark.slow
def test_the_zone_is_shown_and_chosen(found: Any) -> None:
    found.select_option("[data-key=zone]", "Asia/Shanghai")
    found.wait_for_selector(".timeline-now >> text=UTC+8")
    found.wait_for_selector(".card-time >> text=08:")
    found.reload()
    found.wait_for_selector(".desk")
    assert found.input_value("[data-key=zone]") == "Asia/Shanghai"


def test_views_and_searches_have_addresses(found: Any) -> None:
    search = found.url
    assert "#/search/" in search
    found.click("[data-key='page:cases']")
    found.wait_for_selector(".page h1")
    assert found.url.endswith("#/cases")
    found.go_back()
    found.wait_for_selector(".results-list .card img")
    assert found.url == search
    found.reload()
    found.wait_for_selector(".results-list .card img")
    assert found.url == search
    assert found.locator(".results-list .card").count() == 16


def test_closing_a_case_asks_first(found: Any, ann: Any) -> None:
    found.click("[data-key='page:cases']")
    found.click("tr:has-text('A-1') >> text=Close >> nth=0")
    found.wait_for_selector("dialog >> text=for good")
    found.click("dialog .dialog-foot button >> nth=0")
    found.wait_for_selector("dialog", state="detached")
    assert ann.get("/api/cases").json()[0]["is_open"]
    found.click("tr:has-text('A-1') >> text=Close >> nth=0")
    found.click("dialog button[type=submit]")
    found.wait_for_selector("dialog", state="detached")
    assert not ann.get("/api/cases").json()[0]["is_open"]


def test_a_phone_shows_every_control_with_a_name(found: Any) -> None:
    unnamed = """() => [...document.querySelectorAll('button, a, select, input')]
        .filter(one => one.checkVisibility({ visibilityProperty: true }))
        .filter(one => !(one.innerText || one.ariaLabel || one.title || one.labels?.length))
        .map(one => one.outerHTML)"""
    for width in (390, 768, 1440, 1920):
        found.set_viewport_size({"width": width, "height": 844})
        found.wait_for_timeout(300)
        fits = f"document.documentElement.scrollWidth <= {width}"
        found.wait_for_function(fits)  # a busy machine draws the map's new size late
        assert found.evaluate(unnamed) == []
        assert found.locator("h1").count() == 1
        bar = found.locator(".top").bounding_box()
        for name in ("Sign out", "Results"):
            place = found.locator(f".top [aria-label='{name}']").bounding_box()
            if place is None:  # the results need no button where they are beside the map
                assert (name, width) in {("Results", 1440), ("Results", 1920)}
                continue
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= bar["width"] <= width


def test_a_reopened_search_draws_all_eight_pictures_cut_to_their_boxes(
    page: Any, ann: Any, address: str
) -> None:
    boxes = [[4 * n, 8, 4 * n + 60, 8 + 120 + 8 * n] for n in range(8)]
    pictures = [{"id": ann.add_picture(1, 80 + n), "box": box} for n, box in enumerate(boxes)]
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": pictures})
    assert answer.status_code == 201, answer.text
    enter(page)
    page.goto(f"{address}/#/search/{answer.json()['id']}")
    page.click(".card >> nth=0 >> .crop")
    page.wait_for_selector("dialog .compare-side >> nth=0 >> img >> nth=7")
    images = page.locator("dialog .compare-side >> nth=0 >> img")
    assert images.count() == 8
    sizes = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        image = images.nth(number)
        image.evaluate("element => element.decode()")
        sizes.append(image.evaluate("element => element.naturalWidth / element.naturalHeight"))
        assert sizes[-1] == pytest.approx((right - left) / (bottom - top), rel=0.05)
    assert len(set(sizes)) == 8, "no picture stands for another"
