"""Clips can be taken back: listed, re-timed, deleted, and told when they come twice."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.city import Camera, City, Scope, find
from passerby.city import changes as changes_module
from passerby.city.cameras import changed
from passerby.city.changes import (
    add_camera,
    change_camera,
    delete_clip,
    retime_clip,
    sightings_of_clip,
)
from passerby.city.clips import RETIMING, STORED, ClipRecord, clips_of, find_clip, write_clip
from passerby.city.recorded import recorded
from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest import Detector, IngestReport, ingest_clip, ingest_folder
from passerby.runtime import Embedder
from passerby.times import now, parse_time

START = "2026-05-01T08:00:00+08:00"
LATER = "2026-05-01T09:00:00+08:00"
T0, T1 = parse_time(START), parse_time(LATER)


@pytest.fixture
def ingest(detector: Detector, embedder: Embedder) -> Callable[..., IngestReport]:
    def run(city: City, path: Path, camera: str = "C01", start: str = START, **more: Any):
        return ingest_clip(
            city, path, camera=camera, start=start, detector=detector, embedder=embedder, **more
        )

    return run


@pytest.fixture
def short(tmp_path: Path, draw_clip: Callable[..., Path]) -> Path:
    return draw_clip(tmp_path / "short.mp4", 4)


def facts(city: City) -> dict[str, tuple[int, str, str]]:
    return {one.id: (one.time, one.tracklet, one.crop) for one in city.gallery.latest(9999)}


def yard(city: City, **more: Any) -> None:
    place = (116.4003, 39.9)
    wanted = {"id": "yard", "number": 0, "name": "yard", "name_zh": "", "unit": "", **more}
    add_camera(city, Camera(place=place, **wanted))


def test_a_clip_is_listed_with_what_was_recorded(
    city: City, short: Path, ingest: Callable[..., IngestReport]
) -> None:
    report = ingest(city, short)
    (record,) = clips_of(city)
    assert record.camera == "C01" and record.start == record.first == T0
    assert (record.frames, record.sightings) == (report.frames, city.count())
    assert record.state == STORED and record.source == str(short)
    assert record.last == T0 + 40 * (report.frames - 1)
    assert {one.id for one in sightings_of_clip(city, record)} == set(facts(city))
    assert find_clip(city, record.name[:5]) == record
    with pytest.raises(InputError, match="no clip"):
        find_clip(city, "nothing")


def test_the_same_content_elsewhere_is_refused_before_anything_is_stored(
    city: City, short: Path, ingest: Callable[..., IngestReport]
) -> None:
    ingest(city, short)
    before = facts(city)
    yard(city)
    copy = short.with_name("other-name.mp4")
    copy.write_bytes(short.read_bytes())
    for more in ({"start": LATER}, {"camera": "yard"}, {"camera": "yard", "start": LATER}):
        with pytest.raises(InputError, match=r"in the city already, as the clip .* --again"):
            ingest(city, copy, **more)
        assert facts(city) == before and len(clips_of(city)) == 1
    assert ingest(city, copy).added == 0  # the same start and camera: nothing new
    second = ingest(city, copy, start=LATER, again=True)
    assert second.added == len(before) and "in the city as the clip" in second.notices[0]
    assert len(clips_of(city)) == 2


def test_a_clip_that_is_deleted_leaves_nothing_and_may_come_again(
    city: City, short: Path, tmp_path: Path, draw_clip: Callable[..., Path],
    ingest: Callable[..., IngestReport],
) -> None:  # fmt: skip
    other = draw_clip(tmp_path / "other.mp4", 6, gap=14)
    ingest(city, other, start=LATER)
    kept = facts(city)
    first = ingest(city, short)
    (record,) = [one for one in clips_of(city) if one.start == T0]
    done = delete_clip(city, record.name)
    assert done.deleted == first.sightings and done.crops > 0
    assert facts(city) == kept and len(clips_of(city)) == 1
    crops = {path.name.split(".")[0] for path in city.crops.folder.rglob("*.jpg")}  # and scenes
    assert crops == {crop for _, _, crop in kept.values()}
    assert city.gallery.verify() == []
    assert ingest(city, short, start=LATER).added == first.sightings


def test_a_crop_that_another_sighting_has_stays(
    city: City, short: Path, ingest: Callable[..., IngestReport]
) -> None:
    ingest(city, short)
    ingest(city, short, start=LATER, again=True)
    crops = {crop for _, _, crop in facts(city).values()}
    done = delete_clip(city, next(one.name for one in clips_of(city) if one.start == T0))
    assert done.crops == 0 and all(crop in city.crops for crop in crops)


def test_a_clip_with_another_start_equals_one_ingested_there(
    city: City, short: Path, tmp_path: Path, ingest: Callable[..., IngestReport]
) -> None:
    from passerby.ingest import create_small_city

    ingest(city, short)
    new, done = retime_clip(city, clips_of(city)[0].name, T1)
    assert done.retimed == city.count()
    whole = create_small_city(tmp_path / "whole", camera="C01", place=(116.4, 39.9))
    ingest(whole, short, start=LATER)
    assert facts(city) == facts(whole)
    assert [vars(one) | {"ingested": 0} for one in clips_of(city)] == [
        vars(one) | {"ingested": 0} for one in clips_of(whole)
    ]
    ids = sorted(facts(city))
    assert np.array_equal(city.gallery.vectors(ids), whole.gallery.vectors(ids))
    assert ingest(city, short, start=LATER).added == 0
    with pytest.raises(InputError, match="--again"):
        ingest(city, short)
    assert retime_clip(city, new.name, T1)[1].retimed == 0
    assert city.gallery.verify() == []


@pytest.mark.parametrize("call", range(1, 5))
def test_a_change_of_a_clip_that_was_cut_off_goes_on(
    city: City, short: Path, ingest: Callable[..., IngestReport],
    monkeypatch: pytest.MonkeyPatch, call: int,
) -> None:  # fmt: skip
    """The process dies at the n-th write of the gallery, whichever that is."""
    ingest(city, short)
    name, before = clips_of(city)[0].name, len(facts(city))
    monkeypatch.setattr(changes_module, "PAGE", 5)
    gallery, calls = type(city.gallery), 0

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                raise KeyboardInterrupt
            return method(*arguments, **more)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "add", dying(gallery.add))
        patch.setattr(gallery, "delete", dying(gallery.delete))
        with pytest.raises(KeyboardInterrupt):
            retime_clip(city, name, T1)
    assert find_clip(city, name).state == RETIMING
    with pytest.raises(InputError, match="retiming"):
        ingest(city, short)
    with pytest.raises(InputError, match="finish that first"):
        delete_clip(city, name)
    with pytest.raises(InputError, match="finish that first"):
        retime_clip(city, name, T1 + 1)
    with City.open(city.folder) as again:
        new, _ = retime_clip(again, name)
        assert len(facts(again)) == before and all(n.startswith(new.name) for n in facts(again))
        assert {one.state for one in clips_of(again)} == {STORED}
    calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(gallery, "delete", dying(gallery.delete))
        try:
            delete_clip(city, new.name)
        except KeyboardInterrupt:
            with pytest.raises(InputError, match="finish that first"):
                retime_clip(city, new.name, T0)
            delete_clip(city, new.name)
    assert facts(city) == {} and clips_of(city) == []


def test_the_clock_is_added_at_ingest_and_ids_stay(
    city: City, short: Path, ingest: Callable[..., IngestReport]
) -> None:
    ingest(city, short)
    plain = facts(city)
    delete_clip(city, clips_of(city)[0].name)
    change_camera(city, "C01", lambda one: changed(one, 0, clock=95_000))
    ingest(city, short)
    slow = facts(city)
    assert {name: time + 95_000 for name, (time, _, _) in plain.items()} == {
        name: time for name, (time, _, _) in slow.items()
    }
    (span,) = recorded(city, Scope())["C01"].spans or ()
    assert span[0] == T0 + 95_000
    change_camera(city, "C01", lambda one: changed(one, 0, clock=0), apply_clock=True)
    assert facts(city) == plain
    assert ingest(city, short).added == 0


def test_nobody_seen_and_not_recorded_differ(
    city: City, short: Path, tmp_path: Path, draw_clip: Callable[..., Path],
    ingest: Callable[..., IngestReport],
) -> None:  # fmt: skip
    yard(city)
    yard(city, id="gate")
    first = ingest(city, short)
    empty = draw_clip(tmp_path / "empty.mp4", 0, frames=75)
    ingest(city, empty, camera="yard")
    length = 40 * (first.frames - 1) + 1
    window = Scope(start=T0, end=T0 + 2 * length)
    parts = recorded(city, window)
    assert parts["C01"].share == pytest.approx(0.5, abs=0.01)
    assert parts["yard"].during(T0, T0 + 1) and not parts["yard"].during(T0 + 4_000, T1)
    assert (parts["gate"].share, parts["gate"].spans) == (0.0, ())
    found = find(city, np.ones(12, np.float32), window, rerank=False)
    assert set(found.silent) == {"yard", "gate"} and found.recorded["gate"] == 0
    assert 0 < (found.recorded["yard"] or 0) < 1
    assert type(found).from_dict(found.as_dict()).recorded == dict(found.recorded)
    city.drop_before(T0 + 1_000)
    assert recorded(city, Scope(start=T0, end=T0 + 1_000))["C01"].share == 0


def test_gaps_in_a_clip_and_between_segments(city: City) -> None:
    for number, start in enumerate((T0, T0 + 61_000, T0 + 300_000)):
        gaps = ((start + 20_000, start + 30_000),) if number == 2 else ()
        write_clip(
            city,
            ClipRecord(
                name=f"{number:016d}", camera="C01", first=start, last=start + 60_000, gaps=gaps,
                state=STORED,
            ),
        )  # fmt: skip
    spans = recorded(city, Scope())["C01"].spans
    assert spans == (
        (T0, T0 + 121_001),
        (T0 + 300_000, T0 + 320_000),
        (T0 + 330_000, T0 + 360_001),
    )
    report = IngestReport(source="x")
    for time in [*range(0, 10_000, 40), *range(40_000, 42_000, 40)]:
        report.saw(time)
    assert report.gaps == [(9_961, 40_000)]
    slow = IngestReport(source="x")
    for time in range(0, 200_000, 20_000):  # a time lapse has no gaps
        slow.saw(time)
    assert len(slow.gaps) <= 1


@pytest.mark.parametrize(
    "start", ["1999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2190-01-01T00:00Z"]
)
def test_times_that_cannot_be_are_refused_unless_said_twice(
    city: City, short: Path, embedder: Embedder, start: str,
    ingest: Callable[..., IngestReport],
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=r"(before 2000|in the future).*--any-time"):
        ingest(city, short, start=start)
    assert clips_of(city) == [] and city.count() == 0
    assert ingest(city, short, start=start, any_time=True).added > 0
    crops = short.parent / "crops"
    crops.mkdir()
    for number, path in enumerate(sorted(city.crops.folder.rglob("*[0-9a-f].jpg"))[:2]):
        (crops / f"{number}.jpg").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="--any-time"):
        ingest_folder(city, crops, embedder=embedder, camera="C01", start=start, pictures="crops")
    more = {
        "pictures": "crops",
        "embedder": embedder,
        "camera": "C01",
        "start": start,
        "any_time": True,
    }
    assert ingest_folder(city, crops, **more).added == 2  # type: ignore[arg-type]


def test_a_clip_that_would_end_in_the_future_is_refused(
    city: City, short: Path, ingest: Callable[..., IngestReport], monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("passerby.times.AHEAD", 0)
    with pytest.raises(InputError, match="in the future"):
        ingest(city, short, start=now() - 1_000)
    assert ingest(city, short, start=now() - 60_000).added > 0


def said(*words: object) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out):
        status = main([str(word) for word in words])
    return status, out.getvalue()


def test_the_verbs_and_their_audit(
    city: City, short: Path, ingest: Callable[..., IngestReport], capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(city, short)
    listed = json.loads(said("admin", "clip", "list", city.folder, "--json")[1])
    name, count = listed[0]["name"], city.count()
    status, text = said("admin", "clip", "retime", city.folder, name, "--start", LATER, "--json")
    assert status == 0 and json.loads(text)["retimed"] == count
    new = json.loads(text)["now"]
    assert said("admin", "clip", "retime", city.folder, new, "--start", "1980-01-01T00:00Z")[0] == 2
    assert "before 2000" in capsys.readouterr().err
    one = city.gallery.latest(1)[0].id
    assert said("admin", "erase", city.folder, one, "--purpose", "asked by the person")[0] == 0
    status, text = said("admin", "clip", "delete", city.folder, new[:6], "--json")
    assert json.loads(text)["deleted"] == count - 1 and city.count() == 0
    assert said("admin", "clip", "delete", city.folder, new)[0] == 2
    lines = said("admin", "audit", "show", city.folder, "--json")[1].splitlines()
    entries = [json.loads(line) for line in reversed(lines)]
    actions = [entry["action"] for entry in entries]
    assert actions == ["clip_deleted", "sightings_erased", "clip_retimed"]
    assert entries[0]["details"]["deleted"] == count - 1
    assert said("admin", "audit", "verify", city.folder)[0] == 0
