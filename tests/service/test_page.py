"""The page in a real browser: sign in, pick a person, search, see the list and the path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.service.settings import Settings
from tests.service.browser import PASSWORD, enter, needs_browser, picture

pytestmark = needs_browser


def test_from_sign_in_to_the_path(
    page: Any, ann: Any, tmp_path: Path, person: Callable[[int, int], Any]
) -> None:
    page.fill("input[name=name]", "ann")
    page.fill("input[name=password]", "wrong password 1")
    page.click("button[type=submit]")
    page.wait_for_selector(".signin-card .notice.bad:not([hidden])")
    enter(page)
    page.wait_for_selector(".map[data-ready=true]")
    page.set_input_files("input[type=file]", picture(tmp_path, person))
    page.wait_for_selector(".query-picture:not(.pending)")
    page.click("[data-key='unit:99']")
    page.click("[data-key=search]")
    page.wait_for_selector(".results-list .card img")
    assert page.locator(".results-list .card").count() == 16
    assert "lead" in page.inner_text(".results-head")
    # the operator says who it is; the path goes through what was confirmed
    page.click(".results-list .card >> nth=0 >> .button.good")
    page.wait_for_selector(".results-list .card.confirmed")
    page.wait_for_selector(".visit-pin")
    first = page.locator(".visit-pin").first
    assert first.is_visible()
    assert page.locator(".timeline .visit").count() >= page.locator(".visit-pin").count()
    # keys: compare, next, close
    page.click(".results-title")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .compare-stage img")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    # the other language, with the same answer
    page.click("text=中文")
    page.wait_for_selector("text=结果仅为线索")
    assert page.locator(".results-list .card").count() == 16
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_a_bad_picture_and_an_ended_session(
    page: Any, ann: Any, app: FastAPI, tmp_path: Path, person: Callable[[int, int], Any]
) -> None:
    enter(page)
    bad = tmp_path / "notes.png"
    bad.write_text("not a picture")
    page.set_input_files("input[type=file]", str(bad))
    page.wait_for_selector(".toast >> text=not a picture")
    page.set_input_files("input[type=file]", picture(tmp_path, person))
    page.wait_for_selector(".query-picture:not(.pending)")
    app.state.service.accounts.set_password("ann", PASSWORD)  # ends every session
    page.click("[data-key=search]")
    page.wait_for_selector(".signin-card >> text=session has ended")
    enter(page)
    page.wait_for_selector(".query-picture")


@pytest.mark.parametrize("app", [Settings(wide_needs_approval=True)], indirect=True)
def test_a_wide_search_is_asked_for_and_approved(
    page: Any, ann: Any, tmp_path: Path, person: Callable[[int, int], Any]
) -> None:
    enter(page)
    page.set_input_files("input[type=file]", picture(tmp_path, person))
    page.wait_for_selector(".query-picture:not(.pending)")
    page.click("[data-key=search]")
    page.click(".panel-foot .notice-action button")
    page.fill("dialog textarea", "No district can be ruled out")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("dialog", state="detached")
    page.click(".top-account button")
    page.wait_for_selector(".signin-card")
    enter(page, "sue")
    page.click("[data-key='page:approvals']")
    page.click("td .button.primary")
    page.wait_for_selector(".chip.good >> text=sue")
    page.click(".top-account button")
    page.wait_for_selector(".signin-card")
    enter(page)
    page.set_input_files("input[type=file]", picture(tmp_path, person))
    page.wait_for_selector(".query-picture:not(.pending)")
    page.click("[data-key=search]")
    page.wait_for_selector(".results-list .card img")


def test_a_case_is_opened_and_a_refusal_is_shown(page: Any, ann: Any) -> None:
    enter(page)

    def ask(number: str) -> None:
        page.click("[data-key=new-case]")
        page.fill("dialog input >> nth=0", number)
        page.fill("dialog textarea", "To find a lost child")
        page.fill("dialog input >> nth=1", "Police act, section 1")
        page.click("dialog button[type=submit]")

    ask("A-2")
    page.wait_for_selector(".toast >> text=A-2")
    page.wait_for_selector("dialog", state="detached")
    assert page.input_value("[data-key=case]") == "A-2"
    ask("A-2")
    page.wait_for_selector("dialog .notice.bad:not([hidden]) >> text=taken")
    page.click("dialog .dialog-foot button >> nth=0")
    page.wait_for_selector("dialog", state="detached")


def test_an_administrator_adds_an_account(page: Any, app: FastAPI) -> None:
    enter(page, "root")
    page.click("[data-key='page:accounts']")
    page.click(".page-head .button.primary")
    page.fill("dialog input", "new.person")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("dialog .password")
    assert app.state.service.accounts.get("new.person").role == "operator"
    page.keyboard.press("Escape")
    page.wait_for_selector("td >> text=new.person")


def test_a_one_time_password_is_changed_before_anything_else(page: Any, app: FastAPI) -> None:
    accounts = app.state.service.accounts
    code = accounts.set_password("bob", code_hours=1)
    page.fill("input[name=name]", "bob")
    page.fill("input[name=password]", code)
    page.click("button[type=submit]")
    page.wait_for_selector("h1 >> text=Your password")
    assert page.locator(".desk").count() == 0
    page.click("text=中文")
    page.wait_for_selector("h1 >> text=您的密码")
    page.click("text=EN")
    for values in (("one long password", "another password"), ("my own password 1",) * 2):
        for place, value in enumerate(values):
            page.fill(f"input[type=password] >> nth={place}", value)
        page.click("button[type=submit]")
        if values[0] != values[1]:
            page.wait_for_selector(".notice.bad >> text=differ")
    page.wait_for_selector(".desk")
    # and once more, by choice
    page.click("[data-key=password]")
    for place, value in enumerate(("my own password 1", *("my own password 2",) * 2)):
        page.fill(f"dialog input >> nth={place}", value)
    page.click("dialog button[type=submit]")
    page.wait_for_selector("dialog", state="detached")
    page.wait_for_selector(".desk")
    assert accounts.verify("bob", "my own password 2") is not None


def test_a_supervisor_reads_the_audit(page: Any, ann: Any) -> None:
    enter(page, "sue")
    page.click("[data-key='page:audit']")
    page.wait_for_selector("table >> text=Signed in")
    page.click("text=Verify the chain")
    page.wait_for_selector(".chip.good >> text=hold")


def test_a_dark_picture_is_shown_before_and_after(
    page: Any, ann: Any, app: FastAPI, tmp_path: Path, person: Callable[[int, int], Any]
) -> None:
    enter(page)
    dark = tmp_path / "dark.png"
    person(1, 77).point(lambda value: value // 12).save(dark)
    page.set_input_files("input[type=file]", str(dark))
    page.wait_for_selector(".query-enhanced img >> nth=1")
    assert page.is_checked(".query-enhanced input")
    page.click("text=中文")
    page.wait_for_selector(".query-enhanced >> text=提亮后")
    for wished in (True, False):
        page.set_checked(".query-enhanced input", wished)
        with page.expect_response("**/api/searches") as answer:
            page.click("[data-key=search]")
        assert answer.value.json()["enhanced"] == [wished]
        page.wait_for_selector(".results-list .card img")
