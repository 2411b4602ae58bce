"""Recordings of many segments: nobody is cut at an edge, gaps are told, a killed run goes on."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from passerby.city import City
from passerby.city.city import UNFINISHED
from passerby.errors import InputError
from passerby.ingest import Detector, create_small_city, ingest_clip
from passerby.ingest.names import find_clips, read_pattern
from passerby.ingest.position import from_file, to_bytes
from passerby.ingest.recording import ingest_recording
from passerby.ingest.recording_report import RecordingReport
from passerby.ingest.segments import Segment, from_folder, from_names, from_playlist
from passerby.ingest.tracklets import TrackletBuilder
from passerby.runtime import Embedder

START = 1_777_593_600_000
SCRIPT = Path(__file__).parent / "recording_script.py"
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]
GOP = 20  # frames of a segment: each figure crosses an edge or two


@pytest.fixture(scope="session")
def segments(
    tmp_path_factory: pytest.TempPathFactory,
    draw_clip: Callable[..., Path],
    cut_clip: Callable[..., list[Path]],
) -> list[Path]:
    """Sixteen figures in eight segments, part2 before part10 by number."""
    folder = tmp_path_factory.mktemp("segments")
    (folder / "whole").mkdir()
    whole = draw_clip(folder / "whole" / "clip.mp4", 16, gop=GOP)
    return cut_clip(whole, [folder / f"part{5 + number}.ts" for number in range(20)])


@pytest.fixture
def ingest(detector: Detector, embedder: Embedder) -> Callable[..., RecordingReport]:
    def run(city: City, segments: list[Segment], **options: object) -> RecordingReport:
        return ingest_recording(
            city,
            segments,
            camera="C01",
            source="test",
            detector=detector,
            embedder=embedder,
            **options,  # type: ignore[arg-type]
        )

    return run


@pytest.fixture
def make_city(tmp_path: Path) -> Callable[[str], City]:
    return lambda name: create_small_city(tmp_path / name, camera="C01", place=(116.4, 39.9))


def all_ids(city: City) -> list[str]:
    count = city.count()
    return sorted(city.gallery.search(np.ones((1, 12), np.float32), max(count, 1))[0].ids)


def test_nobody_is_cut_at_the_edge_of_a_segment(
    segments: list[Path],
    ingest: Callable[..., RecordingReport],
    make_city: Callable[[str], City],
    detector: Detector,
    embedder: Embedder,
) -> None:
    city = make_city("city")
    report = ingest(city, from_folder(segments[0].parent, START))
    assert (report.tracklets, report.clip.decoded, report.done) == (16, 148, 8)
    assert report.recorded == [(START, START + 148 * 40)]
    assert report.added == report.sightings == city.count()
    assert not report.lost
    times = sorted(fact.time for fact in city.gallery.get(all_ids(city)))
    with make_city("one") as one:
        clip = segments[0].parent / "whole" / "clip.mp4"
        ingest_clip(one, clip, camera="C01", start=START, detector=detector, embedder=embedder)
        assert sorted(fact.time for fact in one.gallery.get(all_ids(one))) == times
    alone = 0
    for number, path in enumerate(segments):
        with make_city(str(number)) as cut:
            alone += ingest(cut, [Segment(path=path, start=START)]).tracklets
    assert alone > 16  # so that the test could fail


def test_done_segments_are_passed_over_and_new_ones_go_on(
    city: City, segments: list[Path], ingest: Callable[..., RecordingReport]
) -> None:
    whole = from_folder(segments[0].parent, START)
    first = ingest(city, whole[:5])
    second = ingest(city, whole)
    assert (second.before, second.done, second.segments) == (5, 3, 8)
    assert second.clip.decoded == 48
    assert second.recorded == [(START + 100 * 40, START + 148 * 40)]
    assert city.count() == first.added + second.added
    third = ingest(city, whole)
    assert (third.before, third.done, third.added) == (8, 0, 0)
    again = ingest(city, whole, again=True)
    assert (again.before, again.done) == (0, 8)


def test_gaps_overlaps_and_damage_are_told(
    city: City, segments: list[Path], ingest: Callable[..., RecordingReport], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"no video" * 99)
    report = ingest(
        city,
        [
            Segment(path=segments[0], start=START),
            Segment(path=segments[1], start=START + 1200, exact=1000),  # 0.4 s late: follows
            Segment(path=damaged, start=START + 1600),
            Segment(path=segments[2], start=START + 61_600),
            Segment(path=segments[3], start=START + 50_000),
            Segment(path=tmp_path / "gone.ts", missing="there is no file"),
        ],
    )
    assert any("nothing was recorded for 60.0 s before 'part7.ts'" in n for n in report.notices)
    assert any("12.4 s overlap" in notice for notice in report.notices)
    assert report.recorded == [
        (START, START + 1600),
        (START + 61_600, START + 62_400),
        (START + 50_000, START + 50_800),
    ]
    assert {Path(path).name for path in report.failed} == {"damaged.ts", "gone.ts"}
    assert report.lost


def test_names_place_the_segments(
    city: City, segments: list[Path], ingest: Callable[..., RecordingReport], tmp_path: Path
) -> None:
    """Frigate's names have whole seconds; segments that follow each other are one recording."""
    for number, path in enumerate(segments):
        hour = tmp_path / "2026-05-01" / "00" / "yard"
        hour.mkdir(parents=True, exist_ok=True)
        if number < 5:  # each begins in another second
            (hour / f"00.{number * 20 // 25:02d}.mp4").write_bytes(path.read_bytes())
    pattern = read_pattern("frigate")
    clips = find_clips(tmp_path, pattern).clips["yard"]
    assert [clip.start - START for clip in clips] == [0, 1000, 2000, 3000]
    report = ingest(city, from_names(clips, pattern.exact))
    assert report.recorded == [(START, START + 4 * 800)]


