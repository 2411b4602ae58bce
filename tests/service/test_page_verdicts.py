"""Verdicts on the page: shown as given only when stored, one a request, and taken back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.service.browser import PASSWORD, enter, find, needs_browser, picture

pytestmark = needs_browser
VERDICTS = "**/api/searches/*/verdicts"
CONFIRM = ".card >> nth={} >> .button.good"
REJECT = ".card >> nth={} >> .button.bad"


@pytest.fixture
def found(page: Any, ann: Any, tmp_path: Path, person: Callable[[int, int], Any]) -> Any:
    """The page with the results of a search."""
    enter(page)
    find(page, picture(tmp_path, person))
    page.wait_for_selector(".path-summary, .results-head .notice")
    return page


def stored(ann: Any) -> dict[str, Any]:
    newest = ann.get("/api/searches").json()[0]["id"]
    answer: dict[str, Any] = ann.get(f"/api/searches/{newest}").json()
    return answer


def test_a_verdict_is_pending_until_it_is_stored(found: Any, ann: Any) -> None:
    held: list[Any] = []
    found.route(VERDICTS, lambda route: held.append(route))  # noqa: PLW0108
    found.click(CONFIRM.format(0))
    found.wait_for_selector(".card.pending")
    assert found.locator(".card.confirmed, .card [aria-pressed=true]").count() == 0
    assert stored(ann)["confirmed"] == []
    held[0].continue_()
    found.wait_for_selector(".card.confirmed")
    assert found.locator(".card.pending").count() == 0
    assert len(stored(ann)["confirmed"]) == 1


@pytest.mark.parametrize(
    "fault",
    ["offline", "closed case", pytest.param("ended session", marks=pytest.mark.slow), "full"],
)
def test_a_verdict_that_fails_is_rolled_back(
    found: Any, ann: Any, app: FastAPI, fault: str
) -> None:
    if fault == "offline":
        found.route(VERDICTS, lambda route: route.abort())
    elif fault == "closed case":
        assert ann.post("/api/cases/A-1/close").status_code == 200
    elif fault == "ended session":
        app.state.service.accounts.set_password("ann", PASSWORD)
    else:
        found.route(VERDICTS, lambda route: route.fulfill(status=507, body="no room"))
    found.click(CONFIRM.format(0))
    if fault == "ended session":
        found.wait_for_selector(".signin-card")
        enter(found)
    found.wait_for_selector(".verdict-failed >> text=Not saved")
    assert found.locator(".card.confirmed, .card.pending, .card [aria-pressed=true]").count() == 0
    assert found.locator(".card.failed").count() == 1
    reason = {"offline": "cannot be reached", "closed case": "closed", "ended session": "ended"}
    assert reason.get(fault, "507") in found.inner_text(".verdict-failed")
    if fault == "closed case":
        return
    found.unroute(VERDICTS)
    found.click(".verdict-failed button >> text=Try again")
    found.wait_for_selector(".card.confirmed")
    assert found.locator(".verdict-failed").count() == 0


def test_a_verdict_for_another_result_in_another_tab_is_kept(found: Any, ann: Any) -> None:
    now = stored(ann)
    path = f"/api/searches/{now['id']}/verdicts"
    other = now["matches"][1]["id"]
    body = {"sighting": other, "verdict": "confirmed", "revision": now["revision"]}
    assert ann.post(path, json=body).status_code == 200
    found.click(CONFIRM.format(0))
    found.wait_for_selector(".card.confirmed >> nth=1")
    assert set(stored(ann)["confirmed"]) == {other, now["matches"][0]["id"]}


@pytest.mark.parametrize("choice", ["keep", pytest.param("mine", marks=pytest.mark.slow)])
def test_a_conflict_shows_both_verdicts(found: Any, ann: Any, choice: str) -> None:
    now = stored(ann)
    one = now["matches"][0]["id"]
    body = {"sighting": one, "verdict": "rejected", "revision": now["revision"]}
    assert ann.post(f"/api/searches/{now['id']}/verdicts", json=body).status_code == 200
    found.click(CONFIRM.format(0))
    found.wait_for_selector(".verdict-conflict")
    text = found.inner_text(".verdict-conflict")
    assert "Not" in text
    assert "Same" in text
    assert stored(ann)["rejected"] == [one]
    found.click(f"[data-key='{choice}:{one}']")
    found.wait_for_selector(".verdict-conflict", state="detached")
    if choice == "mine":
        found.wait_for_selector(".card.confirmed")
    assert stored(ann)["confirmed"] == ([one] if choice == "mine" else [])


def test_not_is_undone_and_taken_back_from_the_list(found: Any, ann: Any) -> None:
    first = stored(ann)["matches"][0]["id"]
    found.click(REJECT.format(0))
    found.wait_for_selector(".notice.undo")
    assert found.locator(f".card[data-id='{first}']").count() == 0
    found.click("[data-key=undo]")
    found.wait_for_selector(f".card[data-id='{first}']")
    assert stored(ann)["rejected"] == []
    found.click(f".card[data-id='{first}'] .button.bad")
    found.wait_for_selector("details.rejected")
    # also after the page was loaded anew, from the list of what is stored
    found.click("details.rejected summary")
    found.wait_for_selector(".rejected-list li >> text=Camera")
    found.click(f"[data-key='back:{first}']")
    found.wait_for_selector(f".card[data-id='{first}']")
    assert stored(ann)["rejected"] == []
    assert found.locator("details.rejected").count() == 0


def test_a_key_judges_only_what_is_seen(found: Any, ann: Any) -> None:
    found.click(".results-title")
    found.evaluate("document.querySelector('.results-list').scrollTop = 1e6")
    found.keyboard.press("x")
    found.wait_for_selector(".toast >> text=out of sight")
    assert found.locator(".card.pending").count() == 0
    assert stored(ann)["rejected"] == []
    first = stored(ann)["matches"][0]["id"]
    found.keyboard.press("x")
    found.wait_for_selector("details.rejected")
    assert stored(ann)["rejected"] == [first]
    found.keyboard.press("u")
    found.wait_for_selector(f".card[data-id='{first}']")
