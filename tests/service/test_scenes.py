"""The scene and the clip of a sighting: the same rules as for its crop, and an audit entry each."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from passerby.city import City
from passerby.city.clips import ClipRecord, write_clip
from passerby.city.crops import Context
from passerby.files import sha256
from passerby.ingest.crops import encode_jpeg
from passerby.ingest.excerpts import file_facts
from passerby.service.settings import Settings
from passerby.service.verification import crop_faults

SEEN, BARE = "p1-C05-0", "p1-C01-1"  # in districts 9902 and 9901; the second is of no clip
PARTS = ("", "/scene", "/clip")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "a clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(100):
            image = np.full((96, 160, 3), 2 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def seen(city: City, clip: Path) -> City:
    """A city in which one sighting has its scene and its clip."""
    one = city.gallery.get([SEEN])[0]
    scene = encode_jpeg(np.full((96, 160, 3), 90, np.uint8))
    context = Context(
        clip=sha256(clip), frame=50, position=2.0, size=(96, 160), scene=sha256(scene)
    )
    crop = encode_jpeg(np.full((64, 32, 3), 60, np.uint8), context.as_comment())
    vector = city.gallery.vectors([SEEN])[0].astype(np.float32)
    stored = dataclasses.replace(one, vector=vector, crop=city.crops.put(crop, scene))
    city.add_sightings([stored], replace_known=True)
    write_clip(city, ClipRecord(name="c", content=sha256(clip), file=file_facts(clip)))
    return city


def test_the_details_say_what_is_kept(seen: City, ann: Any) -> None:
    context = ann.get(f"/api/sightings/{SEEN}", params={"case": "A-1"}).json()["context"]
    assert context == {
        "frame": 50, "position": 2.0, "height": 96, "width": 160, "scene": True, "clip": True,
    }  # fmt: skip
    assert ann.get(f"/api/sightings/{BARE}", params={"case": "A-1"}).json()["context"] is None


def test_scene_and_clip_are_shown_and_recorded(seen: City, ann: Any, app: FastAPI) -> None:
    scene = ann.get(f"/api/sightings/{SEEN}/scene", params={"case": "A-1"})
    assert scene.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(scene.content)).size == (160, 96)
    played = ann.get(f"/api/sightings/{SEEN}/clip", params={"case": "A-1"})
    assert played.headers["content-type"] in ("video/mp4", "video/webm")
    with av.open(io.BytesIO(played.content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 100
    entries = {entry.action: entry for entry in app.state.service.audit.entries(limit=2)}
    assert set(entries) == {"scenes_viewed", "clips_played"}
    for entry in entries.values():
        assert (entry.account, entry.details) == ("ann", {"sightings": [SEEN]})
        assert entry.units == (seen.gallery.get([SEEN])[0].unit,)


def test_outside_the_own_units_nothing_is_there(seen: City, ann: Any, bob: Any) -> None:
    for part in PARTS:
        assert ann.get(f"/api/sightings/{SEEN}{part}", params={"case": "A-1"}).status_code == 200
        hidden, missing = (
            bob.get(f"/api/sightings/{x}{part}", params={"case": "B-1"}) for x in (SEEN, "p9-C01-0")
        )
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json() == missing.json()


def test_nobody_without_a_session_or_the_right_to_search(
    seen: City, app: FastAPI, sign_in: Callable[[str], Any]
) -> None:
    anyone, root = TestClient(app), sign_in("root")
    for part in PARTS:
        assert anyone.get(f"/api/sightings/{SEEN}{part}", params={"case": "A-1"}).status_code == 401
        assert root.get(f"/api/sightings/{SEEN}{part}", params={"case": "A-1"}).status_code == 403


def test_what_is_not_kept_is_not_found(seen: City, ann: Any, app: FastAPI) -> None:
    before = len(app.state.service.audit.entries())
    for part in ("/scene", "/clip"):
        assert ann.get(f"/api/sightings/{BARE}{part}", params={"case": "A-1"}).status_code == 404
    assert len(app.state.service.audit.entries()) == before


def test_a_clip_that_is_gone_or_changed_is_not_played(seen: City, ann: Any, clip: Path) -> None:
    clip.write_bytes(clip.read_bytes() + b"more")
    answer = ann.get(f"/api/sightings/{SEEN}/clip", params={"case": "A-1"})
    assert answer.status_code == 404
    assert str(clip.parent) not in answer.text
    context = ann.get(f"/api/sightings/{SEEN}", params={"case": "A-1"}).json()["context"]
    assert (context["scene"], context["clip"]) == (True, False)


@pytest.mark.parametrize("app", [Settings(play_clips=False)], indirect=True)
def test_an_administrator_can_switch_clips_off(seen: City, ann: Any) -> None:
    assert ann.get(f"/api/sightings/{SEEN}/clip", params={"case": "A-1"}).status_code == 404
    context = ann.get(f"/api/sightings/{SEEN}", params={"case": "A-1"}).json()["context"]
    assert (context["scene"], context["clip"]) == (True, False)


def test_only_so_many_clips_are_cut_at_once(
    seen: City, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.service.routes import sightings

    monkeypatch.setattr(sightings, "PATIENCE", 0.01)
    taken: list[Callable[[], None]] = []
    for _ in range(2):
        assert sightings._cutting.acquire(timeout=1)
        taken.append(sightings._cutting.release)
    try:
        answer = ann.get(f"/api/sightings/{SEEN}/clip", params={"case": "A-1"})
    finally:
        for release in taken:
            release()
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["Retry-After"] == "60"
    assert ann.get(f"/api/sightings/{SEEN}/clip", params={"case": "A-1"}).status_code == 200


def test_a_scene_is_verified_by_what_its_crop_names(seen: City) -> None:
    assert list(crop_faults(seen)) == []
    path = seen.crops.scene_path(seen.gallery.get([SEEN])[0].crop)
    assert path is not None
    path.write_bytes(path.read_bytes() + b"x")
    (fault,) = crop_faults(seen)
    assert f"the scene {path} is damaged" in fault
