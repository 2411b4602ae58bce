"""Two cameras, two clips, from an empty folder to a path on the map with five commands."""

import contextlib
import io
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from passerby.city import City
from passerby.cli import main

REAL = Path(__file__).parents[2].parent / "shared" / "real"
CLIP = REAL / "clips/one-by-one-person-detection.mp4"
DETECTOR = REAL / "models/person-detection-retail-0013/person-detection-retail-0013.xml"
DOOR, YARD = (121.4, 31.2), (121.4012, 31.2)  # 114 m from each other


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    """The same people before two cameras: the second clip is a brighter copy, another file."""
    if not (CLIP.is_file() and DETECTOR.is_file()):
        pytest.skip("the real clips and networks (../shared/real) are not here")
    av = pytest.importorskip("av")
    second = tmp_path / "yard.mp4"
    with av.open(str(CLIP)) as source, av.open(str(second), "w") as target:
        first = source.streams.video[0]
        stream = target.add_stream("libx264", rate=round(float(first.average_rate)))
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        for number, frame in enumerate(source.decode(first)):
            if number >= 400:
                break
            image = frame.to_ndarray(format="rgb24")
            bright = av.VideoFrame.from_ndarray((image * 0.85 + 38).astype("uint8"), format="rgb24")
            for packet in stream.encode(bright):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)
    return CLIP, second


def passerby(*words: object) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*map(str, words)]) == 0
    return printed.getvalue()


def test_from_an_empty_folder_to_a_path(clips: tuple[Path, Path], tmp_path: Path) -> None:
    door, yard = clips
    city = tmp_path / "city"
    common = ("--city", city, "--detector", DETECTOR, "--every", 5)
    passerby(
        "ingest", door, *common, "--camera", "door", "--start", "2026-05-01T08:00:00+08:00",
        "--create-city", "--place", *DOOR,
    )  # fmt: skip
    passerby(
        "ingest", yard, *common, "--camera", "yard", "--start", "2026-05-01T08:01:30+08:00",
        "--place", *YARD,
    )  # fmt: skip
    listed = json.loads(passerby("admin", "clip", "list", city, "--json"))
    assert [one["camera"] for one in listed] == ["door", "yard"]
    assert all(one["sightings"] > 0 and one["state"] == "stored" for one in listed)
    with City.open(city) as opened:
        person = best(opened)
    path = tmp_path / "path.geojson"
    found = json.loads(
        passerby("trace", city, person, "--purpose", "a test", "--geojson", path, "--json")
    )
    assert {visit["camera"] for visit in found["visits"]} == {"door", "yard"}
    places = {tuple(visit["place"]) for visit in found["visits"]}
    assert places == {DOOR, YARD}
    kinds = [one["geometry"]["type"] for one in json.loads(path.read_text())["features"]]
    assert kinds.count("Point") >= 2 and kinds.count("LineString") >= 1
    assert set(found["recorded"]) == {"door", "yard"} and all(found["recorded"].values())
    command = [sys.executable, "-m", "passerby", "serve", str(city), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            with urllib.request.urlopen(address[0]) as answer:
                assert b"Passerby" in answer.read()
        finally:
            server.terminate()


def best(city: City) -> Path:
    """The crop of the best sighting at the door."""
    seen: list[Any] = [one for one in city.gallery.latest(999) if one.camera == "door"]
    return city.crops.path(max(seen, key=lambda one: one.quality).crop)
