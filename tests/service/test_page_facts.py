"""Facts of units on the page, in a real browser: a layer with its legend, and a unit's card."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.city import City
from passerby.city.facts import Fact, add_facts, set_rule
from tests.service.browser import enter, needs_browser

pytestmark = needs_browser


@pytest.fixture
def app(make_app: Callable[..., FastAPI], city: City) -> FastAPI:
    """The app of a city with facts."""
    facts = [
        Fact(unit="9901", name="population", value=30, measure="people", source="census"),
        Fact(unit="9902", name="population", value=12),
        Fact(unit="99", name="weather", value="<b>rain</b>"),
    ]
    add_facts(city, facts)
    set_rule(city, "population", rule="sum")
    return make_app()


def test_a_layer_and_a_card(page: Any, tmp_path: Any) -> None:
    enter(page)
    page.wait_for_selector(".map[data-ready=true]")
    options = page.locator("[data-key=layer] option").all_text_contents()
    assert options == ["Sightings", "population (people)"]  # a text is no layer
    page.select_option("[data-key=layer]", "population")
    page.wait_for_selector(".map-legend >> text=12 to 30 people")
    page.screenshot(path=str(tmp_path / "layer.png"))
    page.click(".segmented button:has-text('City')")
    page.wait_for_selector(".map-legend >> text=42 people")
    page.click("[data-key='facts:99']")
    page.wait_for_selector("table.unit-facts")
    cells = page.locator("table.unit-facts tbody td").all_text_contents()
    assert cells[0] == "population" and cells[1] == "42 peoplefrom 2 units below"
    assert cells[4:6] == ["weather", "<b>rain</b>"]
    page.screenshot(path=str(tmp_path / "card.png"))
    page.keyboard.press("Escape")
    page.select_option("[data-key=layer]", "")
    page.wait_for_selector(".map-legend >> text=Sightings in the window")
