"""Erasing on the page: counted, asked once more, evidence named, and the list of erasures."""

from typing import Any

from passerby.city import City
from tests.service.browser import enter, needs_browser
from tests.service.test_erasing import confirm

pytestmark = needs_browser


def ask(page: Any, **values: str) -> None:
    page.click("[data-key=erase-new]")
    page.fill("dialog [name=case]", "A-1")
    page.fill("dialog [name=purpose]", "the person asked")
    for name, value in values.items():
        page.fill(f"dialog [name={name}]", value)
    page.click("dialog button[type=submit]")


def test_an_administrator_erases_for_an_open_case(page: Any, ann: Any, city: City) -> None:
    enter(page, "root")
    page.click("[data-key='page:erase']")
    page.wait_for_selector("text=Nothing was erased")
    ask(page)
    page.wait_for_selector("dialog .notice.bad:not([hidden]) >> text=nothing to erase")
    page.click("dialog .dialog-foot button >> nth=0")
    ask(page, tracklets="t1-C01")
    page.wait_for_selector("dialog >> text=2 sightings go")
    assert city.count() == 32
    page.click("dialog button[type=submit]")
    page.wait_for_selector(".toast >> text=2 sightings, 2 crops")
    page.wait_for_selector("td >> text=A person asked")
    assert city.count() == 30
    page.click("text=中文")
    page.wait_for_selector("td >> text=本人要求")


def test_evidence_is_named_and_goes_with_a_reason_alone(page: Any, ann: Any, city: City) -> None:
    _, name = confirm(ann)
    enter(page, "root")
    page.click("[data-key='page:erase']")
    ask(page, sightings=name)
    page.wait_for_selector("dialog .notice.bad >> text=A-1 (1)")
    page.fill("dialog [name=despite]", "x")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("dialog .notice.bad:not([hidden]) >> text=Say in words")
    page.fill("dialog [name=despite]", "the court ordered it")
    page.click("dialog button[type=submit]")
    page.wait_for_selector(".toast >> text=still name")
    assert city.count() == 31
