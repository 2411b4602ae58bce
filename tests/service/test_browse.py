"""Who passed a camera, page after page: every tracklet once, however long, however many at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from passerby.city import City, Sighting
from tests.service.browser import enter, needs_browser

START = 1_893_456_000_000 + 7_200_000
PEOPLE, LONG, TOGETHER = 150, 12, 30


@pytest.fixture
def crowd(city: City) -> Iterator[City]:
    """People of twelve sightings each; thirty of them leave in the same moment."""
    model, dimension = city.gallery.model_id or "", city.gallery.dimension or 1
    vector = np.eye(1, dimension, dtype=np.float32)[0]
    city.add_sightings(
        Sighting(
            id=f"c{person}-{number}", camera="C01", tracklet=f"crowd{person}", model=model,
            time=START + (max(person, TOGETHER) * 60 + number) * 1000, vector=vector,
            quality=0.9 if number == 3 else 0.5,
        )
        for person in range(PEOPLE)
        for number in range(LONG)
    )  # fmt: skip
    yield city


def pages(client: Any, limit: int) -> list[list[dict[str, Any]]]:
    made, end = [], None
    while True:
        query = {"case": "A-1", "camera": "C01", "limit": limit, **({"end": end} if end else {})}
        found = client.get("/api/sightings", params=query).json()
        made.append(found)
        if len(found) < limit:
            return made
        end = found[-1]["last"]


@pytest.mark.parametrize("limit", [7, 60])
def test_every_tracklet_comes(ann: Any, crowd: City, limit: int) -> None:
    read = pages(ann, limit)
    names = [one["tracklet"] for page in read for one in page]
    wanted = {one.tracklet for one in crowd.gallery.latest(9999) if one.camera == "C01"}
    assert set(names) == wanted and len(wanted) > PEOPLE
    assert all(len(page) >= limit for page in read[:-1])
    crowded = [one for page in read for one in page if one["tracklet"] == "crowd149"]
    assert crowded[0]["id"] == "c149-3", "the best one of the tracklet"
    order = [one["last"] for one in read[0]]
    assert order == sorted(order, reverse=True)


@needs_browser
def test_the_page_goes_on_until_the_first(page: Any, ann: Any, crowd: City) -> None:
    enter(page)
    page.wait_for_selector(".map[data-ready=true]")
    page.click("[data-key=pick]")
    page.select_option("dialog select", "C01")
    page.wait_for_selector("dialog .browse-grid li")
    for _ in range(9):
        if page.locator("dialog [data-key=browse-more]").count() == 0:
            break
        page.click("dialog [data-key=browse-more]")
        page.wait_for_timeout(500)
    wanted = {one.tracklet for one in crowd.gallery.latest(9999) if one.camera == "C01"}
    assert page.locator("dialog .browse-grid li").count() == len(wanted)
