"""Scenes and clips of sightings: the right frame, the right place, and nothing else."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from passerby.city import City, Scope
from passerby.city.changes import delete_clip, retime_clip
from passerby.city.clips import clips_of
from passerby.city.moving import back_up, check, restore
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest import Detector, ingest_clip
from passerby.ingest.excerpts import cut_excerpt, find_clip
from passerby.ingest.scenes import UNCOMPRESSED, Scene, SceneMemory
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder
from passerby.service.settings import Settings

START = "2026-05-01T08:00:00+08:00"


@pytest.fixture
def ingested(city: City, clip: Path, detector: Detector, embedder: Embedder) -> City:
    ingest_clip(city, clip, camera="C01", start=START, detector=detector, embedder=embedder)
    return city


def test_a_sighting_keeps_its_frame_and_its_place(ingested: City, clip: Path) -> None:
    frames = {frame.index: frame for frame in open_clip(clip).frames()}
    sightings = ingested.gallery.latest(1000, Scope())
    assert len(sightings) > 30
    for one in sightings:
        context, path = ingested.crops.context(one.crop), ingested.crops.scene_path(one.crop)
        assert context is not None
        assert path is not None
        assert context.frame == int(one.id.rsplit("-", 1)[1])
        assert context.position == pytest.approx(context.frame / 25, abs=0.001)
        assert context.size == (160, 320)
        assert context.clip == sha256(clip)
        assert context.scene == sha256(path)
        scene = np.asarray(Image.open(path)).astype(int)
        assert scene.shape == (160, 320, 3)  # smaller frames are not enlarged
        assert np.abs(scene - frames[context.frame].image).mean() < 6


def test_a_scene_is_small_and_keeps_the_shape_of_the_frame() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (320, 544, 3)).astype(np.uint8)
    for size, wanted in (
        ((432, 768), (480, 270)),
        ((1920, 1080), (270, 480)),
        ((90, 160), (160, 90)),
    ):
        jpeg = Scene(pixels, size, 1.0, "clip").jpeg
        assert Image.open(io.BytesIO(jpeg)).size == wanted
        assert len(jpeg) < 100_000  # of noise, which no picture is worse than
    assert Scene(None, (432, 768), None, "").jpeg == b""


def test_scenes_that_are_held_for_long_are_compressed() -> None:
    memory = SceneMemory()
    held = [
        memory.add(Scene(np.zeros((32, 54, 3), np.uint8), (32, 54), None, ""))
        for _ in range(UNCOMPRESSED + 20)
    ]
    assert [scene._pixels is None for scene in held[:20]] == [True] * 20
    assert all(scene._pixels is not None for scene in held[20:])


def test_without_scenes_only_the_place_is_kept(
    city: City, clip: Path, detector: Detector, embedder: Embedder
) -> None:
    Settings.read(city).changed({"keep_scenes": False}).write(city)
    ingest_clip(city, clip, camera="C01", start=START, detector=detector, embedder=embedder)
    one = city.gallery.latest(1, Scope())[0]
    assert city.crops.scene_path(one.crop) is None
    context = city.crops.context(one.crop)
    assert context is not None
    assert (context.scene, context.clip) == ("", sha256(clip))
    assert context.position is not None


def test_scenes_go_with_retention_and_come_back_with_a_backup(
    ingested: City, tmp_path: Path
) -> None:
    files = sorted(path.name for path in ingested.crops.folder.rglob("*.scene.jpg"))
    assert len(files) == ingested.count()
    for target in (tmp_path / "folder", tmp_path / "file.tar"):
        back_up(ingested, target)
        check(target)
        restore(target, tmp_path / f"again-{target.name}")
        with City.open(tmp_path / f"again-{target.name}") as again:
            found = sorted(path.name for path in again.crops.folder.rglob("*.scene.jpg"))
            assert found == files
    ingested.drop_before(2**52)
    ingested.compact(grace=0)
    assert not list(ingested.crops.folder.rglob("*.jpg"))


def test_a_clip_is_found_only_where_it_lies_unchanged(ingested: City, tmp_path: Path) -> None:
    """A file in its place, or a link, could show anything."""
    crop = ingested.gallery.latest(1, Scope())[0].crop
    context = ingested.crops.context(crop)
    assert context is not None
    path = find_clip(ingested, context.clip)
    assert path is not None
    assert find_clip(ingested, "0" * 64) is None
    stat, aside = path.stat(), tmp_path / "aside.mp4"
    path.rename(aside)
    try:
        assert find_clip(ingested, context.clip) is None
        path.symlink_to(aside)
        assert find_clip(ingested, context.clip) is None
        path.unlink()
        path.write_bytes(b"another file")
        assert find_clip(ingested, context.clip) is None
    finally:
        aside.replace(path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find_clip(ingested, context.clip) == path
    (record,) = clips_of(ingested)
    retimed, _ = retime_clip(ingested, record.name, (record.start or 0) - 60_000)
    assert find_clip(ingested, context.clip) == path, "a clip that is re-timed keeps its file"
    delete_clip(ingested, retimed.name)
    assert find_clip(ingested, context.clip) is None, "nothing is kept of a clip that is deleted"


@pytest.mark.parametrize("name", ["long.mp4", "long.264", "long.avi"])
def test_an_excerpt_shows_the_seconds_around_a_place(
    name: str, tmp_path: Path, draw_clip: Callable[..., Path]
) -> None:
    path = draw_clip(tmp_path / name, 60, gap=14, frames=600)
    whole = [frame.image for frame in open_clip(path).frames()]
    data, kind = cut_excerpt(path, 12.0, seconds=4.0)
    assert kind in ("video/mp4", "video/webm")
    with av.open(io.BytesIO(data)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert abs(len(shown) - 100) <= 2
    for picture, number in ((shown[0], 250), (shown[-1], 350)):
        near = [
            np.abs(picture.astype(int) - whole[n]).mean() for n in range(number - 4, number + 5)
        ]
        assert abs(int(np.argmin(near)) - 4) <= 1
        assert min(near) < 6


def test_an_excerpt_at_either_end_is_shorter(
    tmp_path: Path, draw_clip: Callable[..., Path]
) -> None:
    path = draw_clip(tmp_path / "short.mp4", 2, frames=100)
    for position in (0.0, 3.9):
        data, _ = cut_excerpt(path, position)
        with av.open(io.BytesIO(data)) as container:
            assert 98 <= sum(1 for _ in container.decode(video=0)) <= 101
    with pytest.raises(InputError, match="no frame near"):
        cut_excerpt(path, 60.0)


def test_a_place_after_times_that_began_anew_is_not_sure(
    tmp_path: Path, draw_clip: Callable[..., Path]
) -> None:
    part = draw_clip(tmp_path / "part.ts", 2, frames=40).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    positions = [frame.position for frame in open_clip(joined).frames()]
    assert all(position is not None for position in positions[:40])
    assert positions[40:] == [None] * 40