def test_a_long_clip_is_resumed_within(
    city: City,
    segments: list[Path],
    ingest: Callable[..., RecordingReport],
    monkeypatch: pytest.MonkeyPatch,
    make_city: Callable[[str], City],
) -> None:
    """Stopped by an error after each chunk: the frames before the position are not done again."""
    monkeypatch.setattr("passerby.ingest.recording.FRAMES_BETWEEN", 30)
    clip = [Segment(path=segments[0].parent / "whole" / "clip.mp4", start=START)]
    begun, stop = [], 0

    def interrupt(_: RecordingReport, report: object) -> None:
        begun[-1].append(report.frames)  # type: ignore[attr-defined]
        if report.frames >= stop:  # type: ignore[attr-defined]
            raise RuntimeError("stopped here")

    for stop in (60, 100, 999):
        begun.append([])
        try:
            report = ingest(city, clip, on_progress=interrupt)
        except RuntimeError:
            assert stop < 148
    assert [seen[0] for seen in begun] == [8, 38, 98]  # 8 after the positions 0, 30 and 90
    assert (report.frames, report.clip.decoded, report.tracklets) == (148, 148, 16)
    with make_city("clean") as clean:
        ingest(clean, clip)
        assert all_ids(city) == all_ids(clean)


def test_the_tracks_of_a_position_are_plain_data(tmp_path: Path) -> None:
    builder = TrackletBuilder()
    path = tmp_path / "tracks"
    path.write_bytes(to_bytes({"a": builder, (1, 2): np.arange(3), "n": [b"x", {1}, None]}))
    back = from_file(path)
    assert vars(back["a"]).keys() == vars(builder).keys()
    assert back[(1, 2)].tolist() == [0, 1, 2]
    assert back["n"] == [b"x", {1}, None]
    with pytest.raises(TypeError, match="cannot be kept"):
        to_bytes(subprocess.Popen)
    data = path.read_bytes().replace(b"passerby.ingest.tracklets", b"subprocess.abcdefghijklmn")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="cannot be used"):
        from_file(path)


