"""A clip in a city: complete, once, durable, whatever is killed when."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passerby.city import Calibration, City, Scope, find, trace
from passerby.errors import InputError
from passerby.ingest import ClipOptions, Detector, TrackletOptions, create_small_city, ingest_clip
from passerby.runtime import Embedder

START = "2026-05-01T08:00:00+08:00"
CONFTEST = Path(__file__).parent / "conftest.py"


@pytest.fixture
def ingest(detector: Detector, embedder: Embedder) -> Callable:
    def run(city: City, path: Path, camera: str = "C01", start: str = START, **options: object):
        return ingest_clip(
            city,
            path,
            camera=camera,
            start=start,
            detector=detector,
            embedder=embedder,
            options=ClipOptions(**options),  # type: ignore[arg-type]
        )

    return run


def all_ids(city: City) -> list[str]:
    count = city.count()
    return sorted(city.gallery.search(np.ones((1, 12), np.float32), max(count, 1))[0].ids)


def test_every_person_becomes_one_tracklet(city: City, clip: Path, ingest: Callable) -> None:
    report = ingest(city, clip)
    assert (report.tracklets, report.frames) == (16, 148)
    assert report.added == report.sightings == city.count()
    facts = city.gallery.get(all_ids(city))
    assert len({fact.tracklet for fact in facts}) == 16
    assert {fact.camera for fact in facts} == {"C01"}
    assert all(fact.unit == city.cameras["C01"].unit for fact in facts)
    start = 1_777_593_600_000
    for fact in facts:
        frame = int(fact.id.rsplit("-", 1)[1])
        assert fact.time == start + 40 * frame
        assert fact.crop in city.crops
        assert fact.box is not None
        assert 0 < fact.quality <= 1
    per_tracklet = np.unique([fact.tracklet for fact in facts], return_counts=True)[1]
    assert 2 <= per_tracklet.min() <= per_tracklet.max() <= 4
    assert set(report.seconds) == {"decode", "detect", "track", "store"}


def test_crops_of_a_tracklet_find_each_other(
    city: City, clip: Path, ingest: Callable, embedder: Embedder
) -> None:
    """The stored vector is that of the stored crop, and people do not mix."""
    ingest(city, clip)
    ids = all_ids(city)
    facts = dict(zip(ids, city.gallery.get(ids), strict=True))
    vectors = embedder.embed([city.crops.path(facts[name].crop) for name in ids])
    assert np.abs(vectors - city.gallery.vectors(ids)).max() < 1e-3  # stored in half precision
    for name, hits in zip(ids, city.gallery.search(vectors, 2), strict=True):
        assert facts[hits.ids[1]].tracklet == facts[name].tracklet


def test_a_second_run_adds_nothing(city: City, clip: Path, ingest: Callable) -> None:
    first = ingest(city, clip)
    before = all_ids(city)
    second = ingest(city, clip)
    assert (second.added, second.sightings) == (0, first.sightings)
    assert all_ids(city) == before


def test_ids_depend_on_camera_time_and_content(
    tmp_path: Path, clip: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    cities = [
        create_small_city(tmp_path / str(i), camera=camera, place=(116.4, 39.9))
        for i, camera in enumerate(("C01", "C01", "C02", "C01"))
    ]
    later = "2026-05-01T09:00:00+08:00"
    other = draw_clip(tmp_path / "other.mp4", 14)
    ingest(cities[0], clip)
    ingest(cities[1], clip, start=later)
    ingest(cities[2], clip, camera="C02")
    ingest(cities[3], other)
    names = [set(all_ids(city)) for city in cities]
    assert all(not (a & b) for i, a in enumerate(names) for b in names[:i])


def test_the_same_clip_with_other_options_is_refused(
    city: City, clip: Path, ingest: Callable
) -> None:
    ingest(city, clip)
    with pytest.raises(InputError, match="already, read with every 1"):
        ingest(city, clip, every=2)
    city.delete(Scope(cameras=("C01",)))
    assert ingest(city, clip, every=2).added > 0


def test_every_nth_frame_still_finds_everyone(city: City, clip: Path, ingest: Callable) -> None:
    report = ingest(city, clip, every=3)
    assert (report.frames, report.tracklets) == (50, 16)


def test_the_parts_of_a_long_stay_are_one_person_on_the_path(
    city: City, clip: Path, ingest: Callable
) -> None:
    """Each figure is cut into three parts; a path from one crop holds all, in one visit."""
    report = ingest(city, clip, tracklets=TrackletOptions(max_tracklet_ms=480))
    ids = all_ids(city)
    facts = city.gallery.get(ids)
    assert report.tracklets == len({fact.tracklet for fact in facts}) == 16
    first = facts[0]
    own = {fact.id for fact in facts if fact.tracklet == first.tracklet}
    assert len(own) > 4  # more than one part can have
    strict = Calibration(slope=100.0, intercept=-97.0)  # colours are much alike
    path = trace(city, city.gallery.vectors([first.id]), Scope(), calibration=strict)
    (visit,) = path.visits
    assert own <= {one.id for one in visit.sightings}  # figures of like colours may be among them
    matches = find(city, city.gallery.vectors([first.id]), Scope(), k=1, per="tracklet").matches
    assert {matches[0].sighting.id, *matches[0].members} <= own


def test_fixed_objects_are_counted_and_said(
    city: City, tmp_path: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    """Two coloured posts stand for three seconds, beside a figure that walks."""
    path = draw_clip(tmp_path / "posts.mp4", 1, frames=75, posts=2)
    report = ingest(city, path, tracklets=TrackletOptions(fixed_ms=1000, max_tracklet_ms=500))
    assert (report.fixed_objects, report.tracklets) == (2, 1)
    assert any("2 fixed objects were left out" in notice for notice in report.notices)


def test_a_clip_without_people_says_so(
    city: City, draw_clip: Callable[..., Path], tmp_path: Path, ingest: Callable
) -> None:
    report = ingest(city, draw_clip(tmp_path / "empty.mp4", 0, frames=20))
    assert (report.sightings, report.frames, city.count()) == (0, 20, 0)
    assert any("no person was found" in notice for notice in report.notices)


def test_a_damaged_clip_says_how_far_it_could_be_read(
    city: City, tmp_path: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    import av

    whole = draw_clip(tmp_path / "whole.mp4", 8)
    path = tmp_path / "cut.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):  # the index in front, so that a cut-off file still opens
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = ingest(city, path)
    assert 0 < report.frames == report.clip.decoded < 200
    assert report.clip.missing > 0
    assert report.clip.lost
    assert any("cut off or damaged" in notice for notice in report.notices)


def test_parts_joined_into_one_clip_are_all_read(
    city: City, tmp_path: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    part = draw_clip(tmp_path / "part.ts", 2, frames=40).read_bytes()
    alone = ingest(city, tmp_path / "part.ts")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    report = ingest(city, joined, start="2026-05-01T09:00:00+08:00")
    assert (report.frames, report.clip.decoded) == (80, 80)
    assert report.tracklets >= 2 * alone.tracklets > 0
    assert any("begin again at frame 40" in notice for notice in report.notices)
    assert report.as_dict()["clip"]["decoded"] == 80


def test_bad_input(city: City, clip: Path, ingest: Callable) -> None:
    with pytest.raises(InputError, match="no camera 'C09'"):
        ingest(city, clip, camera="C09")
    with pytest.raises(InputError, match="time zone"):
        ingest(city, clip, start="2026-05-01T08:00:00")
    with pytest.raises(InputError, match="no clip"):
        ingest(city, clip.with_name("none.mp4"))
    with pytest.raises(InputError, match="1 or more"):
        TrackletOptions(crops=0)
    assert city.count() == 0


def test_another_network_is_refused_before_the_work(
    city: City, clip: Path, ingest: Callable, detector: Detector, embedder: Embedder
) -> None:
    ingest(city, clip)
    other = Embedder(embedder.backend, embedder.card, "colour-2")
    with pytest.raises(InputError, match="colour-1"):
        ingest_clip(city, clip, camera="C01", start=START, detector=detector, embedder=other)


@pytest.mark.parametrize("acknowledged", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_kill_loses_no_acknowledged_sighting(
    acknowledged: int, tmp_path: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    """A real process, killed -9 after its n-th durable batch, in the middle of its work."""
    path = draw_clip(tmp_path / "many.mp4", 44, gap=8)
    folder = tmp_path / "city"
    create_small_city(folder, camera="C01", place=(116.4, 39.9)).close()
    child = subprocess.Popen(
        [sys.executable, str(CONFTEST), str(folder), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told: list[str] = []
    for _ in range(acknowledged):
        told += child.stdout.readline().split()
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.read().split()  # what it said while the signal was on its way
    assert child.wait() == -signal.SIGKILL
    assert told
    with City.open(folder) as city:
        assert {fact.id for fact in city.gallery.get(told)} == set(told)
        assert city.gallery.verify() == []
        before = city.count()
        report = ingest(city, path)
        assert report.added == report.sightings - before > 0
        assert report.tracklets == 44
        whole = create_small_city(tmp_path / "whole", camera="C01", place=(116.4, 39.9))
        ingest(whole, path)
        assert all_ids(city) == all_ids(whole)
