"""Frames carry their index and time; what is no clip is said plainly."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from passerby.errors import InputError
from passerby.ingest.video import open_clip

START = 1_777_593_600_000


def test_times_come_from_the_clip(draw_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = open_clip(draw_clip(tmp_path / "a.mp4", 2, rate=10, frames=30))
    assert (clip.width, clip.height, clip.rate, clip.frame_count) == (320, 160, 10.0, 30)
    assert clip.timed
    assert clip.notice == ""
    frames = list(clip.frames(START, every=7))
    assert [frame.index for frame in frames] == [0, 7, 14, 21, 28]
    assert [frame.time - START for frame in frames] == [0, 700, 1400, 2100, 2800]
    assert frames[0].image.shape == (160, 320, 3)
    assert frames[0].image.dtype == np.uint8


def test_raw_stream_takes_the_default_rate_with_a_notice(
    draw_clip: Callable[..., Path], tmp_path: Path
) -> None:
    path = draw_clip(tmp_path / "a.h264", 2, rate=10, frames=20)
    clip = open_clip(path)
    assert not clip.timed
    assert "25 frames a second" in clip.notice
    assert [frame.time for frame in clip.frames(every=5)] == [0, 200, 400, 600]
    told = open_clip(path, rate=10)
    assert told.notice == ""
    assert [frame.time for frame in told.frames(every=5)] == [0, 500, 1000, 1500]


def test_a_given_rate_rules_over_the_clips_own(
    draw_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip = open_clip(draw_clip(tmp_path / "a.mp4", 2, rate=10, frames=10), rate=5)
    assert [frame.time for frame in clip.frames(every=5)] == [0, 1000]


def test_colours_arrive_as_rgb(draw_clip: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        image = np.zeros((64, 64, 3), np.uint8)
        image[..., 0] = 220
        for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
            container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    mean = next(open_clip(path).frames()).image.reshape(-1, 3).mean(axis=0)
    assert mean[0] > 200
    assert mean[1:].max() < 20


def test_what_is_no_clip(clip: Path, tmp_path: Path) -> None:
    picture, text, empty = (tmp_path / name for name in ("a.png", "a.txt", "a.mp4"))
    Image.new("RGB", (64, 64)).save(picture)
    text.write_text("no clip at all\n" * 100)
    empty.touch()
    headless = tmp_path / "head.mp4"
    headless.write_bytes(clip.read_bytes()[:200])
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    cases = [
        (tmp_path / "none.mp4", "no clip"),
        (tmp_path, "folder"),
        (picture, "not a video"),
        (text, "not a video"),
        (empty, "not a video|damaged"),
        (headless, "damaged"),
        (sound, "no video in it"),
    ]
    for path, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            open_clip(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bad_options(clip: Path) -> None:
    with pytest.raises(InputError, match="frames a second"):
        open_clip(clip, rate=0)
    with pytest.raises(InputError, match="every"):
        next(open_clip(clip).frames(every=0))


def test_a_cut_off_raw_stream_gives_the_frames_it_has(
    draw_clip: Callable[..., Path], tmp_path: Path
) -> None:
    path = draw_clip(tmp_path / "a.h264", 4, frames=60)
    whole = sum(1 for _ in open_clip(path).frames())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < sum(1 for _ in open_clip(path).frames()) < whole == 60
