"""Real clips and networks: the people of a clip are found again later in it.

The truth is the clip's own plan: in `one-by-one` never two people are in view, so the frame
number says who it is (read off the clip by eye).
"""

import json
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.city import City, Scope
from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest import (
    ClipOptions,
    Detector,
    TrackletOptions,
    create_small_city,
    find_people,
    ingest_clip,
    read_person,
)
from passerby.ingest.crops import cut
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder
from passerby.times import parse_time

pytestmark = pytest.mark.real
DETECTOR, NETWORK = "person-detection-retail-0013", "person-reidentification-retail-0288"
START = 1_777_593_600_000
PEOPLE = ((60, 200), (228, 450), (505, 700), (745, 870), (920, 1195), (1235, 1365))  # frames
RATE = 10  # frames a second
SHORT = TrackletOptions(max_tracklet_ms=5_000)  # everyone stays for longer than one part


@pytest.fixture(scope="module")
def detector(real: Path) -> Detector:
    return Detector.load(real / "models" / DETECTOR / f"{DETECTOR}.xml")


@pytest.fixture(scope="module")
def embedder(real: Path) -> Embedder:
    return Embedder.load(real / "models" / NETWORK / f"{NETWORK}.xml")


@pytest.fixture(scope="module")
def city(
    real: Path, detector: Detector, embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> City:
    """Both clips in one camera, an hour apart; the second brings seven more people."""
    city = create_small_city(tmp_path_factory.mktemp("real"), camera="C01", place=(116.4, 39.9))
    clips = (("one-by-one-person-detection.mp4", 0, 8), ("people-detection.264", 3_600_000, 6))
    for name, offset, every in clips:
        report = ingest_clip(
            city,
            real / "clips" / name,
            camera="C01",
            start=START + offset,
            detector=detector,
            embedder=embedder,
            options=ClipOptions(every=every, tracklets=SHORT),
        )
        assert report.added == report.sightings
    return city


def person_at(time: int) -> int:
    """Who is in view of the first clip; -1 for nobody, -2 in the second clip."""
    frame = (time - START) * RATE / 1000
    if frame > 1400:
        return -2
    return next((i for i, (low, high) in enumerate(PEOPLE) if low <= frame <= high), -1)


def test_everyone_is_seen_and_nobody_else(city: City) -> None:
    everything = city.gallery.search(np.ones((1, 256), np.float32), city.count())[0]
    facts = city.gallery.get(everything.ids)
    seen = {person_at(fact.time) for fact in facts}
    assert seen == {*range(len(PEOPLE)), -2}
    second = [fact.tracklet for fact in facts if person_at(fact.time) == -2]
    assert 6 <= len(set(second)) <= 9  # seven people, seen by eye
    by_tracklet: dict[str, set[int]] = {}
    for fact in facts:
        by_tracklet.setdefault(fact.tracklet, set()).add(person_at(fact.time))
    assert all(len(people) == 1 for people in by_tracklet.values())


def test_an_early_crop_finds_the_person_later(
    real: Path, city: City, detector: Detector, embedder: Embedder
) -> None:
    clip = open_clip(real / "clips" / "one-by-one-person-detection.mp4")
    queries: dict[int, tuple[int, np.ndarray]] = {}
    for frame in clip.frames(START, every=4):
        person = person_at(frame.time)
        if person in queries or person < 0 or frame.index < PEOPLE[person][0] + 10:
            continue
        found = detector.detect([frame.image])[0].above(0.8)
        if len(found):
            queries[person] = frame.time, cut(frame.image, found.boxes[0])
    assert sorted(queries) == list(range(len(PEOPLE)))
    vectors = embedder.embed([queries[person][1] for person in range(len(PEOPLE))])
    first, precision = [], []
    for person, hits in enumerate(city.gallery.search(vectors, city.count())):
        facts = city.gallery.get(hits.ids)
        later = [f for f in facts if f.time >= queries[person][0] + 2_000]
        right = np.array([person_at(fact.time) == person for fact in later])
        assert right.any()
        first.append(bool(right[0]))
        places = np.flatnonzero(right)
        precision.append(float(np.mean((np.arange(len(places)) + 1) / (places + 1))))
    assert all(first), first  # the nearest sighting outside the query's own tracklet
    assert np.mean(precision) > 0.85, precision


def test_a_second_run_adds_nothing(
    real: Path, city: City, detector: Detector, embedder: Embedder
) -> None:
    before = city.count()
    report = ingest_clip(
        city,
        real / "clips" / "people-detection.264",
        camera="C01",
        start=START + 3_600_000,
        detector=detector,
        embedder=embedder,
        options=ClipOptions(every=6, tracklets=SHORT),
    )
    assert (report.added, city.count()) == (0, before)
    assert any("25 frames a second" in notice for notice in report.notices)


def test_the_times_of_a_tracklet_go_forward(city: City) -> None:
    ids = city.gallery.search(np.ones((1, 256), np.float32), city.count())[0].ids
    tracklets = {fact.tracklet for fact in city.gallery.get(ids)}
    for facts in city.gallery.tracklets(sorted(tracklets)).values():
        assert all(a.time < b.time for a, b in pairwise(facts))
        parts = 1 + (facts[-1].time - facts[0].time) // SHORT.max_tracklet_ms
        assert len(facts) <= 4 * (parts + 1)


def test_find_people(real: Path, detector: Detector) -> None:
    clip = open_clip(real / "clips" / "one-by-one-person-detection.mp4")
    empty, someone = (frame.image for frame in islice(clip.frames(every=300), 2))
    found = find_people(someone, detector)
    assert len(found) == 1
    assert found.scores[0] > 0.8
    x0, y0, x1, y1 = found.boxes[0]
    assert 0 <= x0 < x1 <= 768
    assert 0 <= y0 < y1 <= 432
    assert y1 - y0 > 150
    height, width = read_person(someone, detector).shape[:2]
    assert abs(height - (y1 - y0)) <= 1
    assert abs(width - (x1 - x0)) <= 1
    with pytest.raises(InputError, match="no person"):
        read_person(empty, detector)


def test_wrong_networks_are_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a person detector"):
        Detector.load(real / "models" / NETWORK / f"{NETWORK}.xml")
    with pytest.raises(InputError, match="no network file"):
        Detector.load(tmp_path / "none.xml")
    with pytest.raises(InputError, match="must be"):
        Detector.load(tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"card\.json"):
        Embedder.load(real / "models" / DETECTOR / f"{DETECTOR}.xml")


def test_questions_with_whole_pictures(
    real: Path, city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = {}
    for name, clip, every in (
        ("one", "one-by-one-person-detection.mp4", 300),
        ("three", "people-detection.264", 360),
    ):
        for number, frame in enumerate(
            islice(open_clip(real / "clips" / clip).frames(every=every), 2)
        ):
            frames[name, number] = tmp_path / f"{name}{number}.png"
            Image.fromarray(frame.image).save(frames[name, number])
    models = {"--detector": DETECTOR, "--model": NETWORK}
    options = [
        word
        for option, name in models.items()
        for word in (option, str(real / "models" / name / f"{name}.xml"))
    ]

    def ask(picture: Path, *words: str) -> tuple[int, str, str]:
        status = main(["search", str(city.folder), str(picture), *options, "--json", *words])
        return status, *capsys.readouterr()

    status, out, _ = ask(frames["one", 1])
    assert status == 0
    assert person_at(parse_time(json.loads(out)["matches"][0]["time"], "a match")) == 1
    status, out, err = ask(frames["one", 0])
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "one0.png': no person was found" in err
    status, out, err = ask(frames["three", 1])
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "shows 3 people: 1 at x 188..309" in err
    assert "--person N" in err
    assert ask(frames["three", 1], "--person", "3")[0] == 0
    assert "no person 4" in ask(frames["three", 1], "--person", "4")[2]


def test_command_line(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "city"
    fixed = [
        *("ingest", str(real / "clips" / "people-detection.264"), "--city", str(folder)),
        *("--detector", str(real / "models" / DETECTOR / f"{DETECTOR}.xml")),
        *("--model", str(real / "models" / NETWORK / f"{NETWORK}.xml"), "--every", "24"),
    ]
    here = ["--camera", "C01", "--start", "2026-05-01T08:00:00+08:00"]
    assert main([*fixed, *here]) == 2
    assert "--create-city" in capsys.readouterr().err
    new = ["--create-city", "--place", "116.4", "39.9"]
    assert main([*fixed, *here, *new]) == 0
    assert capsys.readouterr().out.startswith("25 of 596 frames, ")
    with City.open(folder) as city:
        assert city.count(Scope(cameras=("C01",))) > 0
    wrong = [["--start", "2026-05-01T08:00:00"], ["--camera", "C09"]]
    for options in wrong:
        assert main([*fixed, *here, *options]) == 2
        assert capsys.readouterr().err.strip().count("\n") == 0
