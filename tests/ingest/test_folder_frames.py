"""Folders of whole frames: told from crops, looked at by a detector, timed by EXIF, stored once."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Exif

from passerby.city import City, Scope
from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest import ClipOptions, Detector, ingest_folder
from passerby.ingest.jobs import Job
from passerby.ingest.jobs_worker import Ingester, SurroundingsError
from passerby.ingest.picture_files import PictureFile, sort_pictures
from passerby.runtime import Embedder, read_image
from passerby.times import parse_time
from tests.ingest.toy_networks import RedFinder, scene, ssd, write

START = "2026-05-01T08:00:00+08:00"
FACTS = {"camera": "C01", "start": START}
COLOURS = [(220, 40, 40), (40, 60, 220), (30, 190, 60), (200, 190, 30)]
TAKEN, OFFSET, FRACTION = 0x9003, 0x9011, 0x9291


def exif(taken: str, offset: str = "", fraction: str = "", orientation: int = 1) -> Exif:
    data = Exif()
    inner = data.get_ifd(0x8769)
    inner[TAKEN] = taken
    if offset:
        inner[OFFSET] = offset
    if fraction:
        inner[FRACTION] = fraction
    data[0x0112] = orientation
    return data


def frame(*people: tuple[int, int], size: tuple[int, int] = (160, 320)) -> Image.Image:
    """A grey scene with people, (number, left edge), 30 x 80 pixels each."""
    image = np.full((*size, 3), 120, np.uint8)
    for number, left in people:
        image[40:120, left : left + 30] = COLOURS[number]
    return Image.fromarray(image)


def crop(number: int) -> Image.Image:
    return Image.fromarray(np.full((128, 64, 3), COLOURS[number], np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


@pytest.fixture
def bring(city: City, folder: Path, embedder: Embedder, detector: Detector) -> Callable[..., Any]:
    def run(**options: Any) -> Any:
        return ingest_folder(
            city, folder, embedder=embedder, **{**FACTS, "detector": detector, **options}
        )

    return run


def sizes(city: City) -> list[tuple[int, int]]:
    return sorted(Image.open(path).size for path in city.folder.rglob("*.jpg"))


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        ((64, 128), False),
        ((128, 256), False),
        ((200, 230), False),
        ((479, 1200), False),
        ((768, 432), True),
        ((256, 256), True),
        ((1080, 1920), True),
        ((480, 640), True),
        ((360, 640), True),
        ((288, 352), True),
    ],
    ids=str,
)
def test_shape_and_size_tell_frames_from_crops(size: tuple[int, int], whole: bool) -> None:
    assert PictureFile(path=Path("a"), width=size[0], height=size[1]).whole_frame == whole


def test_orientation_counts(folder: Path) -> None:
    crop(0).transpose(Image.Transpose.ROTATE_90).save(
        folder / "turned.jpg", exif=exif("2026:05:01 08:00:00", orientation=6)
    )
    assert Image.open(folder / "turned.jpg").size == (128, 64)
    found = sort_pictures(folder)
    assert [(one.width, one.height) for one in found.crops] == [(64, 128)]
    assert not found.frames


def test_people_are_cut_out_of_frames(city: City, folder: Path, bring: Callable[..., Any]) -> None:
    frame((0, 50), (1, 200)).save(folder / "a.png")
    frame((2, 100)).save(folder / "b.png")
    frame().save(folder / "empty.png")
    report = bring()
    assert (report.rows, report.done, report.frames) == (3, 3, 3)
    assert (report.people, report.added) == (3, 3)
    assert sizes(city) == [(30, 80)] * 3
    said = " ".join(report.notices)
    assert "frames with nobody found: 1 of 3" in said
    assert "frames without an EXIF time, all at --start: 3; with --rate" in said
    assert city.count(Scope(start=parse_time(START), end=parse_time(START) + 1)) == 3
    again = bring()
    assert (again.people, again.added) == (3, 0)
    frame((3, 20)).save(folder / "c.png")  # the folder grows
    assert bring().added == 1
    assert city.count() == 4


def test_whole_frames_are_never_stored_as_people(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    for number in range(3):
        crop(number).save(folder / f"crop{number}.jpg")
    frame((0, 50)).save(folder / "frame.png")
    with pytest.raises(
        InputError, match=r"1 of 4, such as 'frame.png' \(320 x 160 pixels\).*--detector"
    ):
        bring(detector=None)
    assert city.count() == 0
    report = bring()
    assert (report.rows, report.frames, report.people, report.added) == (4, 1, 1, 4)
    assert any(
        note.startswith("crops: 3; whole frames among the pictures: 1 of 4")
        for note in report.notices
    )
    assert (320, 160) not in sizes(city)


def test_what_pictures_are_can_be_said(
    city: City, folder: Path, bring: Callable[..., Any], detector: Detector
) -> None:
    frame((0, 50)).save(folder / "a.jpg")
    frame((0, 5), size=(160, 64)).save(folder / "b.png")  # has the shape of a crop
    assert bring(pictures="crops", detector=None).frames == 0
    assert sizes(city) == [(64, 160), (320, 160)]
    assert bring(pictures="frames").frames == 2


def test_exif_times_with_a_zone_need_no_start(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    taken = exif("2026:05:02 10:30:00", "+08:00", "25")
    frame((0, 50)).save(folder / "a.jpg", exif=taken, quality=95)
    crop(1).save(folder / "b.jpg", exif=exif("2026:05:02 10:31:00", "+08:00"))
    report = bring(start=None)
    assert report.added == 2
    moment = parse_time("2026-05-02T02:30:00.250Z")
    assert city.count(Scope(start=moment, end=moment + 1)) == 1
    minute = parse_time("2026-05-02T02:31:00Z")
    assert city.count(Scope(start=minute, end=minute + 1)) == 1
    assert "pictures at their EXIF time: 2 of 2" in report.notices


def test_exif_times_without_a_zone_take_that_of_start_or_of_the_city(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    crop(0).save(folder / "a.jpg", exif=exif("2026:05:02 10:30:00"))
    with pytest.raises(InputError, match=r"no zone: 1 of 1, such as 'a\.jpg'.*time_zone=ZONE"):
        bring(start=None)
    assert city.count() == 0
    report = bring(start="2026-05-01T00:00:00-03:00")
    assert "UTC-03:00, as --start has it" in report.notices[0]
    moment = parse_time("2026-05-02T13:30:00Z")
    assert city.count(Scope(start=moment, end=moment + 1)) == 1
    city.set_setting("service", {"time_zone": "Asia/Shanghai"})
    report = bring(start=None)
    assert "Asia/Shanghai, the city's" in report.notices[0]
    moment = parse_time("2026-05-02T02:30:00Z")
    assert city.count(Scope(start=moment, end=moment + 1)) == 1


def test_pictures_without_a_time_need_a_start(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    crop(0).save(folder / "20260502_103000.jpg")  # a name is no time
    with pytest.raises(InputError, match=r"without an EXIF time: 1 of 1.*which camera"):
        bring(start=None)
    crop(1).save(folder / "b.jpg", exif=exif("0000:00:00 00:00:00"))
    assert bring().added == 2
    assert city.count(Scope(start=parse_time(START), end=parse_time(START) + 1)) == 2


def test_impossible_exif_times_are_left_out_and_said(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    crop(0).save(folder / "old.jpg", exif=exif("1970:01:01 00:00:00", "+00:00"))
    later = datetime.now(UTC).year + 2
    frame((0, 50)).save(folder / "new.jpg", exif=exif(f"{later}:01:01 00:00:00", "+00:00"))
    crop(2).save(folder / "right.jpg", exif=exif("2026:05:01 00:00:00", "+00:00"))
    report = bring()
    assert {Path(path).name for path in report.problems} == {"old.jpg", "new.jpg"}
    assert all("cannot be right" in why for why in report.problems.values())
    assert (report.rows, report.done, report.added) == (3, 3, 1)


@pytest.mark.parametrize("by", ["rate", "exif"])
def test_frames_with_times_of_their_own_are_tracked(
    city: City, folder: Path, bring: Callable[..., Any], by: str
) -> None:
    for number in range(20):
        taken = f"2026:05:01 08:00:{number // 4:02}"
        data = exif(taken, "+08:00", f"{250 * (number % 4):03}") if by == "exif" else Exif()
        frame((0, 20 + 12 * number)).save(folder / f"{number:03}.jpg", exif=data, quality=95)
    report = bring(options=ClipOptions(rate=4.0)) if by == "rate" else bring(start=None)
    assert 0 < report.people <= 4
    names = {one.tracklet for one in city.gallery.latest(100)}
    assert len(names) == 1 and "" not in names
    assert (bring(options=ClipOptions(rate=4.0)) if by == "rate" else bring(start=None)).added == 0


def test_every_nth_frame_is_counted(city: City, folder: Path, bring: Callable[..., Any]) -> None:
    for number in range(4):
        frame((number, 20 + 60 * number)).save(folder / f"{number}.png")
    report = bring(options=ClipOptions(every=2))
    assert (report.rows, report.done, report.frames, report.people) == (4, 4, 2, 2)
    assert "frames left out by --every 2: 2" in report.notices


def test_other_options_do_not_bring_the_same_people_twice(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    frame((0, 50)).save(folder / "a.png")
    bring()
    with pytest.raises(InputError, match="in the city already, read with another enhance"):
        bring(options=ClipOptions(enhance=False))


def test_small_and_unreadable_ones_are_said(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    image = np.asarray(frame((0, 50))).copy()
    image[20:50, 200:220] = COLOURS[1]
    Image.fromarray(image).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"no picture")
    whole = folder / "c.jpg"
    frame((1, 90)).save(whole)
    whole.write_bytes(whole.read_bytes()[:-200])  # the header is there, the rest is cut off
    report = bring()
    assert {Path(path).name for path in report.problems} == {"b.jpg", "c.jpg"}
    assert any("smaller than 12 x 40 pixels, not stored: 1" in note for note in report.notices)
    assert (report.rows, report.done, report.frames, report.added) == (3, 3, 1, 1)


def test_a_turned_frame_is_looked_at_upright(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    turned = frame((0, 50)).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "a.png", exif=exif("2026:05:01 08:00:00", "+08:00", orientation=6))
    assert read_image(folder / "a.png").shape[:2] == (160, 320)
    assert bring(start=None).people == 1
    assert sizes(city) == [(30, 80)]


def test_the_verb_refuses_frames_in_which_nobody_is(
    city: City, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network = RedFinder((160, 320), ssd(1), bgr=True, white=255.0)
    path = write(network, tmp_path / "finder.onnx", ["detection_out"])
    city.close()
    frame().save(folder / "a.png")
    command = ["ingest", str(folder), "--city", str(city.folder), "--camera", "C01"]
    command += ["--start", START, "--detector", str(path)]
    assert main(command) == 2
    assert "(frames: 1), and nothing is stored" in capsys.readouterr().err
    Image.fromarray(scene((160, 320), (50, 40, 80, 120))).save(folder / "b.png")
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["people"]) == (2, 1)


def test_a_detector_that_is_not_used_is_said(
    city: City, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city.close()
    crop(0).save(folder / "a.png")
    command = ["ingest", str(folder), "--city", str(city.folder), "--camera", "C01"]
    assert main([*command, "--start", START, "--detector", "any.xml"]) == 0
    assert "so --detector is not used" in capsys.readouterr().err


def test_a_worker_without_a_detector_leaves_frames_to_others(
    city: City, folder: Path, embedder: Embedder, detector: Detector
) -> None:
    frame((0, 50)).save(folder / "a.png")
    job = Job(source=str(folder), camera="C01", start=parse_time(START))
    assert job.id != replace(job, pictures="crops").id
    with pytest.raises(SurroundingsError, match=r"1 of 1.*a worker with --detector"):
        Ingester(city, embedder, None)(job, lambda _: None)
    assert Ingester(city, embedder, detector)(job, lambda _: None)["people"] == 1


def test_somebody_seen_once_in_slow_frames_is_stored(
    city: City, folder: Path, bring: Callable[..., Any]
) -> None:
    for number in range(3):
        frame((number, 20 + 110 * number)).save(folder / f"{number}.png")
    assert bring(options=ClipOptions(rate=1.0)).people == 3
    assert len({one.tracklet for one in city.gallery.latest(10)}) == 3
