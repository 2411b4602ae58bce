"""Query pictures: what cannot be used is refused with a reason; nothing reaches the disk."""

import io
import stat
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from passerby.city import City
from passerby.ingest.detector import Detections, Detector
from passerby.service.settings import Settings


def encoded(width: int, height: int, kind: str = "PNG", noise: bool = True) -> bytes:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (height, width, 3)) if noise else np.full((height, width, 3), 90)
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, kind)
    return out.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG of a few hundred bytes that claims to be 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def send(client: Any, data: bytes) -> Any:
    return client.post("/api/pictures", files={"file": ("q.png", data, "image/png")})


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 415, "not_an_image"),
        (b"not a picture", 415, "not_an_image"),
        (b"%PDF-1.7 ...", 415, "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not_an_image"),
        (encoded(128, 256)[:300], 422, "unreadable"),
        (encoded(20, 40), 422, "too_small"),
        (bomb(), 413, "too_many_pixels"),
        (bomb(8000), 413, "too_many_pixels"),
    ],
    ids=["empty", "text", "pdf", "svg", "truncated", "tiny", "bomb", "large"],
)
def test_bad_pictures(ann: Any, data: bytes, status: int, code: str) -> None:
    answer = send(ann, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["what_to_do"]


def test_too_large_an_upload_is_stopped(ann: Any) -> None:
    body = b"x" * (13 * 2**20)
    declared = send(ann, body)
    assert declared.status_code == 413
    assert declared.json()["code"] == "too_large"
    assert "content-security-policy" in declared.headers

    def stream() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="q"\r\n\r\n'
        for start in range(0, len(body), 2**20):
            yield body[start : start + 2**20]

    headers = {"content-type": "multipart/form-data; boundary=x"}
    streamed = ann.post("/api/pictures", content=stream(), headers=headers)
    assert streamed.status_code == 413, streamed.text


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_usual_formats_are_read(ann: Any, kind: str) -> None:
    answer = send(ann, encoded(128, 256, kind))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (128, 256)
    assert answer.json()["warnings"] == []


@pytest.mark.parametrize(
    ("picture", "warning"),
    [
        (encoded(300, 200), "unlike_a_crop"),
        (encoded(40, 90), "low_resolution"),
        (encoded(128, 256, noise=False), "low_contrast"),
    ],
)
def test_poor_pictures_are_warned_of(ann: Any, picture: bytes, warning: str) -> None:
    assert warning in send(ann, picture).json()["warnings"]


class Fixed(Detector):
    """A detector that sees what the test says."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = boxes

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        boxes = np.array(self.boxes, dtype=np.float32).reshape(-1, 4)
        scores = np.linspace(0.9, 0.6, len(boxes), dtype=np.float32)
        return [Detections(boxes=boxes, scores=scores) for _ in frames]


def client_with(make_app: Callable[..., FastAPI], boxes: list[list[float]]) -> Any:
    from fastapi.testclient import TestClient

    client = TestClient(make_app(detector=Fixed(boxes)))
    body = {"name": "ann", "password": "a long enough password"}
    client.headers["X-CSRF-Token"] = client.post("/api/session", json=body).json()["csrf"]
    return client


def test_people_to_choose_from(make_app: Callable[..., FastAPI]) -> None:
    client = client_with(make_app, [[10, 10, 90, 190], [120, 20, 200, 190]])
    answer = send(client, encoded(300, 200)).json()
    assert answer["detected"]
    assert [one["box"][0] for one in answer["people"]] == [10.0, 120.0]
    assert answer["warnings"] == []


def test_a_street_without_people_is_refused(make_app: Callable[..., FastAPI]) -> None:
    client = client_with(make_app, [])
    answer = send(client, encoded(300, 200))
    assert (answer.status_code, answer.json()["code"]) == (422, "no_person")
    assert send(client, encoded(128, 256)).status_code == 201, "a crop is taken as one"


def test_a_box_too_small_is_refused(ann: Any) -> None:
    picture = ann.add_picture()
    choice = {"id": picture, "box": [0, 0, 10, 10]}
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": [choice]})
    assert answer.status_code == 422
    assert "too small" in answer.json()["error"]


def test_pictures_belong_to_who_sent_them(ann: Any, bob: Any) -> None:
    picture = ann.add_picture()
    answer = bob.post("/api/searches", json={"case": "B-1", "pictures": [{"id": picture}]})
    assert (answer.status_code, answer.json()["code"]) == (404, "pictures_forgotten")


def test_pictures_leave_the_memory(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from passerby.service import pictures

    picture, real = ann.add_picture(), pictures.now
    monkeypatch.setattr(pictures, "now", lambda: real() + 121 * 60_000)
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": [{"id": picture}]})
    assert answer.status_code == 404


def test_nothing_of_a_query_is_written(ann: Any, city: City) -> None:
    def files() -> set[Path]:
        return {
            path for path in city.folder.rglob("*") if path.is_file() and "sqlite" not in path.name
        }

    before = files()
    ann.search("A-1")
    assert {path.name for path in files() - before} <= {"audit.heads"}


def holding(marker: bytes, *folders: Path) -> list[str]:
    """The files that hold some bytes: below folders, and all that this process has open."""
    found = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    names = []
    for path in [*found, *Path("/proc/self/fd").iterdir()]:
        try:
            if stat.S_ISREG(path.stat().st_mode) and marker in path.read_bytes():
                names.append(str(path.resolve()))
        except OSError:
            continue  # closed meanwhile
    return names


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this machine")
def test_a_large_picture_is_in_no_file_and_no_open_descriptor(
    make_app: Callable[..., FastAPI],
    ann: Any,
    city: City,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looked for while the picture is worked on, also in files that are deleted but open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    data = encoded(1500, 1500)
    assert len(data) > 6_000_000, "far beyond what a form keeps in memory by default"
    marker = data[3_000_000:3_000_064]
    with tempfile.TemporaryFile() as control:
        control.write(data)
        control.flush()
        assert holding(marker, tmp_path), "the search itself finds an open, deleted file"
    looked: list[list[str]] = []

    class Spy(Detector):
        name = "spy"

        def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
            looked.append(holding(marker, tmp_path))
            box = np.array([[400, 100, 1000, 1400]], np.float32)
            return [Detections(boxes=box, scores=np.array([0.9], np.float32)) for _ in frames]

    client = type(ann)(make_app(detector=Spy()))
    client.sign_in("ann", "a long enough password")
    answer = send(client, data)
    assert answer.status_code == 201, answer.text
    body = {"case": "A-1", "pictures": [{"id": answer.json()["id"]}]}
    assert client.post("/api/searches", json=body).status_code == 201
    assert looked == [[]]
    assert holding(marker, tmp_path) == []


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"file": "a text"},
        {"other": ("q.png", b"x", "image/png")},
        {"file": [("a.png", b"x", "image/png"), ("b.png", b"x", "image/png")]},
    ],
)
def test_a_form_with_anything_but_one_file_is_refused(ann: Any, parts: dict[str, Any]) -> None:
    given = parts.get("file")
    if isinstance(given, list):
        answer = ann.post("/api/pictures", files=[("file", one) for one in given])
    elif isinstance(given, str):
        answer = ann.post("/api/pictures", data=parts)
    else:
        answer = ann.post("/api/pictures", files=parts or None)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


def test_how_many_pictures(ann: Any) -> None:
    most = Settings().most_pictures
    pictures = [{"id": ann.add_picture(variant=v)} for v in range(most + 1)]
    too_many = ann.post("/api/searches", json={"case": "A-1", "pictures": pictures})
    assert (too_many.status_code, too_many.json()["code"]) == (422, "too_many_pictures")
    none = ann.post("/api/searches", json={"case": "A-1"})
    assert (none.status_code, none.json()["code"]) == (422, "no_query")
    enough = ann.post("/api/searches", json={"case": "A-1", "pictures": pictures[:most]})
    assert enough.status_code == 201
