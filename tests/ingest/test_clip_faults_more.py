"""More faults of containers and codecs: what FFmpeg drops or doubles without a word is counted.

Clips are made as in ``test_clip_faults``: each frame shows its number.
"""

import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from passerby.errors import InputError
from passerby.ingest.excerpts import cut_excerpt
from passerby.ingest.joined import parts_of
from passerby.ingest.video import open_clip
from tests.ingest.test_clip_faults import FRAGMENTS, read, write

CRISP = {"crf": "12"}


def ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base.mp4", range(100), bf="2", g="25", **CRISP)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Without frames that others need in advance."""
    return write(tmp_path / "plain.mp4", range(100), bf="0", g="25", sc_threshold="0", **CRISP)


X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:crf=12")
OTHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "10 bit": (".mp4", (*X265, "-pix_fmt", "yuv420p10le")),
    "4:4:4": (".mp4", ("-pix_fmt", "yuv444p", "-crf", "12")),
    "4:2:2 of 10 bit": (".mkv", ("-pix_fmt", "yuv422p10le", "-crf", "12")),
    "grey": (".mkv", ("-pix_fmt", "gray", "-crf", "12")),
    "rgb": (".mkv", ("-c:v", "libx264rgb", "-crf", "12")),
    "odd sides": (".mkv", ("-vf", "scale=321:161", "-pix_fmt", "yuv444p", "-crf", "12")),
    "with alpha": (".avi", ("-c:v", "png", "-pix_fmt", "rgba")),
    "hevc in ts": (".ts", X265),
    "vp9 with hidden frames": (
        ".webm", ("-c:v", "libvpx-vp9", "-b:v", "2M", "-deadline", "realtime", "-cpu-used", "8",
                  "-auto-alt-ref", "1", "-lag-in-frames", "16"),
    ),
    "theora": (".ogv", ("-c:v", "libtheora", "-q:v", "8")),
    "asf": (".wmv", ("-c:v", "wmv2", "-b:v", "2M")),
    "mpeg1 program stream": (".mpg", ("-c:v", "mpeg1video", "-b:v", "2M", "-bf", "2")),
    "mxf": (".mxf", ("-c:v", "mpeg2video", "-b:v", "4M", "-bf", "2")),
    "interlaced h264": (".ts", ("-c:v", "libx264", "-crf", "12", "-flags", "+ildct+ilme")),
    "interlaced mpeg2": (".ts", ("-c:v", "mpeg2video", "-b:v", "3M", "-flags", "+ildct+ilme")),
    "wrongly flagged as interlaced": (
        ".mkv", ("-c:v", "libx264", "-crf", "12", "-x264-params", "fake-interlaced=1"),
    ),
    "dv": (".avi", ("-c:v", "dvvideo", "-vf", "scale=720:576", "-pix_fmt", "yuv420p")),
    "live mkv without durations": (".mkv", ("-c", "copy", "-live", "1")),
    "begins before zero": (
        ".ts", ("-c", "copy", "-output_ts_offset", "-0.7", "-avoid_negative_ts", "disabled"),
    ),
    "flv with B-frames, copied": (".flv", ("-c", "copy")),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_every_frame_stands_at_its_own_time(kind: str, base: Path, tmp_path: Path) -> None:
    ending, options = OTHERS[kind]
    path = tmp_path / f"made{ending}"
    ffmpeg("-i", base, *options, path)
    numbers, times, counts = read(path)
    assert numbers == list(range(100))
    assert times == [40 * n for n in range(100)]
    assert not counts.lost and counts.decoded == 100 and counts.notices == []


def test_uneven_times_are_kept(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    ffmpeg(
        "-i",
        base,
        "-vf",
        "select='not(mod(n,7))+gt(n,50)'",
        "-fps_mode",
        "vfr",
        *("-crf", 12),
        path,
    )
    numbers, times, counts = read(path)
    assert numbers == [n for n in range(100) if n % 7 == 0 or n > 50]
    assert times == [40 * n for n in numbers]
    assert not counts.lost


def test_what_an_edit_list_hides_is_counted(base: Path, tmp_path: Path) -> None:
    """A cut without encoding anew keeps the frames back to a key frame, and hides them."""
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "1.1", "-i", base, "-c", "copy", path)
    with av.open(str(path)) as container:
        frames = container.streams.video[0].frames
    numbers, _, counts = read(path)
    assert numbers == list(range(28, 100))
    assert counts.decoded == frames
    assert counts.left_out == {"the file's edit list leaves it out": frames - 72}
    assert not counts.lost


