"""Clips as recorders leave them: every frame is accounted for, in the order of showing.

Each frame shows its own number as ten black or white stripes, so that order and losses are seen.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.ingest.video import Frame, FrameCounts, open_clip

BITS = 10
MS = Fraction(1, 1000)
Times = Callable[[int], int]


def picture(number: int, width: int = 320, height: int = 160) -> NDArray[np.uint8]:
    stripes = np.array([number >> bit & 1 for bit in range(BITS)]).repeat(width // BITS) * 200 + 20
    return np.broadcast_to(stripes[None, :, None], (height, width, 3)).astype(np.uint8)


def shown(frame: Frame) -> int:
    """The number that a frame shows."""
    columns = frame.image.mean(axis=(0, 2))
    width = len(columns) // BITS
    bits = [columns[b * width + 4 : (b + 1) * width - 4].mean() > 120 for b in range(BITS)]
    return sum(1 << bit for bit, on in enumerate(bits) if on)


def write(
    path: Path,
    numbers: Sequence[int],
    *,
    form: str | None = None,
    codec: str = "libx264",
    times: Times | None = None,
    size: tuple[int, int] = (320, 160),
    pixels: str = "yuv420p",
    container_options: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write a clip at 25 frames a second; ``times`` gives milliseconds of the n-th frame."""
    with av.open(str(path), "w", format=form, container_options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.options = options
        if times:
            stream.codec_context.time_base = MS
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            if times:
                frame.pts, frame.time_base = times(place), MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path, **options: Any) -> tuple[list[int], list[int], FrameCounts]:
    """Numbers shown, times, and what became of the frames."""
    counts = FrameCounts()
    frames = list(open_clip(path).frames(counts=counts, **options))
    times = [frame.time for frame in frames]
    assert all(a < b for a, b in pairwise(times)), "times go forward"
    assert counts.decoded == counts.used + sum(counts.left_out.values())
    assert counts.used == len(frames)
    return [shown(frame) for frame in frames], times, counts