def test_two_processes_do_not_ingest_one_recording(
    city: City,
    segments: list[Path],
    ingest: Callable[..., RecordingReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("passerby.ingest.position.PATIENCE", 0.1)
    clip = [Segment(path=segments[0], start=START)]

    def meanwhile(*_: object) -> None:
        with pytest.raises(InputError, match="another process"):
            ingest(city, clip)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(city, clip, on_progress=meanwhile)


def test_retention_removes_the_pictures_of_a_position(
    city: City, segments: list[Path], ingest: Callable[..., RecordingReport]
) -> None:
    def stop(report: RecordingReport, _: object) -> None:
        if report.done == 3:
            raise KeyboardInterrupt

    whole = from_folder(segments[0].parent, START)
    with pytest.raises(KeyboardInterrupt):
        ingest(city, whole, on_progress=stop)
    assert list((city.folder / UNFINISHED).glob("*.tracks"))
    city.drop_before(START)
    assert list((city.folder / UNFINISHED).glob("*.tracks"))
    city.drop_before(START + 60_000)
    assert not list((city.folder / UNFINISHED).glob("*.tracks"))
    report = ingest(city, whole)
    assert any("begun anew" in notice for notice in report.notices)
    assert (report.done, report.resumed, report.clip.decoded) == (8, 3, 148)


@dataclass(frozen=True)
class Playlist:
    lines: str
    starts: list[int | None]
    breaks: int = 0
    missing: int = 0


@pytest.mark.parametrize(
    "case",
    [
        Playlist(
            "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T00:00:00Z\n#EXTINF:0.8,\n0\n1\n", [START, None]
        ),
        Playlist("#EXTINF:1\n0\n#EXT-X-DISCONTINUITY\n1\n", [START, None], breaks=1),
        Playlist("0\n#EXT-X-GAP\n1\nnone.ts\n", [START, None, None], missing=2),
    ],
)
def test_playlists(case: Playlist, tmp_path: Path) -> None:
    for name in "01":
        (tmp_path / name).touch()
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n{case.lines}")
    found = from_playlist(path, None if "DATE" in case.lines else START)
    assert [segment.start for segment in found] == case.starts
    assert sum(segment.breaks for segment in found) == case.breaks
    assert sum(bool(segment.missing) for segment in found) == case.missing


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0\n", "first line must be #EXTM3U"),
        ("#EXTM3U\n", "names no segments"),
        ("#EXTM3U\n0\n", "give --start"),
        ("#EXTM3U\n#EXTINF:long,\n0\n", "line 2"),
        ('#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n0\n', "encrypted"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", "lists other playlists"),
        ("#EXTM3U\nhttps://host/0.ts\n", "on a server"),
        ("#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-05-01T00:00:00\n0\n", "no time zone"),
    ],
)
def test_playlists_that_cannot_be_read(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        from_playlist(path)


@pytest.mark.parametrize("kind", ["mpegts", "fmp4", "single"])
def test_a_playlist_as_ffmpeg_writes_it(
    kind: str,
    city: City,
    segments: list[Path],
    ingest: Callable[..., RecordingReport],
    tmp_path: Path,
) -> None:
    """Transport stream, fragments of MP4 with their head apart, and byte ranges of one file."""
    clip = segments[0].parent / "whole" / "clip.mp4"
    flags = ["-hls_flags", "program_date_time" + ("+single_file" if kind == "single" else "")]
    form = ["-hls_segment_type", "fmp4" if kind == "fmp4" else "mpegts"]
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-hls_time", "0.8"]
    command += ["-hls_list_size", "0", *form, *flags, str(tmp_path / "list.m3u8")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("ffmpeg is not installed (Debian: apt-get install ffmpeg)")
    found = from_playlist(tmp_path / "list.m3u8", START)
    assert len(found) == 8
    report = ingest(city, found)
    assert (report.clip.decoded, report.tracklets, len(report.recorded)) == (148, 16, 1)


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=SLOW)])
def test_kill_of_a_recording_changes_nothing(
    times: int,
    segments: list[Path],
    ingest: Callable[..., RecordingReport],
    make_city: Callable[[str], City],
    tmp_path: Path,
) -> None:
    """A real process, killed -9 at random moments, again and again until one comes to its end."""
    folder = tmp_path / "city"
    make_city("city").close()
    rng, killed, redone = random.Random(times), 0, []
    while killed < times:
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(segments[0].parent)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        begun = [child.stdout.readline() for _ in range(1 + rng.randrange(2))]
        time.sleep(rng.random() * 0.3)
        os.kill(child.pid, signal.SIGKILL)
        begun += child.stdout.read().splitlines()
        child.wait()
        killed += 1
        redone.append([line.strip() for line in begun if line.strip()])
        if "end" in redone[-1]:
            break
    with City.open(folder) as city:
        report = ingest(city, from_folder(segments[0].parent, START), again=False)
        with make_city("whole") as whole:
            ingest(whole, from_folder(segments[0].parent, START))
            assert all_ids(city) == all_ids(whole)
        assert city.gallery.verify() == []
    assert report.done + report.before == 8
    for before, after in itertools.pairwise(redone):
        again = [name for name in after if name in before]
        assert len(again) <= 1, "more than one segment was done again"