def test_a_delayed_start_begins_at_the_first_frame(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    ffmpeg("-itsoffset", "2", "-i", base, "-c", "copy", path)
    numbers, times, counts = read(path)
    assert (numbers, times[0], counts.lost) == (list(range(100)), 0, False)


FORMS: dict[str, dict[str, Any]] = {
    ".mp4": {"form": "mp4", **CRISP},
    ".m4s": {"form": "mp4", "g": "10", "container_options": FRAGMENTS, **CRISP},
    ".flv": {"form": "flv", **CRISP},
    ".asf": {"form": "asf", "codec": "mpeg4", "b": "2000000"},
    ".avi": {"form": "avi", "bf": "0", **CRISP},
    ".mkv": {"form": "matroska", **CRISP},
    ".live.mkv": {"form": "matroska", "container_options": {"live": "1"}, **CRISP},
    ".webm": {"form": "webm", "codec": "libvpx", "b": "2000000", "cpu-used": "16"},
    ".mpg": {"form": "vob", "codec": "mpeg2video", "b": "2000000"},
}


@pytest.mark.parametrize("ending", FORMS)
def test_recordings_joined_by_their_bytes_are_read_to_the_end(ending: str, tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"{n}{ending}", range(first, first + 40), **FORMS[ending])
        for n, first in enumerate((0, 40, 80))
    ]
    path = tmp_path / f"joined{ending}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    numbers, times, counts = read(path)
    assert numbers == list(range(120))
    assert all(b - a <= 200 for a, b in pairwise(times))
    assert counts.decoded == 120
    if len(parts_of(path)) > 1:
        assert "3 recordings one after the other; all are read" in open_clip(path).notice
        assert len(counts.notices) == 2
    assert [parts_of(part) for part in parts] == [[None]] * 3
    # a last part that is cut off is read as far as it goes
    path.write_bytes(path.read_bytes()[: -parts[2].stat().st_size // 3])
    shorter, _, counts = read(path)
    assert shorter[:80] == list(range(80)) and len(shorter) < 120
    if ending in (".mp4", ".m4s"):  # without the list of its frames the last part says nothing
        assert len(shorter) > 80 or (counts.damaged and "recording 3" in counts.notices[-1])


def test_a_cover_is_no_clip_and_other_videos_are_told(base: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.jpg", tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=200x200", "-frames:v", "1", cover)
    ffmpeg("-i", cover, "-i", base, "-map", "0", "-map", "1", "-c", "copy", path)
    assert read(path)[0] == list(range(100))
    assert "holds 2 videos; number 1 of 320 x 160 pixels is read" in open_clip(path).notice
    data, _ = cut_excerpt(path, 2.0, seconds=1.0)
    assert len(data) > 1000
    with_cover = tmp_path / "a.mp4"
    ffmpeg("-i", cover, "-i", base, *("-map", 0, "-map", 1, "-c", "copy"),
           "-disposition:v:0", "attached_pic", with_cover)  # fmt: skip
    assert read(with_cover)[0] == list(range(100))
    assert open_clip(with_cover).notice == ""


def without(path: Path, target: Path, gone: Callable[[int], bool]) -> Path:
    """The clip without some of its packets."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size and not gone(number):
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_packets_that_are_not_there_are_missing(ending: str, tmp_path: Path) -> None:
    """Three gaps, one of them among the first frames, that say how the clip is timed."""
    whole = write(tmp_path / "a.mp4", range(100), bf="0", g="1", **CRISP)
    path = without(whole, tmp_path / f"b{ending}", lambda n: n in {20, 21, 60, 97})
    numbers, times, counts = read(path)
    assert len(numbers) == 96 and counts.missing == 4 and counts.lost
    assert times == [40 * n for n in numbers]


def test_a_fragment_that_is_not_there_is_missing(plain: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "a.mp4", tmp_path / "b.mp4"
    flags = "frag_keyframe+empty_moov+default_base_moof"
    ffmpeg("-i", plain, "-c", "copy", "-movflags", flags, whole)
    data, boxes, place = whole.read_bytes(), [], 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        boxes.append(data[place : place + size])
        place += size
    second = [n for n, box in enumerate(boxes) if box[4:8] == b"moof"][1]
    path.write_bytes(b"".join(boxes[:second] + boxes[second + 2 :]))
    numbers, _, counts = read(path)
    assert numbers[0] == 0 and numbers[-1] == 99
    assert counts.missing == 100 - len(numbers) > 0


def test_frames_before_the_first_key_frame_are_missing(plain: Path, tmp_path: Path) -> None:
    path = without(plain, tmp_path / "b.ts", lambda n: n < 10)
    numbers, _, counts = read(path)
    assert numbers == list(range(25, 100))
    assert counts.missing == 15 and counts.lost


def test_what_is_no_clip_is_refused(plain: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine", "-t", "1", sound)
    made = {
        "no moov": plain.read_bytes()[: plain.stat().st_size * 6 // 10],
        "empty": b"",
        "sound": sound.read_bytes(),
        "head alone": plain.read_bytes()[:32],
    }
    for name, data in made.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"is damaged|no video in it"):
            open_clip(path)