X264 = {"crf": "12"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
FORMS: dict[str, dict[str, Any]] = {
    "mp4": {"form": "mp4", **X264, "bf": "0"},
    "mp4, B-frames": {"form": "mp4", **X264, "bf": "3", "g": "25"},
    "mp4, B-pyramid": {"form": "mp4", **X264, "bf": "8", "b-pyramid": "normal", "g": "50"},
    "mp4, fragments": {"form": "mp4", **X264, "bf": "2", "container_options": FRAGMENTS},
    "mov, B-frames": {"form": "mov", **X264, "bf": "3"},
    "mkv, B-frames": {"form": "matroska", **X264, "bf": "3"},
    "avi": {"form": "avi", **X264, "bf": "0"},
    "avi, B-frames": {"form": "avi", **X264, "bf": "3", "g": "25"},
    "avi, B-pyramid": {"form": "avi", **X264, "bf": "8", "b-pyramid": "normal", "g": "50"},
    "flv, B-frames": {"form": "flv", **X264, "bf": "3"},
    "ts, B-frames": {"form": "mpegts", **X264, "bf": "3"},
    "raw h264": {"form": "h264", **X264, "bf": "0"},
    "raw h264, B-frames": {"form": "h264", **X264, "bf": "3"},
    "mjpeg in avi": {"form": "avi", "codec": "mjpeg", "pixels": "yuvj420p"},
    "raw mjpeg": {"form": "mjpeg", "codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg4 in avi": {"form": "avi", "codec": "mpeg4", "b": "2000000"},
    "mpeg4 in avi, B-frames": {"form": "avi", "codec": "mpeg4", "bf": "2", "b": "2000000"},
    "mpeg2 in ts, B-frames": {"form": "mpegts", "codec": "mpeg2video", "bf": "2", "b": "2000000"},
    "mpeg2 program stream": {"form": "vob", "codec": "mpeg2video", "bf": "2", "b": "2000000"},
    "vp8 in webm": {"form": "webm", "codec": "libvpx", "b": "2000000", "cpu-used": "16"},
    "lossless in mkv": {"form": "matroska", "codec": "ffv1"},
}


@pytest.mark.parametrize("kind", FORMS)
def test_every_container_gives_every_frame_in_order(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip", range(70), **FORMS[kind])
    numbers, times, counts = read(path)
    assert numbers == list(range(70))
    assert counts.decoded == 70
    assert (counts.damaged, counts.corrupt) == (0, 0)
    assert counts.missing <= (3 if "program" in kind else 0)
    assert counts.notices == []
    steps = [b - a for a, b in pairwise(times)]
    if "program" in kind:  # it gives times to some frames; FFmpeg makes up the others
        assert sum(counts.moved.values()) <= 3
        assert max(steps) <= 130
    else:
        assert all(39 <= step <= 41 for step in steps)


def test_joined_transport_streams_go_on(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"{n}.ts", range(first, first + 50), form="mpegts", bf="2")
        for n, first in enumerate((0, 50, 100))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    numbers, times, counts = read(joined)
    assert sorted(numbers) == list(range(150))
    assert numbers == sorted(numbers)
    assert times[-1] <= 149 * 40 + 100
    assert len(counts.notices) == 2
    assert all("begin again at frame" in text for text in counts.notices)


def test_joined_parts_of_another_size(tmp_path: Path) -> None:
    small = write(tmp_path / "a.ts", range(40), form="mpegts")
    large = write(tmp_path / "b.ts", range(40, 80), form="mpegts", size=(640, 320))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    numbers, _, counts = read(joined)
    assert numbers == list(range(80))
    assert any("640 x 320" in text for text in counts.notices)


CLOCKS: dict[str, tuple[Times, Times, str]] = {
    # what the clip says, what is right, a part of the notice
    "set forward by a day": (
        lambda n: n * 40 + 86_400_000 * (n >= 60),
        lambda n: n * 40,
        "jump ahead by 86400 s at frame 60, 2.4 s after",
    ),
    "a gap of half a minute": (
        lambda n: n * 40 + 30_000 * (n >= 60),
        lambda n: n * 40 + 30_000 * (n >= 60),
        "no frame for 30.0 s before frame 60",
    ),
    "begins late": (lambda n: 7_000_000 + n * 40, lambda n: n * 40, ""),
    "a frame a second": (lambda n: n * 1000, lambda n: n * 1000, ""),
    "uneven": (lambda n: n * 40 + n * n % 17, lambda n: n * 40 + n * n % 17, ""),
}


@pytest.mark.parametrize("kind", CLOCKS)
def test_clocks_that_are_set_forward(kind: str, tmp_path: Path) -> None:
    said, right, notice = CLOCKS[kind]
    path = write(tmp_path / "a.mkv", range(120), form="matroska", codec="mjpeg", pixels="yuvj420p")
    path = with_times(path, tmp_path / "b.mkv", said)
    numbers, times, counts = read(path)
    assert numbers == list(range(120))
    assert times == pytest.approx([right(n) - right(0) for n in range(120)], abs=41)
    assert sum(counts.moved.values()) == 0
    assert [notice in text for text in counts.notices] == ([True] if notice else [])


@pytest.mark.parametrize("back", [1000, 60_000, 3_600_000])
def test_a_clock_that_is_set_back(back: int, tmp_path: Path) -> None:
    """No writer takes times that go back: two parts are written and joined."""
    begin = 4_000_000
    starts = (begin, begin + 60 * 40 - back)
    parts = [
        write(
            tmp_path / f"{n}.ts",
            range(60 * n, 60 * n + 60),
            form="mpegts",
            bf="0",
            times=lambda place, start=start: start + 40 * place,  # type: ignore[misc]
        )
        for n, start in enumerate(starts)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    numbers, times, counts = read(path)
    assert numbers == list(range(120))
    assert times == pytest.approx([40 * n for n in range(120)], abs=81)
    # a transport stream's times that are more than a minute below its first count as a wrap
    said = "jump ahead" if back > 60_000 else "begin again"
    assert ["at frame 60, 2.4 s after" in text for text in counts.notices] == [True]
    assert said in counts.notices[0]


def test_the_clock_of_a_transport_stream_wraps(tmp_path: Path) -> None:
    """After 26.5 hours its 33 bits are full."""
    wrap = (1 << 33) // 90
    path = tmp_path / "a.ts"
    write(path, range(130), form="mpegts", bf="0", times=lambda n: wrap - 2000 + 40 * n)
    numbers, times, counts = read(path)
    assert numbers == list(range(130))
    assert times == pytest.approx([40 * n for n in range(130)], abs=2)
    assert counts.notices == []


def with_times(path: Path, target: Path, times: Times) -> Path:
    """The clip with other times, in milliseconds; no frame is decoded."""
    with av.open(str(path)) as source, av.open(str(target), "w", format="matroska") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        place = 0
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream, packet.time_base = stream, MS
                packet.pts = packet.dts = times(place)
                out.mux(packet)
                place += 1
    return target


def test_times_that_repeat_are_put_one_after_the_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", range(60), form="matroska", codec="mjpeg", pixels="yuvj420p")
    path = with_times(path, tmp_path / "b.mkv", lambda n: n // 3 * 120)
    numbers, times, counts = read(path)
    assert numbers == list(range(60))
    assert times[:6] == [0, 1, 2, 120, 121, 122]
    assert counts.moved == {"the time of the frame before is repeated": 40}


def test_longer_gaps_when_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", range(60), form="matroska", codec="mjpeg", pixels="yuvj420p")
    path = with_times(path, tmp_path / "b.mkv", lambda n: n * 40 + 600_000 * (n >= 30))
    assert read(path)[1][-1] < 3000
    assert read(path, longest_gap=3600)[1][-1] == 59 * 40 + 600_000


@pytest.mark.parametrize("form", ["mpegts", "matroska", "h264", "avi"])
def test_a_cut_off_clip_gives_what_it_has(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip", range(130), form=form, bf="0", g="12")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    numbers, _, counts = read(path)
    assert numbers == list(range(len(numbers)))
    assert 40 <= len(numbers) < 130
    assert counts.decoded == len(numbers)


@pytest.mark.parametrize("form", ["mpegts", "matroska", "avi"])
def test_damaged_bytes_in_the_middle(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip", range(130), form=form, bf="0", g="10")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    numbers, _, counts = read(path)
    assert set(range(40)) <= set(numbers), "what stands before the damage"
    # Matroska goes on with the next cluster, which is late in so short a clip
    after = range(129, 130) if form == "matroska" else range(110, 130)
    assert set(after) <= set(numbers), "what stands after it"
    assert counts.missing == 130 - len(numbers), "it is counted"
    assert counts.decoded == len(numbers)


def test_a_transport_stream_that_begins_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.ts", range(130), form="mpegts", bf="2", g="20")
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 // 188 * 188 :])
    numbers, times, _ = read(path)
    assert numbers[-1] == 129
    assert times[0] == 0
    assert 60 <= len(numbers) < 130


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_rotation_of_the_display_matrix(turned: int, tmp_path: Path) -> None:
    import subprocess

    plain, path = write(tmp_path / "a.mp4", range(20)), tmp_path / "b.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(plain), "-c", "copy"]
    subprocess.run([*command, "-metadata:s:v:0", f"rotate={turned}", str(path)], check=True)
    clip = open_clip(path)
    assert (clip.width, clip.height) == ((160, 320) if turned % 180 else (320, 160))
    frame = list(clip.frames())[5]
    assert frame.image.shape[:2] == (clip.height, clip.width)
    back = np.rot90(frame.image, -turned // 90)
    assert np.abs(back.astype(int) - picture(5)).mean() < 20


def test_interlaced_frames_become_whole(tmp_path: Path) -> None:
    """Fields taken at two moments: a still scene stays, the comb of a moving one goes."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        stream.options = {"crf": "8", "x264-params": "interlaced=1:tff=1"}
        for number in range(50):
            image = np.full((160, 320, 3), 30, np.uint8)
            image[0::2, number * 4 : number * 4 + 60] = 220
            image[1::2, number * 4 + 2 : number * 4 + 62] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        raw = list(container.decode(video=0))
        assert raw[10].interlaced_frame
        combed = raw[10].to_ndarray(format="rgb24")
    counts = FrameCounts()
    frames = list(open_clip(path).frames(counts=counts))
    assert len(frames) == counts.decoded == len(raw) == 50
    assert [frame.time for frame in frames] == [40 * n for n in range(50)]

    def comb(image: NDArray[np.uint8]) -> float:
        rows = image[..., 0].astype(int)
        return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())

    assert comb(frames[10].image) < comb(combed) / 3


def test_a_playlist_of_segments(tmp_path: Path) -> None:
    import subprocess

    plain = write(tmp_path / "a.mp4", range(130), g="25")
    command = ["ffmpeg", "-v", "error", "-i", str(plain), "-c", "copy", "-f", "hls"]
    options = ["-hls_time", "1", "-hls_list_size", "0", str(tmp_path / "live.m3u8")]
    subprocess.run([*command, *options], check=True)
    numbers, times, _ = read(tmp_path / "live.m3u8")
    assert numbers == list(range(130))
    assert times[-1] == pytest.approx(129 * 40, abs=2)


def test_frames_that_are_not_looked_at_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", range(50))
    numbers, times, counts = read(path, every=7)
    assert numbers == list(range(0, 50, 7))
    assert times == [40 * n for n in range(0, 50, 7)]
    assert counts.left_out == {"only every 7. frame is looked at": 42}


def test_one_frame(tmp_path: Path) -> None:
    numbers, times, _ = read(write(tmp_path / "a.mp4", [5]))
    assert (numbers, times) == ([5], [0])


def test_no_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", range(40), form="mpegts")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="damaged"):
        open_clip(path)
