"""The page *Cameras* in a real browser: every change of a camera, its clips, and the clocks."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.city import Calibration, Scope
from passerby.city.clips import DELETING, RETIMING, clips_of, write_clip
from passerby.city.clocks import estimate_clocks
from passerby.runtime import Embedder
from passerby.service.settings import Settings
from tests.city.test_clocks import START as WALKS
from tests.city.test_clocks import walk
from tests.service.browser import enter, needs_browser
from tests.service.test_clips import MINUTE, START, add_clip

pytestmark = needs_browser
LANGUAGES = {"en": "EN", "zh": "中文"}
IN_SHANGHAI = pytest.mark.parametrize("app", [Settings(time_zone="Asia/Shanghai")], indirect=True)
TEXTS = {  # of the buttons and answers that the test reads
    "retired": {"en": "Retired", "zh": "已停用"},
    "gaps": {"en": "and 1 more", "zh": "另有 1 处"},
    "few": {"en": "at least 8 are needed", "zh": "至少需要 8 人"},
    "right": {"en": "Right as it is set", "zh": "当前设置正确"},
    "off": {"en": "Off", "zh": "有偏差"},
    "guess": {"en": "not calibrated", "zh": "未经校准"},
    "followed": {"en": "another time", "zh": "更改了时间"},
}


@pytest.fixture(params=["en", pytest.param("zh", marks=pytest.mark.slow)])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cameras(page: Any, language: str) -> Any:
    """The page, open in a language."""
    page.click(f"text={LANGUAGES[language]}")
    enter(page, "root")
    page.click("[data-key='page:cameras']")
    page.wait_for_selector("[data-key='cameras.move:C01']")
    return page


def send(page: Any) -> None:
    """Send the form of the topmost dialog, and wait until it is gone."""
    before = page.locator("dialog").count()
    page.click("dialog:last-of-type .dialog-foot button[type=submit]")
    page.locator("dialog").nth(before - 1).wait_for(state="detached")


def row(page: Any, name: str) -> Any:
    return page.locator(".page-body tr", has=page.locator(f"[data-key='cameras.history:{name}']"))


def test_a_camera_is_added_moved_renamed_timed_and_retired(
    cameras: Any, app: FastAPI, language: str
) -> None:
    page, city = cameras, app.state.service.city
    page.click("[data-key=camera-new]")
    page.wait_for_selector("dialog .place-map[data-ready=true]")
    page.fill("dialog input[name=camera-id]", "N1")
    page.fill("dialog .field-pair >> nth=0 >> input >> nth=0", "Gate")
    page.fill("dialog .field-pair >> nth=0 >> input >> nth=1", "大门")
    page.fill("dialog .field-pair >> nth=1 >> input >> nth=0", "10")
    page.fill("dialog .field-pair >> nth=1 >> input >> nth=1", "10")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("dialog .notice.bad:not([hidden])")  # there is no unit
    page.click("dialog .place-map canvas", position={"x": 60, "y": 100})
    longitude, latitude = (
        float(page.input_value(f"dialog .field-pair >> nth=1 >> input >> nth={n}")) for n in (0, 1)
    )
    assert 121.4 <= longitude <= 121.416 and 31.2 <= latitude <= 31.208
    send(page)
    page.wait_for_selector("[data-key='cameras.move:N1']")
    city.refresh()
    assert city.camera("N1").place == (longitude, latitude)
    assert ("Gate" if language == "en" else "大门") in row(page, "N1").inner_text()

    page.click("[data-key='cameras.move:N1']")
    page.fill("dialog input[type=number] >> nth=0", "121.414")
    page.fill("dialog input[type=number] >> nth=1", "31.202")
    send(page)
    page.wait_for_selector("td >> text=121.41400")
    page.click("[data-key='cameras.rename:N1']")
    page.fill("dialog input >> nth=0", "Yard")
    page.fill("dialog input >> nth=1", "院子")
    send(page)
    page.wait_for_selector(f"td >> text={'Yard' if language == 'en' else '院子'}")
    page.click("[data-key='cameras.clock:C02']")
    page.fill("dialog input[type=number]", "-95.5")
    page.check("dialog input[type=checkbox]")
    send(page)
    page.wait_for_selector(f".toast >> text={TEXTS['followed'][language]}")
    page.wait_for_selector("td >> text=-95.5 s")
    page.click("[data-key='cameras.retire:N1']")
    send(page)
    page.wait_for_selector(
        f"tr:has([data-key='cameras.history:N1']) >> text={TEXTS['retired'][language]}"
    )
    assert page.locator("[data-key='cameras.move:N1']").count() == 0
    page.click("[data-key='cameras.history:N1']")
    page.wait_for_selector("dialog tbody tr")
    assert page.locator("dialog tbody tr").count() == len(city.history["N1"]) == 3
    city.refresh()
    assert city.camera("N1").valid_to is not None and city.camera("N1").name_zh == "院子"
    assert city.camera("C02").clock == -95_500


@IN_SHANGHAI
def test_clips_are_listed_retimed_and_deleted(cameras: Any, app: FastAPI, language: str) -> None:
    page, city = cameras, app.state.service.city
    record = add_clip(city, "C01")
    gaps = tuple((START + n * MINUTE, START + n * MINUTE + 30_000) for n in range(1, 5))
    write_clip(city, type(record)(**{**vars(record), "gaps": gaps}))
    page.click("[data-key='clips.title:C01']")
    page.wait_for_selector("dialog tbody tr")
    text = page.inner_text("dialog tbody tr")
    for part in ("C01.mp4", record.name, "900", TEXTS["gaps"][language]):
        assert part in text
    assert "/srv" not in text

    page.click(f"[data-key='clips.retime:{record.name}']")
    page.fill("dialog:last-of-type input[type=datetime-local]", "2026-05-01T06:30:15.250")
    page.click("dialog:last-of-type .dialog-foot button >> nth=0")  # the question is declined
    page.locator("dialog").nth(1).wait_for(state="detached")
    assert [one.name for one in clips_of(city, "C01")] == [record.name]
    page.click(f"[data-key='clips.retime:{record.name}']")
    page.fill("dialog:last-of-type input[type=datetime-local]", "1999-05-01T06:30:15.250")
    page.click("dialog:last-of-type .dialog-foot button[type=submit]")
    page.wait_for_selector("dialog:last-of-type .notice.bad:not([hidden])")
    page.fill("dialog:last-of-type input[type=datetime-local]", "2026-05-01T06:30:15.250")
    send(page)
    page.wait_for_selector(f"[data-key='clips.retime:{record.name}']", state="detached")
    (new,) = clips_of(city, "C01")
    assert new.start == START - 89 * MINUTE - 44_750
    assert city.count(Scope(cameras=("C01",), end=START)) == 3

    page.click(f"[data-key='clips.delete:{new.name}']")
    page.wait_for_selector("dialog:last-of-type .notice.warn >> text=3")
    send(page)
    page.wait_for_selector("dialog .empty")
    assert clips_of(city, "C01") == []
    assert city.count(Scope(cameras=("C01",), end=START)) == 0


def test_what_was_cut_off_is_finished(cameras: Any, app: FastAPI) -> None:
    page, city = cameras, app.state.service.city
    record = add_clip(city, "C01")
    begun = {"state": RETIMING, "target": START + MINUTE}
    write_clip(city, type(record)(**{**vars(record), **begun}))
    page.click("[data-key='clips.title:C01']")
    page.wait_for_selector("dialog tbody tr")
    assert page.locator("dialog [data-key^='clips.delete:']").count() == 0
    page.click(f"[data-key='clips.retime:{record.name}']")
    assert page.locator("dialog:last-of-type input").count() == 0
    send(page)
    page.wait_for_selector(f"[data-key='clips.retime:{record.name}']", state="detached")
    (new,) = clips_of(city, "C01")
    assert new.start == START + MINUTE
    write_clip(city, type(new)(**{**vars(new), "state": DELETING}))
    page.keyboard.press("Escape")
    page.click("[data-key='clips.title:C01']")
    page.click(f"dialog [data-key='clips.delete:{new.name}']")
    assert page.locator("dialog [data-key^='clips.retime:']").count() == 0
    send(page)
    page.wait_for_selector("dialog .empty")


@IN_SHANGHAI
def test_clocks_are_estimated_and_a_proposal_is_taken_over(
    cameras: Any, app: FastAPI, embedder: Embedder, language: str, tmp_path: Path
) -> None:
    page, city = cameras, app.state.service.city
    page.click("[data-key=clocks]")
    page.click("dialog [data-key=estimate]")
    page.wait_for_selector(f"dialog .clock-reason >> text={TEXTS['few'][language]} >> nth=0")
    size = len(city.gallery.vectors([city.gallery.latest(1)[0].id])[0])
    walk(city, {"C03": 95.0}, people=120, seed=5, model=embedder.model_id, size=size)
    page.fill("dialog input >> nth=0", "2026-05-01T08:00")
    page.fill("dialog input >> nth=1", "2026-05-01T12:00")
    assert WALKS == START  # 08:00 in Shanghai
    page.click("dialog [data-key=estimate]")
    page.wait_for_selector("dialog [data-key='take:C03']")
    assert TEXTS["guess"][language] in page.inner_text("dialog .clock-answer")
    rows = page.locator("dialog tbody tr").all_inner_texts()
    assert TEXTS["off"][language] in rows[2]
    assert any(TEXTS["right"][language] in one for one in rows)
    assert page.locator("dialog [data-key^='take:']").count() == 1
    page.click("dialog [data-key='take:C03']")
    proposed = float(page.input_value("dialog:last-of-type input[name=clock]"))
    scope = Scope(start=START, end=START + 240 * MINUTE)
    said = {one.camera: one for one in estimate_clocks(city, scope, calibration=Calibration())}
    assert proposed == round(said["C03"].offset) and said["C03"].low <= 95 <= said["C03"].high
    send(page)
    page.wait_for_selector("dialog [data-key='take:C03']", state="detached")
    city.refresh()
    assert city.camera("C03").clock == 1000 * proposed
    page.keyboard.press("Escape")
    page.wait_for_selector(f"td >> text=+{proposed:.0f} s")
